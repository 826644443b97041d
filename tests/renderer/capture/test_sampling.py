"""What is seen on frames at which something begins or ends, and of what is too short for any."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from captions import PALETTE, scenario
from captures import Picture, block, film, open_way, pictures_of
from ecg_renderer.model import Film

SECONDS = 0.8


def pictures(shot: Film) -> dict[int, Picture]:
    async def capture() -> dict[int, Picture]:
        async with open_way("canvas", shot) as opened:
            return await pictures_of(opened, shot.blocks, shot.whole)

    return asyncio.run(capture())


def cue(text: str, start: float, end: float, *chain: dict[str, Any], **style: Any) -> dict[str, Any]:
    word = {"id": f"{text} word", "eType": "text", "text": text, "pluginChain": list(chain)}
    root = {"id": f"{text} root", "eType": "group", "displayTime": [start, end], "style": style, "children": [word]}
    return {"id": text, "track": "caption", "root": root}


def shown(*cues: dict[str, Any]) -> dict[int, Picture]:
    return pictures(film(SECONDS, captions=scenario(list(cues)), rate="30"))


@pytest.mark.parametrize("border", [0.4, 0.4333333, 0.43333333333333335])
def test_captions_that_follow_each_other_are_never_seen_together(border: float) -> None:
    place = {"layout": {"position": {"x": 0.5, "y": 0.5}}}
    first, second = cue("one", 0, border), cue("two", border, SECONDS)
    for each in (first, second):
        each["root"].update(place)
    both = shown(first, second)

    begin = round(border * 30)
    assert np.array_equal(both[begin], both[begin + 5]), "the first is seen with the second"
    assert np.array_equal(both[begin - 1], both[0]), "the first ends too early"
    assert not np.array_equal(both[begin - 1], both[begin])


@pytest.mark.parametrize("spoken", [[0.21, 0.22], [0.21, 0.21], [0.2, 0.2]], ids=str)
def test_a_word_takes_its_colour_however_short_it_is(spoken: list[float]) -> None:
    params = {"speaker": "anna", "palette": PALETTE}
    color = {"name": "cwi-color", "params": params, "baseTime": spoken, "timeOffset": [0, 0]}
    seen = shown(cue("word", 0, SECONDS, color))

    # anna's colour, #ffcc00, has no blue; what is white has.
    assert blue_of_ink(seen[3]) > 200
    assert blue_of_ink(seen[7]) == 0
    assert blue_of_ink(seen[20]) == 0


def blue_of_ink(picture: Picture) -> int:
    """Return the most blue of what is bright."""
    bright = (picture[..., 3] == 255) & (picture[..., 0] > 200)
    assert bright.any()
    return int(picture[..., 2][bright].max())


def test_the_same_plugin_twice_on_a_word_is_two_effects() -> None:
    def fade(start: float, end: float) -> dict[str, Any]:
        params = {"startOpacity": 0, "scaleStart": 1}
        return {"name": "fadein", "params": params, "baseTime": [start, end], "timeOffset": [0, 0]}

    twice = shown(cue("word", 0, SECONDS, fade(0, 0.2), fade(0.4, 0.6)))

    ink = {frame: int(picture[..., 3].astype(int).sum()) for frame, picture in twice.items()}
    assert ink[0] < 0.2 * ink[11]
    assert ink[12] < 0.2 * ink[11], "the second begins anew"
    assert ink[23] == ink[11]


def test_a_cut_shows_what_the_whole_shows_at_a_border() -> None:
    captions = scenario([cue("one", 0, 0.4), cue("two", 0.4, SECONDS)])
    whole, tail = film(SECONDS, captions=captions), film(SECONDS, captions=captions)
    tail = replace(tail, blocks=(block(12, 24, 12),))

    assert np.array_equal(pictures(whole)[12], pictures(tail)[12])
