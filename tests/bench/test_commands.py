"""The commands that the benchmark compares."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from bench.commands import CRF, QUALITY, Renderer, captions_only, render, renderer, transcode
from bench.errors import BenchError
from bench.footage import footage
from bench.runner import Comparing, compare
from ecg_api.renderjob import parse_render_job

CLIP = Path("/footage/clip.mp4")


def test_the_job_is_a_valid_render_job_with_the_same_encoding_as_the_floor(tmp_path: Path) -> None:
    render(Renderer(("ecg-render",)), CLIP, "busy", 6, tmp_path)
    job = parse_render_job(yaml.safe_load((tmp_path / "job.yaml").read_text()))
    floor = transcode(CLIP)
    assert job.spec.options.preset == floor[floor.index("-preset") + 1]
    assert str(CRF) == floor[floor.index("-crf") + 1]
    assert round(36.2 - 0.222 * job.spec.options.quality) == CRF
    assert job.spec.options.quality == QUALITY
    assert job.spec.options.encoder == "x264"
    assert len(json.loads((tmp_path / "scenario.json").read_text())["cues"]) == 2


def test_the_renderer_may_be_started_by_any_command() -> None:
    started = renderer("nice -n 1 'my renderer'")
    assert captions_only(started, Path("job.yaml"), 9)[:4] == ["nice", "-n", "1", "my renderer"]


def test_missing_footage_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="scripts/footage"):
        footage(6, tmp_path / "none.mp4")


def test_a_renderer_that_prints_no_json_is_told() -> None:
    how = Comparing(Renderer(("echo", "hello")), pairs=1, floor=False)
    with pytest.raises(BenchError, match=r"printed no JSON object but: 'hello|control group"):
        compare("sparse", CLIP, 6, how, lambda line: None)
