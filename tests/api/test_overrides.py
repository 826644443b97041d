from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from ecg_api.renderjob import ManifestProblems, parse_render_job, set_path


@pytest.mark.parametrize(
    ("assignment", "value"),
    [
        ("spec.options.quality=80", 80),
        ("spec.options.fps=29.97", 29.97),
        ("spec.options.fps=30000/1001", "30000/1001"),
        ("spec.options.fps='30'", "30"),
        ("spec.output.uri=out/a=b.mp4", "out/a=b.mp4"),
        ("spec.suspend=true", True),
        ("spec.callback=null", None),
        ("spec.callback=", None),
        ("spec.segments={max: 4}", {"max": 4}),
        ("spec.placement.nodeSelector.zone=a", "a"),
        (" spec.priority =5", 5),
    ],
)
def test_the_value_is_read_as_yaml_and_put_at_its_path(
    manifest: dict[str, Any], assignment: str, value: object
) -> None:
    entry: Any = set_path(manifest, assignment)
    for key in assignment.partition("=")[0].strip().split("."):
        entry = entry[key]
    assert entry == value
    assert type(entry) is type(value)


def test_the_manifest_itself_stays_as_it_was(manifest: dict[str, Any]) -> None:
    before = deepcopy(manifest)
    changed = set_path(manifest, "spec.output.uri=other.mp4")
    assert manifest == before
    assert changed["spec"]["output"] == {"uri": "other.mp4"}
    assert changed["spec"]["source"] == before["spec"]["source"]


def test_dots_in_a_key_are_written_with_a_backslash(manifest: dict[str, Any]) -> None:
    changed = set_path(manifest, r"spec.placement.nodeSelector.karpenter\.sh/capacity-type=spot")
    assert changed["spec"]["placement"]["nodeSelector"] == {"karpenter.sh/capacity-type": "spot"}


def test_list_entries_are_named_by_number(manifest: dict[str, Any]) -> None:
    manifest["spec"]["scenario"] = {"inline": {"cues": [{"id": "a"}, {"id": "b"}]}}
    changed = set_path(manifest, "spec.scenario.inline.cues.1.id=c")
    changed = set_path(changed, "spec.scenario.inline.cues.0={id: d}")
    assert changed["spec"]["scenario"]["inline"]["cues"] == [{"id": "d"}, {"id": "c"}]


@pytest.mark.parametrize(
    ("assignment", "problem"),
    [
        ("spec.options.quality", "'spec.options.quality': must look like spec.options.quality=80"),
        ("=80", "'=80': must look like spec.options.quality=80"),
        ("spec..quality=80", "'spec..quality=80': must look like spec.options.quality=80"),
        ("kind.name=x", "kind: is 'RenderJob', so nothing can be set inside it"),
        ("spec.source.uri.x.y=1", "spec.source.uri: is 's3://videos/in.mp4', so nothing can be set inside it"),
        ("spec.list.2=x", "spec.list: is a list with 2 entries; '2' is none of them"),
        ("spec.list.first.id=x", "spec.list: is a list with 2 entries; 'first' is none of them"),
    ],
)
def test_what_cannot_be_set_is_told_with_its_path(manifest: dict[str, Any], assignment: str, problem: str) -> None:
    manifest["spec"]["list"] = ["a", "b"]
    with pytest.raises(ManifestProblems) as caught:
        set_path(manifest, assignment)
    assert caught.value.problems == [problem]


def test_a_value_that_is_not_yaml_is_told_so(manifest: dict[str, Any]) -> None:
    with pytest.raises(ManifestProblems, match=r"^spec\.segments: '\{max: 4' is not a YAML value: "):
        set_path(manifest, "spec.segments={max: 4")


def test_a_bare_off_is_the_word_and_not_false(manifest: dict[str, Any]) -> None:
    changed = set_path(manifest, "spec.options.deinterlace=off")
    assert parse_render_job(changed).spec.options.deinterlace == "off"
