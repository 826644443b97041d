"""The figures that follow from the measurements."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bench.measure import Measurement
from bench.observer import Observation
from bench.report import page, tables
from bench.results import (
    CaptureCost,
    Comparison,
    Edit,
    Exports,
    Measured,
    Round,
    Run,
    memory_growth,
    shares_of_decoding,
    spending,
)
from bench.verdicts import verdicts


def _run(
    wall: float = 10.0,
    cpu: float = 20.0,
    *,
    kinds: dict[str, float] | None = None,
    memory: list[float] | None = None,
    foreign: float = 0.0,
    stats: dict[str, Any] | None = None,
) -> Run:
    seen = Observation(cpu=kinds or {}, memory=[(float(k), mb) for k, mb in enumerate(memory or [])])
    measured = Measurement(wall, cpu, foreign, load=0.0, seen=seen, leaked=0, stdout="")
    return Run(measured, stats or {})


def _comparison(*rounds: Round, name: str = "typical", seconds: int = 30) -> Comparison:
    return Comparison(name, seconds, rounds)


def _met(comparisons: list[Comparison]) -> dict[tuple[str, str], str]:
    return {(row[0], row[1]): row[3] for row in verdicts(comparisons).rows}


def test_a_disturbed_round_does_not_count() -> None:
    quiet = Round(_run(wall=12), floor=_run(wall=10))
    disturbed = Round(_run(wall=12), floor=_run(wall=20, foreign=9))
    assert _comparison(quiet, disturbed).ratios("wall") == [pytest.approx(1.2)]


def test_rounds_count_when_all_were_disturbed() -> None:
    assert len(_comparison(Round(_run(), floor=_run(foreign=9)), Round(_run(foreign=9))).quiet) == 2


def test_the_spending_adds_up_to_the_difference() -> None:
    floor = _run(cpu=20, kinds={"ffmpeg": 19.9})
    ours = _run(cpu=25, kinds={"ffmpeg": 21.9, "chromium renderer": 1.5, "python": 1.2})
    parts = spending(_comparison(Round(ours, floor)))
    assert sum(parts.values()) == pytest.approx(5)
    assert parts["ffmpeg"] == pytest.approx(2)
    assert parts["not seen"] == pytest.approx(0.3)


def test_what_a_gpu_node_has_left_to_do_is_a_share_of_decoding() -> None:
    decoding = _run(cpu=10, kinds={"ffmpeg": 10})
    kinds = {"ffmpeg": 12.0, "chromium renderer": 2.0, "chromium gpu": 0.5, "python": 1.0}
    ours = _run(cpu=16, kinds=kinds, stats={"frames": 900, "seconds": {"rendering": 9.0}})
    beside = _comparison(Round(ours, decoding))
    shares = {"ffmpeg": 0.2, "chromium": 0.25, "python": 0.1, "all": 0.6}
    assert shares_of_decoding(beside) == pytest.approx(shares)
    table = next(table for table in tables(Measured(nvenc=[beside])) if table.title.startswith("What a GPU"))
    assert table.rows == [("typical 30 s", "0.20", "0.25", "0.10", "0.60", "100")]


@pytest.mark.parametrize(
    ("wall", "cpu", "target", "goal"),
    [
        (11.9, 23.9, "yes", "**no**"),
        (10.9, 21.5, "yes", "yes"),
        (10.9, 21.9, "yes", "**no**"),
        (11, 24.1, "**no**", "**no**"),
    ],
    ids=["within the target", "within the next goal", "too much CPU for that", "too much CPU alone"],
)
def test_a_target_is_met_on_the_clock_and_in_cpu(wall: float, cpu: float, target: str, goal: str) -> None:
    met = _met([_comparison(Round(_run(wall, cpu), floor=_run(10, 20)))])
    what = "typical 30 s: ours / FFmpeg, wall / CPU"
    assert met[what, "at most 1.20"] == target
    assert met[what, "next goal 1.10 / 1.08"] == goal


@pytest.mark.parametrize(("wall", "met"), [(0.79, "yes"), (0.81, "**no**")])
def test_a_single_frame_is_there_in_less_than_a_second(wall: float, met: str) -> None:
    rounds = [Round(_run(each), floor=_run(0.2)) for each in (1.5, wall)]
    assert _met([_comparison(*rounds, name="one-frame", seconds=0)])["one-frame: from start to end", "0.8 s"] == met


@pytest.mark.parametrize(("wall", "met"), [(240.0, "yes"), (250.0, "**no**")])
def test_the_ratio_must_not_grow_with_the_length_of_the_clip(wall: float, met: str) -> None:
    short = _comparison(Round(_run(12, 24), floor=_run(10, 20)))
    long = _comparison(Round(_run(wall, 480), floor=_run(200, 400)), seconds=600)
    assert _met([short, long])["typical: growth of the ratio from 30 s to 600 s", "at most 0.03"] == met


@pytest.mark.parametrize(("within", "across", "met"), [(13.9, 15, "yes"), (14.1, 15, "**no**")])
def test_an_edit_is_judged_by_where_it_is(within: float, across: float, met: str) -> None:
    edit = Edit("typical", 600, _run(400), within=_run(within), across=_run(across))
    rows = {row[0]: row[3] for row in verdicts([], [edit]).rows}
    assert rows["typical 600 s: one word changed within a piece"] == met
    assert rows["typical 600 s: one word changed across a border"] == "**no**"


def test_exports_are_judged_by_the_clock_of_the_video() -> None:
    exported = Exports("typical", 30, _run(20), captions=_run(11.9), together=_run(28.1))
    rows = {row[0]: row[2:] for row in verdicts([], exports=[exported]).rows}
    assert rows["typical 30 s: captions alone / the video, wall"] == ("0.59", "yes")
    assert rows["typical 30 s: video, captions and subtitles / the video, wall"] == ("1.41", "**no**")


def test_memory_growth_leaves_the_start_out() -> None:
    assert memory_growth(_run(memory=[10, 200, 500, 500, 500, 500, 500, 500, 500, 500])) == 1
    assert memory_growth(_run(memory=[400, 400, 500, 500, 500, 500, 750, 750, 750, 750])) == 1.5
    assert memory_growth(_run(memory=[400, 500])) is None


def test_the_page_shows_conditions_and_every_table() -> None:
    stats = {
        "frames": 900,
        "framesDropped": 0,
        "capture": "canvas",
        "seconds": {"plan": 0.5},
        "firstFrameSeconds": 1.25,
    }
    ours = _run(11, 22, kinds={"ffmpeg": 20.0}, memory=[300.0] * 10, stats=stats)
    floor = _run(10, 20, kinds={"ffmpeg": 19.0})
    cost = CaptureCost("canvas", 4, 180, 170, 0.34, 0.6, 0.5, 1.1)
    plugins = [replace(cost, scenario="glow", browser_seconds=seconds) for seconds in (0.1, 0.9)]
    again = _run(1, 2, stats={"cells": 12, "cellsReused": 11})
    measured = Measured(
        [_comparison(Round(ours, floor, floor))],
        edits=[Edit("typical", 120, ours, within=again, across=again)],
        exports=[Exports("typical", 30, ours, captions=again, together=ours)],
        captures=[cost],
        plugins=plugins,
    )
    text = page({"Python": "3.11"}, tables(measured))
    assert "- Python: 3.11" in text
    assert "| typical 30 s | 10.00 / 20.00 | 10.00 / 20.00 | 11.00 / 22.00 | 1.10, 1.10 | 1.10, 1.10 |" in text
    assert "| typical 30 s | 900 | - | 0 | - | canvas | - | 1.25 |" in text
    assert "| canvas, 4 stages | 1.9 | 2.0 |" in text
    assert text.index("| glow | 5.0 | 5.3 |") < text.index("| glow | 0.6 | 0.6 |")
    assert "| typical 120 s, within a piece | 11.00 / 22.00 | 1.00 / 2.00 | 9.1 % | 11 of 12 |" in text
    assert "| typical 30 s | 11.00 / 22.00 | 1.00 / 2.00 | 11.00 / 22.00 |" in text
    assert text.count("\n## ") == 10
