from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import pytest
from pydantic import ValidationError

from ecg_api.plan import AudioFacts, Plan, SegmentPlan, SourceFacts

SOURCE: dict[str, Any] = {
    "uri": "in.mp4",
    "identity": "abc",
    "size_bytes": None,
    "container": "mp4",
    "codec": "h264",
    "width": 1920,
    "height": 1080,
    "coded_width": 1440,
    "coded_height": 1088,
    "rotation": 0,
    "sample_aspect": "4/3",
    "rate": "30000/1001",
    "time_base": "1/30000",
    "start_seconds": "-1/30",
    "frames": 60,
    "duration_seconds": 2.002,
    "variable_rate": False,
    "pixel_format": "yuv420p",
    "bit_depth": 8,
    "matrix": "bt709",
    "full_range": False,
    "transfer": None,
    "audio": [AudioFacts(index=1, codec="aac", channels=2, sample_rate=48000, start_seconds="0/1")],
}


TARGET = Target(
    width=1920,
    height=1080,
    rate="30000/1001",
    frames=60,
    colour=OutputColour(matrix="bt709", full_range=False, bit_depth=8, transfer=None),
    encoder="x264",
    quality=90,
    preset="veryfast",
    fit="cover",
    format="mp4",
)


def segment(index: int, start: int, end: int, **others: Any) -> SegmentPlan:
    values: dict[str, Any] = {"work": 0, "captioned_frames": 0} | others
    return SegmentPlan(index=index, start=start, end=end, **values)


def plan(*segments: SegmentPlan, reused: tuple[int, ...] = ()) -> Plan:
    """Return a plan of 60 frames in three cells of 25, 25 and 10."""
    cells = [CellPlan(key=f"k{number}", seek=None, captioned_frames=0, reused=number in reused) for number in range(3)]
    return Plan(
        name="demo",
        source=SourceFacts(**SOURCE),
        target=TARGET,
        cell_frames=25,
        cells=cells,
        segments=list(segments),
        captioned_frames=0,
        distinct_frames_estimate=0,
        estimated_seconds=1.5,
        warnings=[],
    )


def test_a_plan_travels_as_camel_case_json_and_comes_back_equal() -> None:
    whole = plan(segment(0, 0, 25), segment(1, 25, 60))
    written = whole.model_dump_json()
    assert json.loads(written)["cells"][1]["captionedFrames"] == 0
    assert json.loads(written)["source"]["audio"][0]["sampleRate"] == 48000
    assert Plan.model_validate_json(written) == whole


def test_rates_and_times_are_exact_fractions() -> None:
    whole = plan(segment(0, 0, 60))
    assert whole.target.exact_rate == Fraction(30000, 1001)
    assert whole.target.duration == Fraction(2002, 1000)
    assert whole.source.exact_rate == Fraction(30000, 1001)
    assert whole.source.tick == Fraction(1, 30000)
    assert whole.source.start == Fraction(-1, 30)
    assert whole.source.pixel_aspect == Fraction(4, 3)
    assert whole.source.audio[0].start == 0


def test_cells_and_segments_know_each_other() -> None:
    whole = plan(segment(0, 0, 25), segment(1, 50, 60), reused=(1,))
    assert [whole.cell_range(cell) for cell in range(3)] == [(0, 25), (25, 50), (50, 60)]
    assert [list(whole.cells_of(part)) for part in whole.segments] == [[0], [2]]
    assert whole.reused_cells == 1
    assert plan(reused=(0, 1, 2)).segments == []


@pytest.mark.parametrize(
    ("segments", "reused", "complaint"),
    [
        ([segment(0, 0, 25)], (), "the segments render the cells"),
        ([segment(0, 0, 60)], (1,), "the segments render the cells"),
        ([segment(0, 0, 50), segment(1, 25, 60)], (), "the segments render the cells"),
        ([segment(0, 1, 60)], (), "segment 0 does not begin and end with a cell"),
        ([segment(0, 0, 25), segment(1, 25, 55)], (), "segment 1 does not begin and end with a cell"),
        ([segment(1, 0, 60)], (), "segment 1 does not begin and end with a cell"),
        ([], (), "the segments render the cells"),
    ],
)
def test_every_missing_cell_belongs_to_exactly_one_segment(
    segments: list[SegmentPlan], reused: tuple[int, ...], complaint: str
) -> None:
    with pytest.raises(ValidationError, match=complaint):
        plan(*segments, reused=reused)


@pytest.mark.parametrize(
    ("start", "end", "others", "complaint"),
    [
        (10, 10, {}, "not in order"),
        (0, 20, {"captioned_frames": 21}, "21 captioned frames in a segment of 20"),
        (-1, 20, {}, "greater than or equal to 0"),
    ],
)
def test_a_segment_holds_together(start: int, end: int, others: dict[str, int], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        segment(0, start, end, **others)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rate", "30"),
        ("rate", "0/1"),
        ("rate", "-30/1"),
        ("rate", "1/0"),
        ("time_base", "29.97"),
        ("start_seconds", "0"),
        ("start_seconds", "1/-3"),
        ("rotation", 45),
        ("matrix", "rgb"),
        ("duration_seconds", float("nan")),
        ("duration_seconds", 0),
        ("frames", 0),
    ],
)
def test_facts_that_cannot_be_are_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError, match="1 validation error"):
        SourceFacts(**SOURCE | {field: value})


def test_facts_of_another_make_are_refused() -> None:
    with pytest.raises(ValidationError, match="extra"):
        SourceFacts(**SOURCE | {"colour": "red"})
