"""The captioned talks that the benchmark renders."""

from __future__ import annotations

import json
import subprocess
from itertools import pairwise
from typing import Any

import pytest

from bench.libass import ass_document
from bench.scenarios import DRESSES, SPEAKERS, scenario, talk
from ecg_renderer.scenario import prepare
from ecg_renderer.served import known_plugins


def _words(cue: dict[str, Any]) -> list[dict[str, Any]]:
    return list(cue["root"]["children"])


def _effects(word: dict[str, Any]) -> list[str]:
    return [plugin["name"].split("@")[0] for plugin in word["pluginChain"]]


@pytest.mark.parametrize("name", DRESSES)
def test_a_scenario_is_the_same_every_time(name: str) -> None:
    assert json.dumps(scenario(name, 30)) == json.dumps(scenario(name, 30))


@pytest.mark.parametrize("name", DRESSES)
def test_every_id_is_used_once_and_every_time_is_within_the_clip(name: str) -> None:
    cues = scenario(name, 30)["cues"]
    ids = [node["id"] for cue in cues for node in (cue, cue["root"], *_words(cue))]
    assert len(ids) == len(set(ids))
    times = [moment for cue in cues for word in _words(cue) for moment in word["baseTime"]]
    assert all(0 <= moment <= 30 for moment in times)


@pytest.mark.parametrize("name", ["typical", "busy"])
def test_the_talk_has_no_gaps_and_no_unusual_cues(name: str) -> None:
    cues = talk(name, 30)
    assert cues[0].start == 0
    assert cues[-1].end == 30
    assert all(before.end == after.start for before, after in pairwise(cues))
    assert all(1.8 <= cue.end - cue.start <= 3.3 and 4 <= len(cue.words) <= 6 for cue in cues)
    assert all(before.end == after.start for cue in cues for before, after in pairwise(cue.words))


def test_typical_colours_every_word_and_lets_one_word_a_cue_be_loud_or_bouncing() -> None:
    for cue in scenario("typical", 30)["cues"]:
        chains = [_effects(word) for word in _words(cue)]
        assert all(chain[0] == "cwi-color" for chain in chains)
        assert [chain[1] in ("cwi-loud", "cwi-bouncing") for chain in chains if len(chain) > 1] == [True]


@pytest.mark.parametrize("name", known_plugins())
def test_a_plugins_scenario_gives_every_word_that_effect_alone(name: str) -> None:
    cues = scenario(name, 30)["cues"]
    assert {tuple(_effects(word)) for cue in cues for word in _words(cue)} == {(name,)}
    assert prepare({**scenario(name, 6)}, duration=6, known_plugins=known_plugins()).plugins == {name}


def test_busy_gives_every_word_another_effect_than_its_neighbour() -> None:
    cues = scenario("busy", 30)["cues"]
    assert all(a != b for cue in cues for a, b in pairwise(map(_effects, _words(cue))))
    used = {effect for cue in cues for word in _words(cue) for effect in _effects(word)}
    assert used == {"cwi-bouncing", "cwi-loud", "cwi-whisper", "elastic", "fadein", "cwi-color"}


def test_many_has_900_cues_in_ten_minutes() -> None:
    assert len(talk("many", 600)) == 900


def test_top_and_bottom_has_two_cues_at_all_times() -> None:
    cues = scenario("top-and-bottom", 30)["cues"]
    below, above = cues[: len(cues) // 2], cues[len(cues) // 2 :]
    assert [cue["domLifetime"] for cue in below] == [cue["domLifetime"] for cue in above]
    assert {cue["root"]["layout"]["anchor"] for cue in above} == {"tc"}


def test_sparse_has_one_cue_of_two_seconds_in_every_five() -> None:
    assert [(cue.start, cue.end) for cue in talk("sparse", 15)] == [(1.5, 3.5), (6.5, 8.5), (11.5, 13.5)]


@pytest.mark.parametrize("name", DRESSES)
def test_the_renderer_takes_a_scenario_without_a_warning(name: str) -> None:
    prepared = prepare(scenario(name, 30), duration=30, known_plugins=known_plugins())
    assert prepared.warnings == ()
    assert len(prepared.cues) == len(scenario(name, 30)["cues"])


def test_effects_run_on_nearly_every_frame_of_busy() -> None:
    prepared = prepare(scenario("busy", 30), duration=30, known_plugins=known_plugins())
    windows = [window for cue in prepared.cues for window in cue.animated]
    animated = sum(any(start <= frame / 30 <= end for start, end in windows) for frame in range(900))
    assert animated > 0.95 * 900


def test_the_libass_sweeps_of_a_cue_last_as_long_as_the_cue() -> None:
    cues = talk("typical", 30)
    lines = [line for line in ass_document(cues, 1920, 1080).splitlines() if line.startswith("Dialogue")]
    for cue, line in zip(cues, lines, strict=True):
        sweeps = [int(part.split("}")[0]) for part in line.split("\\kf")[1:]]
        assert len(sweeps) == len(cue.words)
        assert sum(sweeps) == pytest.approx(100 * (cue.end - cue.start), abs=1)


def test_the_libass_clock_carries_over_minutes() -> None:
    document = ass_document(talk("typical", 125), 1920, 1080)
    assert ",0:02:05.00,Default" in document


def test_ffmpeg_draws_the_libass_words_in_the_speakers_colour(tmp_path: Any) -> None:
    cues = talk("typical", 4)
    (tmp_path / "captions.ass").write_text(ass_document(cues, 640, 360))
    command = [
        *("ffmpeg", "-v", "error", "-nostdin", "-f", "lavfi", "-i", "color=black:s=640x360:r=10:d=4"),
        *("-vf", f"trim=start={cues[0].end - 0.1:.1f},ass=captions.ass", "-frames:v", "1"),
        *("-f", "rawvideo", "-pix_fmt", "rgb24", "-"),
    ]
    picture = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout
    assert picture
    pixels = {picture[k : k + 3] for k in range(0, len(picture), 3)}
    red, green, blue = bytes.fromhex(SPEAKERS[cues[0].speaker][1:])
    assert any(abs(r - red) < 12 and abs(g - green) < 12 and abs(b - blue) < 12 for r, g, b in pixels)
