"""What was prepared, in the real MotionText: accepted, shown when the plan says, unchanged where it was valid."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from ecg_renderer.scenario import Scenario, prepare
from ecg_renderer.scenario.model import SAMPLED_AFTER
from ecg_renderer.served import known_plugins

SAMPLES = ["editor", "valid", "version_1_3", "flat"]
DURATION = 5.0
PLUGINS = {name: known_plugins()[name] for name in ("cwi-color", "cwi-loud", "fadein", "elastic")}
# Off any boundary in the samples, and on those that lie on 1/20 s.
TIMES = sorted([n / 20 for n in range(100)] + [n / 20 + 0.0137 for n in range(100)])


def prepared(raw: bytes | dict[str, Any]) -> Scenario:
    return prepare(raw, duration=DURATION, known_plugins=PLUGINS)


@pytest.mark.parametrize("name", SAMPLES)
def test_every_cue_is_in_the_page_exactly_when_its_span_says(
    name: str, sample: Callable[[str], bytes], look_at: Any
) -> None:
    scenario = prepared(sample(name))
    assert scenario.cues
    edges = [edge for cue in scenario.cues for edge in (cue.start, cue.end) if edge < DURATION]
    seen = look_at(scenario.data, sorted({*TIMES, *edges}))
    for look in seen:
        expected = {cue.id for cue in scenario.cues if cue.start <= look.time <= cue.end}
        assert set(look.cues) == expected, look.time


@pytest.mark.parametrize("name", SAMPLES)
def test_plugins_run_exactly_in_the_windows_that_the_timeline_gives(
    name: str, sample: Callable[[str], bytes], look_at: Any
) -> None:
    scenario = prepared(sample(name))
    for index, cue in enumerate(scenario.cues):
        alone = {**scenario.data, "cues": [scenario.data["cues"][index]]}
        edges = [edge for window in cue.animated for edge in window if edge < DURATION]
        for look in look_at(alone, sorted({*TIMES, *edges})):
            expected = any(start <= look.time <= end for start, end in cue.animated)
            assert bool(look.ran) == expected, (cue.id, look.time, cue.animated)


def test_what_was_valid_looks_the_same_before_and_after(sample: Callable[[str], bytes], look_at: Any) -> None:
    raw = sample("valid")
    scenario = prepared(raw)
    before = look_at(json.loads(raw), TIMES)
    assert len({look.html for look in before}) > 50
    assert before == look_at(scenario.data, TIMES)


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize(("start", "end"), [(0, 1.2), (1.9, 2.6), (2.5, 2.5), (3.3, 5)])
def test_a_slice_shows_what_the_whole_shows(
    name: str, start: float, end: float, sample: Callable[[str], bytes], look_at: Any
) -> None:
    scenario = prepared(sample(name))
    times = [time + SAMPLED_AFTER for time in TIMES if start <= time <= end] or [start + SAMPLED_AFTER]
    part = scenario.slice(start, end)
    assert look_at(part, times) == look_at(scenario.data, times)


@pytest.mark.parametrize(
    ("name", "time", "text"),
    [
        ("editor", 1, "Riversrun"),
        ("editor", 4.2, "\u2060define."),
        ("valid", 2.9, "from the cue"),
        ("version_1_3", 1, "older"),
        ("version_1_3", 3, "letter by letterno place, no time"),
        ("version_1_3", 4.2, "placed by us"),
        ("flat", 1, "Hello there"),
    ],
)
def test_the_text_is_there(name: str, time: float, text: str, sample: Callable[[str], bytes], look_at: Any) -> None:
    assert look_at(prepared(sample(name)).data, [time])[0].text == text


def test_unrepaired_samples_are_refused_by_motiontext_itself(sample: Callable[[str], bytes], look_at: Any) -> None:
    for name in ("editor", "version_1_3", "flat"):
        with pytest.raises(Exception, match=r"Error: (Undefined|Only v2\.0)"):
            look_at(json.loads(sample(name)), [0])


def test_a_long_flat_caption_breaks_into_lines_within_the_picture(
    sample: Callable[[str], bytes], look_at: Any, motiontext_page: Any
) -> None:
    look_at(prepared(sample("flat")).data, [3])
    box = motiontext_page.evaluate(
        "() => { const b = document.querySelector('.mtx-text').getBoundingClientRect();"
        " return [b.left, b.right, b.top, b.bottom]; }"
    )
    left, right, top, bottom = box
    assert 0 < left < right < 640
    assert 250 < right - left < 400  # lines are about equal, not the first one full
    assert 3 * 18 < bottom - top < 4 * 24  # three lines of text of 5 % of 360 px
    assert 240 < top < bottom < 360
