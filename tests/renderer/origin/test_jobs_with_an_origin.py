"""Jobs whose plugins come from an origin: on one machine, and in pods that outlive it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest

import clips
from captions import render_job, scenario, word_cue
from command_line import scenario as plain_scenario
from ecg_api.pods import SegmentReport
from ecg_api.renderjob import Plugins, RenderJob
from ecg_renderer.errors import ManifestError
from ecg_renderer.inspection import Surroundings, inspect
from ecg_renderer.planning import Cutting
from ecg_renderer.preparation import PreparedJob, planned_here, prepare_job
from ecg_renderer.request import RunRequest
from ecg_renderer.scenario import Picture
from ecg_renderer.storage import CellStore
from plugin_origin import Answer, Origin, plugins, serving
from renders import SETTINGS, NoBrowser, rendered
from worker_pods import Pods, job_of

CLIP = clips.Clip(frames=30)


@pytest.fixture
def origin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Origin]:
    with serving(plugins()) as served:
        monkeypatch.setenv("ECG_PLUGIN_ORIGINS", served.url)
        yield served


def job_with(folder: Path, origin: str | None, *names: str) -> RenderJob:
    captions = scenario([word_cue(0, 0, 1, ())])
    for word, name in zip(captions["cues"][0]["root"]["children"], names, strict=False):
        word["pluginChain"] = [{"name": name, "params": {}}]
    job = render_job(clips.counter(CLIP), captions, folder / "out.mp4")
    return job.model_copy(update={"spec": job.spec.model_copy(update={"plugins": Plugins(origin=origin)})})


def planned(job: RenderJob, folder: Path) -> PreparedJob:
    return asyncio.run(prepare_job(job, folder, Cutting(), store=CellStore((folder / "cells").as_uri())))


def test_versions_are_those_of_the_editor(tmp_path: Path, origin: Origin) -> None:
    prepared = planned(job_with(tmp_path, origin.url, "slide", "slide@2.0.0", "hop@1.0.0", "hop"), tmp_path)

    assert set(prepared.planner.modules) == {"slide@2.0.0", "hop@1.0.0"}
    assert [plugin.key for plugin in prepared.plan.plugins] == ["hop@1.0.0", "slide@2.0.0"]
    assert prepared.scenario.plugins == {"slide", "slide@2.0.0", "hop@1.0.0"}
    assert any('"hop" is not there' in warning for warning in prepared.plan.warnings)


def test_what_the_origin_does_not_have_is_ours_then_still(tmp_path: Path, origin: Origin) -> None:
    prepared = planned(job_with(tmp_path, origin.url, "cwi-loud@2.0.0", "elastic", "sparkle@2.0.0", "slide"), tmp_path)

    assert prepared.scenario.plugins == {"cwi-loud", "elastic", "slide"}
    warnings = " ".join(prepared.plan.warnings)
    assert "asks for elastic, which the plugin origin does not have; the renderer's own was taken" in warnings
    assert '"sparkle" is not there' in warnings


def test_every_byte_of_a_plugin_is_in_the_keys_of_the_cells_that_show_it(tmp_path: Path, origin: Origin) -> None:
    job = job_with(tmp_path, origin.url, "slide")
    before, again = planned(job, tmp_path).plan, planned(job, tmp_path).plan
    origin.answers["slide@2.0.0/lib/ease.mjs"].body += b"\n"
    changed, ours = planned(job, tmp_path).plan, planned(job_with(tmp_path, None, "slide"), tmp_path).plan

    assert before == again
    assert len({plan.cells[0].key for plan in (before, changed, ours)}) == 3


def test_a_job_names_no_origin_that_the_machine_does_not_allow(tmp_path: Path, origin: Origin) -> None:
    with pytest.raises(ManifestError, match=r"spec\.plugins\.origin: http://localhost:1 is not one of the origins"):
        planned(job_with(tmp_path, "http://localhost:1", "slide"), tmp_path)
    assert origin.asked == []


def test_the_machine_has_an_origin_for_jobs_that_name_none(
    tmp_path: Path, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECG_PLUGIN_ORIGIN", origin.url)
    assert set(planned(job_with(tmp_path, None, "slide"), tmp_path).planner.modules) == {"slide@2.0.0"}


def test_a_scenario_is_checked_with_the_plugins_of_the_machines_origin(
    origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    around = Surroundings(Picture(640, 360), Fraction(30), 2)
    captions = plain_scenario("one", seconds=2, plugin="slide")

    def kinds() -> set[str]:
        inspection = asyncio.run(inspect(captions, "captions.json", around, browser=False))
        return {finding.kind for finding in inspection.findings}

    assert kinds() == {"unknown plugin slide"}
    monkeypatch.setenv("ECG_PLUGIN_ORIGIN", origin.url)
    assert kinds() == set()


def test_a_plugin_that_fails_is_told_by_the_render_and_by_all_that_use_its_pieces(
    tmp_path: Path, origin: Origin
) -> None:
    secret = "never seen in a log"
    script = f"export function animate() {{\n  throw new Error('{secret}');\n}}"
    origin.answers["slide@2.0.0/index.mjs"] = Answer(script.encode())
    job = job_with(tmp_path, origin.url, "hop@1.0.0", "slide")
    [cue] = job.spec.scenario.inline["cues"]  # type: ignore[index]
    cue["root"]["children"][0] |= {"text": "wide" * 200, "style": {"fontFamily": "No Such Family"}}
    result = rendered(job, tmp_path)

    [warning] = [text for text in result.warnings if "slide" in text]
    assert warning == (
        'The plugin slide@2.0.0, which an origin gave, failed, at 2:9 in it on "word" in the cue "cue-0": '
        "the text is shown without it."
    )
    assert secret not in json.dumps(result.model_dump(mode="json"))
    assert result.frames == 30

    request = RunRequest(job, tmp_path, SETTINGS, cells=tmp_path / "cells")
    assert warning in asyncio.run(planned_here(request)).plan.warnings
    again = rendered(job, tmp_path, launcher=NoBrowser())
    assert again.cells_reused == again.cells
    assert {text.split(":")[0] for text in again.concerns} >= {"cues[0].root.children[0]", warning.split(":")[0]}
    assert ["leaves the picture" in text for text in again.concerns].count(True) == 1
    assert sorted(again.concerns) == sorted(result.concerns)


def test_segments_use_what_the_plan_fetched(tmp_path: Path) -> None:
    (tmp_path / "video.mp4").write_bytes(clips.counter(clips.Clip(frames=50, rate="25")).read_bytes())
    captions = plain_scenario("one", "two", seconds=2, plugin="sparks")
    captions["cues"][0]["root"]["children"][0]["pluginChain"].append({"name": "broken"})
    with serving(plugins()) as origin:
        origin.answers["broken@2.0.0/manifest.json"] = Answer(b'{"name": "broken", "version": "2.0.0"}')
        origin.answers["broken@2.0.0/index.mjs"] = Answer(b"export function animate() { throw new Error(''); }")
        pods = Pods(tmp_path, job_of(tmp_path, captions), environment={"ECG_PLUGIN_ORIGIN": origin.url})
        assert pods.run("plan").code == 0
        origin.answers["sparks@2.0.0/index.mjs"] = Answer(b"throw new Error('changed')")
    stored = {path: path.read_bytes() for path in (pods.work / "plugins").iterdir()}
    assert {path.name for path in stored} == {
        file["sha256"] for plugin in pods.plan["plugins"] for file in plugin["files"]
    }

    for path in stored:
        path.write_bytes(b"export const animate = () => {};")
    end = pods.segment(0)
    assert end.code != 0
    assert "Another file is there than the planned plugins/" in end.log

    for path, body in stored.items():
        path.write_bytes(body)
    end = pods.segment(0)
    assert end.code == 0, end.log
    assert isinstance(end.report, SegmentReport)
    [said] = [text for text in end.report.warnings if "broken@2.0.0" in text]
    assert 'failed, at 1:35 in it on "one" in the cue' in said
    assert "sparks" not in end.log
    assert len(origin.asked) == 4
    again = pods.segment(0)
    assert isinstance(again.report, SegmentReport)
    assert (again.report.reused, again.report.warnings) == (True, [said])
