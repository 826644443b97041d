"""Words without times, with reversed ones, or with such as lie outside their cue."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest

from ecg_renderer.model import FrameGrid, FrameRange
from ecg_renderer.planning import alive_frames
from ecg_renderer.scenario import Scenario, prepare
from ecg_renderer.scenario.times import plugin_window

Caption = Callable[..., dict[str, Any]]
COLOUR = {"name": "cwi-color", "params": {"color": "#ff0000"}, "timeOffset": [0, 0]}


def prepared(raw: dict[str, Any], rate: Fraction | None = None) -> Scenario:
    return prepare(raw, duration=10.0, rate=rate, known_plugins={"cwi-color": {}})


def words(caption: Caption, *times: Any, texts: str = "abcdefgh", shown: Any = (1, 5)) -> dict[str, Any]:
    children = [
        {
            "id": f"w{index}",
            "eType": "text",
            "text": texts[index] * (index + 1 if texts == "length" else 1),
            "pluginChain": [dict(COLOUR)],
            **({} if base == "missing" else {"baseTime": base}),
        }
        for index, base in enumerate(times)
    ]
    return caption(cue={"domLifetime": list(shown)}, root={"displayTime": list(shown), "children": children})


def bases(scenario: Scenario) -> list[Any]:
    return [
        child["pluginChain"][0].get("baseTime", child.get("baseTime"))
        for child in scenario.data["cues"][0]["root"]["children"]
    ]


@pytest.mark.parametrize(
    ("times", "expected", "warning"),
    [
        (["missing", "missing"], [None, None], None),
        (
            [[1, 2], "missing", "missing", [3, 4]],
            [[1, 2], [2, 2.5], [2.5, 3], [3, 4]],
            "is missing: taken to be [2, 2.5]",
        ),
        ([[1, 2], None, [3, 4]], [[1, 2], [2, 3], [3, 4]], "is missing"),
        ([[1, 2], "missing", [2, 4]], [[1, 2], [2, 2], [2, 4]], "is missing"),
        ([[1, 3], "missing", [2, 4]], [[1, 3], [3, 3], [2, 4]], "is missing"),
        (["missing", [1.5, 2]], [[1, 1.5], [1.5, 2]], "is missing"),
        (["missing", [4, 5]], [[3, 4], [4, 5]], "is missing"),
        ([[1, 2], "missing"], [[1, 2], [2, 3]], "is missing"),
        ([[1, 4.5], "missing"], [[1, 4.5], [4.5, 5]], "is missing"),
        ([[1.5, 1.3], [1.7, 2]], [[1.5, 1.7], [1.7, 2]], "ends at 1.3 s, before it starts at 1.5 s"),
        ([[1.7, 0], [4, 5]], [[1.7, 2.7], [4, 5]], "ends at 0 s, before it starts at 1.7 s"),
        ([[4.8, 4.1]], [[4.8, 5]], "ends at 4.1 s"),
        ([[1, 2], [None, 2.6], [3, 4]], [[1, 2], [2, 2.6], [3, 4]], "has no start"),
        ([[1, 2], [2.2, None], [3, 4]], [[1, 2], [2.2, 3], [3, 4]], "has no end"),
        ([[None, None], [3, 4]], [[2, 3], [3, 4]], "is missing"),
        ([{"start": 1, "end": 2}, {"start": 3}], [[1, 2], [3, 4]], "has no end"),
        ([["1", "2"], "missing"], [[1, 2], [2, 3]], "is missing"),
    ],
    ids=str,
)
def test_missing_times_come_from_the_words_around(
    times: list[Any], expected: list[Any], warning: str | None, caption: Caption
) -> None:
    scenario = prepared(words(caption, *times))
    assert bases(scenario) == [base if base is None else pytest.approx(base) for base in expected]
    told = [line for line in scenario.warnings if "null" not in line]
    assert bool(told) == (warning is not None), told
    assert warning is None or any(warning in line and 'cue "c", ' in line for line in told), told


def test_a_gap_is_shared_out_by_the_words_lengths(caption: Caption) -> None:
    raw = words(caption, [1, 2], "missing", "missing", [4, 5], texts="length")
    assert bases(prepared(raw))[1:3] == [[2, pytest.approx(2.8)], [pytest.approx(2.8), 4]]


@pytest.mark.parametrize(
    ("base", "expected", "warning"),
    [
        ([-0.4, 0.2], [1, 1], "is over at 0.2 s, before its text is shown at 1 s, and is shown as done"),
        ([0.2, 1.4], [0.2, 1.4], None),
        ([0.4, 1], [0.4, 1], None),
        ([5.1, 5.4], [5.1, 5.4], "would begin at 5.1 s, after its text is gone at 5 s"),
        ([4.9, 5.4], [4.9, 5.4], None),
    ],
    ids=str,
)
def test_a_word_that_is_over_before_its_cue_is_shown_as_done(
    base: list[float], expected: list[float], warning: str | None, caption: Caption
) -> None:
    scenario = prepared(words(caption, base))
    assert bases(scenario) == [expected]
    assert [warning in line for line in scenario.warnings] == ([] if warning is None else [True])


@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001), Fraction(60)])
@pytest.mark.parametrize("base", [[-1, 0.2], [2, 2], [2, 1.99], [1.2, 1.2004]], ids=str)
def test_every_word_has_taken_its_colour_within_a_frame_of_its_end(
    base: list[float], rate: Fraction, caption: Caption
) -> None:
    word = prepared(words(caption, base, [2.04, 3]), rate).data["cues"][0]["root"]["children"][0]
    (plugin,) = word["pluginChain"]
    start, end = plugin_window(plugin.get("baseTime", word["baseTime"]), plugin["timeOffset"])
    frames = alive_frames(start, end, FrameGrid(rate, 300))
    assert len(frames) >= 1
    assert float(frames.start / rate) <= max(base[0], 1) + float(1 / rate)


def test_a_word_with_a_time_of_its_own_to_be_shown_in_keeps_it(caption: Caption) -> None:
    raw = words(caption, [1, 2], "missing")
    raw["cues"][0]["root"]["children"][1]["displayTime"] = [3, 5]
    scenario = prepared(raw)
    assert bases(scenario) == [[1, 2], None]
    assert scenario.warnings == ()


@pytest.mark.parametrize(
    ("fields", "shown", "lifetime", "warning"),
    [
        (
            {"root": {"displayTime": [5, 2.5]}, "cue": {"domLifetime": None}},
            [5, 6],
            [4.5, 6.5],
            "was taken to end at 6 s",
        ),
        ({"root": {"displayTime": [5, None]}, "cue": {"domLifetime": None}}, [5, 6], [4.5, 6.5], "taken to end at 6 s"),
        ({"cue": {"domLifetime": [3, 1]}}, [1, 2], [0.5, 2.5], "cues[0].domLifetime: does not end after its start"),
    ],
    ids=str,
)
def test_a_cue_that_ends_before_it_starts_stands_until_it_is_read(
    fields: dict[str, Any], shown: list[float], lifetime: list[float], warning: str, caption: Caption
) -> None:
    scenario = prepared(caption(**fields))
    (cue,) = scenario.data["cues"]
    assert (cue["root"]["displayTime"], cue["domLifetime"]) == (shown, lifetime)
    assert any(warning in line for line in scenario.warnings), scenario.warnings


def test_flat_cues_without_an_end_end_with_the_next_or_when_they_are_read() -> None:
    flat = [
        {"text": "to the next", "start": 1},
        {"text": "reversed", "start": 1.5, "end": 1.2},
        {"text": "no start", "end": 4},
        {"text": "x" * 60, "start": 5},
    ]
    scenario = prepare({"cues": flat}, duration=20, known_plugins={})
    shown = [cue["root"]["displayTime"] for cue in scenario.data["cues"]]
    assert shown == [[1, 1.5], [1.5, 2.5], [2.5, 4], [5, pytest.approx(9)]]
    assert sum("taken to be shown from" in line for line in scenario.warnings) == 3


@pytest.mark.parametrize(
    ("shown", "rate", "frames"),
    [
        # Milliseconds of frames 13 to 24, 63 to 74 and 88 to 99 at 23.976, rounded up and down.
        ([0.542, 1.043], Fraction(24000, 1001), FrameRange(13, 25)),
        ([2.628, 3.128], Fraction(24000, 1001), FrameRange(63, 75)),
        ([3.67, 4.171], Fraction(24000, 1001), FrameRange(88, 100)),
        ([0.434, 0.867], Fraction(30000, 1001), FrameRange(13, 26)),
        ([1 / 3, 2 / 3], Fraction(30), FrameRange(10, 20)),
        ([0.333, 0.667], Fraction(30), FrameRange(10, 20)),
        ([0.0625, 0.1875], Fraction(16), FrameRange(1, 3)),
        ([0.063, 0.188], Fraction(16), FrameRange(1, 3)),
        ([0.062, 0.187], Fraction(16), FrameRange(1, 3)),
        # More than half a millisecond away is another frame.
        ([0.334, 0.668], Fraction(30), FrameRange(11, 21)),
        ([0.542, 0.551], Fraction(60), FrameRange(33, 34)),
    ],
    ids=str,
)
def test_a_time_within_half_a_millisecond_of_a_frame_is_that_frame(
    shown: list[float], rate: Fraction, frames: FrameRange
) -> None:
    assert alive_frames(shown[0], shown[1], FrameGrid(rate, 1000)) == frames


def test_the_page_looks_when_the_plan_says() -> None:
    from pathlib import Path

    from ecg_renderer.scenario import model

    stage = Path(model.__file__).parents[1] / "page/stage.js"
    assert f"const SAMPLED_AFTER = {model.SAMPLED_AFTER};" in stage.read_text()


@pytest.mark.parametrize(
    ("shown", "seen"), [([2, 2], False), ([3.01, 3.02], False), ([3, 3.01], True), ([2.99, 3.003], True)]
)
def test_a_cue_between_two_frames_is_named(shown: list[float], seen: bool, caption: Caption) -> None:
    scenario = prepared(caption(root={"displayTime": shown}, cue={"domLifetime": None}), Fraction(30))
    assert any("between two frames: it is not seen" in line for line in scenario.warnings) != seen
