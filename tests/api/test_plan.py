from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import pytest
from pydantic import ValidationError

from ecg_api.plan import AudioFacts, Plan, SeekPoint, SegmentPlan, SourceFacts

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


def segment(index: int, start: int, end: int, **others: Any) -> SegmentPlan:
    values: dict[str, Any] = {"pre_roll": start, "content_key": f"k{index}", "work": 0, "captioned_frames": 0} | others
    return SegmentPlan(index=index, start=start, end=end, **values)


def test_places_to_seek_travel_as_short_lists() -> None:
    source = SourceFacts(**SOURCE | {"seek_points": [SeekPoint(1.25, 1.5)]})
    sent = source.model_dump_json()
    assert '"seekPoints":[[1.25,1.5]]' in sent
    assert SourceFacts.model_validate_json(sent) == source


def plan(*segments: SegmentPlan, frames: int = 60) -> Plan:
    return Plan(
        name="demo",
        source=SourceFacts(**SOURCE),
        width=1920,
        height=1080,
        rate="30000/1001",
        frames=frames,
        segments=list(segments),
        captioned_frames=0,
        distinct_frames_estimate=0,
        estimated_seconds=1.5,
        warnings=[],
    )


def test_a_plan_travels_as_camel_case_json_and_comes_back_equal() -> None:
    whole = plan(segment(0, 0, 25), segment(1, 25, 60, pre_roll=10))
    written = whole.model_dump_json()
    assert json.loads(written)["segments"][1]["preRoll"] == 10
    assert json.loads(written)["source"]["audio"][0]["sampleRate"] == 48000
    assert Plan.model_validate_json(written) == whole


def test_rates_and_times_are_exact_fractions() -> None:
    whole = plan(segment(0, 0, 60))
    assert whole.exact_rate == Fraction(30000, 1001)
    assert whole.duration == Fraction(2002, 1000)
    assert whole.source.exact_rate == Fraction(30000, 1001)
    assert whole.source.tick == Fraction(1, 30000)
    assert whole.source.start == Fraction(-1, 30)
    assert whole.source.pixel_aspect == Fraction(4, 3)
    assert whole.source.audio[0].start == 0


@pytest.mark.parametrize(
    ("segments", "complaint"),
    [
        ([segment(0, 0, 20), segment(1, 25, 60)], "segment 1 starts at frame 25, not 20"),
        ([segment(0, 0, 30), segment(1, 20, 60)], "segment 1 starts at frame 20, not 30"),
        ([segment(0, 5, 60)], "segment 0 starts at frame 5, not 0"),
        ([segment(0, 0, 50)], "the segments end at frame 50, the result at 60"),
        ([segment(1, 0, 60)], "segment 1 starts at frame 0"),
        ([], "at least 1 item"),
    ],
)
def test_every_frame_belongs_to_exactly_one_segment(segments: list[SegmentPlan], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        plan(*segments)


@pytest.mark.parametrize(
    ("start", "end", "others", "complaint"),
    [
        (10, 10, {}, "not in order"),
        (10, 20, {"pre_roll": 11}, "not in order"),
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
