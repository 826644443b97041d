"""Manifests: what is read, and what is said about those that cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

import command_line
from ecg_renderer.errors import ManifestError, OptionsError
from ecg_renderer.manifest import LARGEST_BYTES, parse_yaml, read_manifest


def aliases_of_aliases(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines)


NO_YAML = {
    "nothing": ("", "is empty"),
    "only comments": ("# a job\n", "nothing but comments"),
    "a list that is not closed": ("a: [1, 2", "line 2"),
    "two values in a line": ("a: b: c", "line 1, column 5"),
    "a tab": ("spec:\n\tsource: x", "line 2, column 1"),
    "a key twice": ("a: 1\nb: 2\na: 3", "'a' is given twice, at line 1, column 1 and line 3, column 1"),
    "a key twice inside": ("a:\n  b: 1\n  b: 2", "'b' is given twice, at line 2"),
    "two documents": ("a: 1\n---\nb: 2", "more than one document, the second at line 2"),
    "a Python object": ("a: !!python/object/apply:os.getpid []", "line 1, column 4"),
    "an alias of nothing": ("a: *b", "undefined alias"),
    "a value that contains itself": ("a: &a [*a]", "*a contains itself"),
    "aliases that grow beyond measure": (aliases_of_aliases(9), "more than 1,000,000 values"),
    "merges that grow beyond measure": (
        "a0: &a0 {k: v}\n" + "\n".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}" for n in range(1, 30)),
        "more than 1,000,000 values",
    ),
    "nesting that a parser in C does not survive": ("[" * 300_000, "nested deeper than 128 levels"),
    "control characters": ("a: \x01", "control characters"),
    "a day that is none": ("a: 2026-13-45", "month must be in"),
}


def test_json_as_programs_write_it_is_read() -> None:
    value = {"text": "👨\u200d👩\u200d👧 \\ud83d\\udc68 \\\\ ok", "path": "a\\\\👍"}
    assert parse_yaml(json.dumps(value).encode(), "job.json") == value


@pytest.mark.parametrize(("text", "said"), NO_YAML.values(), ids=NO_YAML)
def test_what_is_no_usable_yaml_is_refused_with_the_place(text: str, said: str) -> None:
    with pytest.raises(ManifestError) as refused:
        parse_yaml(text.encode(), "job.yaml")
    assert refused.value.message.startswith("job.yaml")
    assert said in refused.value.message


def test_a_file_that_is_no_text_is_refused_with_the_first_bad_byte() -> None:
    with pytest.raises(ManifestError, match=r"not UTF-8 text \(byte 4\)") as refused:
        parse_yaml(b"\0\0\0\x18\xfftypmp42", "video.mp4")
    assert "not the video" in refused.value.hint


def test_a_tab_is_called_a_tab() -> None:
    with pytest.raises(ManifestError) as refused:
        parse_yaml(b"spec:\n\tsource: x", "job.yaml")
    assert "no tabs" in refused.value.hint


READ = {
    "aliases": ("a: &x [1, 2]\nb: [*x, *x]", {"a": [1, 2], "b": [[1, 2], [1, 2]]}),
    "merges": ("a: &x {k: 1}\nb: {<<: *x, l: 2}", {"a": {"k": 1}, "b": {"k": 1, "l": 2}}),
    "JSON": ('{"a": [1, true, null]}', {"a": [1, True, None]}),
    "a byte order mark": ("\ufeffa: 1", {"a": 1}),
    "Korean": ("a: 안녕", {"a": "안녕"}),
}


@pytest.mark.parametrize(("text", "value"), READ.values(), ids=READ)
def test_ordinary_yaml_is_read(text: str, value: object) -> None:
    assert parse_yaml(text.encode(), "job.yaml") == value


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A good manifest."""
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(command_line.manifest(quality=60)))
    return path


def test_relative_paths_start_at_the_folder_of_the_manifest(
    job: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path.parent)
    assert read_manifest(str(job.relative_to(tmp_path.parent))).base == tmp_path


def test_assignments_come_before_values_which_are_taken_as_they_are(job: Path) -> None:
    values = {("spec", "output", "uri"): "- [not yaml"}
    manifest = read_manifest(str(job), ["spec.options.quality=80", "spec.output.uri=other.mp4"], values)
    assert manifest.job.spec.options.quality == 80
    assert manifest.job.spec.output.uri == "- [not yaml"


def test_a_value_makes_the_mapping_that_it_needs(tmp_path: Path) -> None:
    data = command_line.manifest()
    del data["spec"]["output"]
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(data))
    assert read_manifest(str(path), values={("spec", "output", "uri"): "x.mp4"}).job.spec.output.uri == "x.mp4"


BAD_FILES = {
    "there is none": (None, "There is no file"),
    "a directory": ("directory", "is a directory"),
    "larger than any manifest": (b"#" * (LARGEST_BYTES + 1), "larger than 8 MB"),
    "a list": (b"- 1", "must be a mapping with apiVersion"),
    "one problem": (b"kind: RenderJob", "3 problems"),
}


@pytest.mark.parametrize(("content", "said"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_file_that_is_no_manifest_is_refused_by_name(tmp_path: Path, content: bytes | str | None, said: str) -> None:
    path = tmp_path / "job.yaml"
    if content == "directory":
        path.mkdir()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    with pytest.raises(ManifestError) as refused:
        read_manifest(str(path))
    assert str(path) in refused.value.message
    assert said in refused.value.message


def test_every_problem_of_a_manifest_is_told_at_once(job: Path) -> None:
    with pytest.raises(ManifestError) as refused:
        read_manifest(str(job), ["spec.options.qualty=80", "spec.source.uri=", "metadata.name=UPPER"])
    for words in ("spec.options.qualty: unknown field; did you mean quality?", "spec.source", "metadata.name"):
        assert words in refused.value.message


OUT_OF_RANGE = {
    "quality": ("spec.options.quality=150", "spec.options.quality: 150 is above 100"),
    "width": ("spec.options.width=10", "spec.options.width: 10 is below 64"),
    "rate": ("spec.options.fps=0", "spec.options.fps"),
    "format": ("spec.options.format=avi", "'avi' is not one of mp4, mov, webm"),
}


@pytest.mark.parametrize(("assignment", "said"), OUT_OF_RANGE.values(), ids=OUT_OF_RANGE)
def test_options_out_of_range_have_their_own_code(job: Path, assignment: str, said: str) -> None:
    with pytest.raises(OptionsError) as refused:
        read_manifest(str(job), [assignment])
    assert said in refused.value.message
