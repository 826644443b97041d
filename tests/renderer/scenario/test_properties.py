"""Whatever a scenario says, as long as it is valid: every frame is accounted for, and what is repaired stays so."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from fractions import Fraction
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecg_renderer.errors import ScenarioError
from ecg_renderer.model import FrameGrid, FrameRange
from ecg_renderer.planning import Activity, alive_frames, film_of
from ecg_renderer.scenario import Picture, Report, prepare
from ecg_renderer.scenario.model import SAMPLED_AFTER
from ecg_renderer.scenario.times import plugin_window
from ecg_renderer.served import known_plugins
from ecg_renderer.subtitles import is_subtitles, subtitle_scenario

KNOWN = {name: known_plugins()[name] for name in ("cwi-color", "fadein")}
SECONDS = 12.0
BOUNDED = settings(
    max_examples=60,
    deadline=timedelta(seconds=20),
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)

RATES = st.sampled_from(
    [Fraction(24000, 1001), Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(30), Fraction(50),
     Fraction(60000, 1001), Fraction(60), Fraction(15), Fraction(120), Fraction(1)]
)  # fmt: skip
TIMES = st.one_of(
    st.floats(-1, SECONDS + 2, allow_nan=False),
    st.integers(-1000, 14000).map(lambda milliseconds: milliseconds / 1000),
    st.integers(0, 360).map(lambda frame: frame / 30),
)
RANGES = st.tuples(TIMES, TIMES).map(sorted).map(list)
OFFSETS = st.lists(st.one_of(st.floats(-0.5, 0.5), st.sampled_from(["0%", "100%", "-10%"])), min_size=2, max_size=2)
TEXTS = st.text(max_size=12)


@st.composite
def words(draw: st.DrawFn) -> dict[str, Any]:
    word: dict[str, Any] = {"eType": "text", "text": draw(TEXTS)}
    if draw(st.booleans()):
        word["baseTime"] = draw(RANGES)
    if draw(st.booleans()):
        word["pluginChain"] = [{"name": draw(st.sampled_from(list(KNOWN))), "timeOffset": draw(OFFSETS)}]
    return word


@st.composite
def scenarios(draw: st.DrawFn) -> dict[str, Any]:
    cues = []
    for index in range(draw(st.integers(0, 6))):
        children = draw(st.lists(words(), min_size=1, max_size=4))
        root = {"eType": "group", "displayTime": draw(RANGES), "children": children}
        cues.append({"id": f"c{index}", "track": "caption", "root": root})
    return {"version": "2.0", "tracks": [{"id": "caption", "type": "subtitle"}], "cues": cues}


PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["define.x", "define.", "group", "text", "fadein", "1", "2.0", "1.3", "ms", "Exo 2", "#f80"]),
)
NAMES = """id track tracks root cues eType e_type text children displayTime baseTime domLifetime hintTime
absStart absEnd start end style boxStyle layout define pluginChain name params timeOffset color
palette speaker fontFamily stage timebase version childrenLayout segments words word offsets from to
results items transcription tokens alternatives content type start_time end_time"""
JUNK = st.recursive(
    PLAIN,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(NAMES.split()), inner, max_size=6)
    ),
    max_leaves=30,
)
NOISE = st.binary(max_size=60)
FILES = st.one_of(
    JUNK.filter(lambda junk: isinstance(junk, dict | list)).map(lambda junk: json.dumps(junk).encode()),
    NOISE.map(lambda noise: b"1\n00:00:01,000 --> 00:00:02,000\n" + noise),
    NOISE.map(lambda noise: b"WEBVTT\n\n00:01.000 --> 00:02.000\n" + noise),
    NOISE.map(lambda noise: b"[Script Info]\n[Events]\nFormat: Start, End, Text\nDialogue: " + noise),
)


@BOUNDED
@given(scenarios(), RATES)
def test_no_frame_is_lost_doubled_or_moved(raw: dict[str, Any], rate: Fraction) -> None:
    grid = FrameGrid(rate, max(1, int(SECONDS * rate)))
    prepared = prepare(raw, duration=grid.seconds(grid.frames), rate=rate, known_plugins=KNOWN)
    cell = max(1, round(3 * rate))
    parts = [FrameRange(start, min(start + cell, grid.frames)) for start in range(0, grid.frames, cell)]
    activity = Activity.of(prepared.cues, grid)
    films = [
        film_of(prepared, part, grid, activity, size=(640, 360), cell_frames=cell, preview_layout=False)
        for part in parts
    ]
    captured = [
        frame for film in films for block in film.blocks for frame in range(block.frames.start, block.frames.end)
    ]
    assert captured == [frame for frame in range(grid.frames) if activity.alive[frame]]
    for part, film in zip(parts, films, strict=True):
        shown = {cue["id"] for cue in film.scenario["cues"]}
        for cue in prepared.cues:
            frames = alive_frames(cue.start, cue.end, grid)
            seen = max(frames.start, part.start) < min(frames.end, part.end)
            assert not seen or cue.id in shown


@BOUNDED
@given(scenarios(), RATES)
def test_each_cue_is_seen_within_its_time(raw: dict[str, Any], rate: Fraction) -> None:
    grid = FrameGrid(rate, max(1, int(SECONDS * rate)))
    prepared = prepare(raw, duration=grid.seconds(grid.frames), rate=rate, known_plugins=KNOWN)
    for cue, origin in zip(prepared.cues, prepared.origins, strict=True):
        start, end = raw["cues"][origin]["root"]["displayTime"]
        frames = alive_frames(cue.start, cue.end, grid)
        for frame in (frames.start, frames.end - 1) if len(frames) else ():
            sampled = float(grid.seconds(frame)) + SAMPLED_AFTER
            assert start - 1e-7 <= sampled <= end + 1e-7
        for first, last in cue.animated:
            assert cue.start <= first <= last <= cue.end


@BOUNDED
@given(scenarios(), RATES)
def test_every_word_with_a_plugin_runs_it_if_it_is_ever_shown(raw: dict[str, Any], rate: Fraction) -> None:
    prepared = prepare(raw, duration=SECONDS, rate=rate, known_plugins=KNOWN)
    for cue in prepared.data["cues"]:
        shown = cue["root"]["displayTime"]
        for word in cue["root"]["children"]:
            for plugin in word.get("pluginChain", ()):
                base = plugin.get("baseTime", word.get("baseTime", shown))
                first, last = plugin_window(base, plugin.get("timeOffset"))
                late_or_never = first > shown[1] or first > last
                assert late_or_never or last >= max(shown[0], cue["domLifetime"][0])


@BOUNDED
@given(scenarios())
def test_what_was_prepared_is_the_same_when_it_is_prepared_again(raw: dict[str, Any]) -> None:
    once = prepare(raw, duration=SECONDS, rate=Fraction(30), known_plugins=KNOWN)
    again = prepare(once.data, duration=SECONDS, rate=Fraction(30), known_plugins=KNOWN)
    assert again.data == once.data
    assert again.cues == once.cues


@settings(BOUNDED, max_examples=150)
@given(JUNK, st.sampled_from(["1.3", "2.0", None]))
def test_anything_is_prepared_or_refused_with_a_path(junk: Any, version: str | None) -> None:
    raw = junk if isinstance(junk, dict) else {"cues": junk if isinstance(junk, list) else [junk]}
    if version:
        raw = {**raw, "version": version}
    try:
        prepared = prepare(raw, duration=SECONDS, rate=Fraction(25), known_plugins=KNOWN, origin="junk")
    except ScenarioError as error:
        assert error.message.startswith("junk")
        return
    json.dumps(prepared.data, allow_nan=False)
    assert all(finding.path for finding in prepared.findings)


@settings(BOUNDED, max_examples=150)
@given(FILES)
def test_any_file_is_read_or_refused_by_name(raw: bytes) -> None:
    if not is_subtitles(raw):
        return
    try:
        scenario = subtitle_scenario(raw, Report("noise"), Picture(640, 360), "karaoke")
    except ScenarioError as error:
        assert error.message.startswith("noise")
        return
    prepare(scenario, duration=SECONDS, known_plugins=KNOWN)


@BOUNDED
@given(st.lists(st.tuples(st.integers(0, 9000), st.integers(0, 3000), st.text(min_size=1, max_size=90)), max_size=5))
def test_each_word_of_subtitles_is_shown_once_within_its_line(cues: list[tuple[int, int, str]]) -> None:
    # What is said twice at one time is shown once.
    known = {
        (start, length, *text.split()): (start / 1000, (start + length) / 1000, text) for start, length, text in cues
    }
    shown = [cue for cue in known.values() if cue[2].split()]
    raw = {"segments": [{"start": start, "end": end, "text": text} for start, end, text in shown]}
    if not shown:
        return
    scenario = subtitle_scenario(raw, Report("talk"), Picture(1080, 1920), "karaoke")
    said = "".join(
        "".join(word["text"] for word in sorted(line.get("children", [line]), key=lambda word: word["baseTime"]))
        for cue in scenario["cues"]
        for line in cue["root"]["children"][0]["children"]
    )
    wanted = "".join("".join(text.split()) for _, _, text in sorted(shown, key=lambda item: item[0]))
    said, wanted = (re.sub("[\u200b\u200e\u200f]", "", text) for text in ("".join(said.split()), wanted))
    assert sorted(said) == sorted(wanted)
    # One of no length is shown for as long as it takes to be read.
    latest = [(first, last if last > first else first + max(1, len(text) + 1), text) for first, last, text in shown]
    for cue in scenario["cues"]:
        start, end = cue["root"]["displayTime"]
        assert start <= end
        assert any(first - 0.001 <= start and end <= last + 0.001 for first, last, _ in latest)
