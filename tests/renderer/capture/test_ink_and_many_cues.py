"""Nothing that is painted is cut off, and what there is to look at does not grow with the number of cues."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from captions import scenario
from captures import Picture, block, film, open_way, pictures_of
from ecg_renderer.browser import BrowserLauncher
from ecg_renderer.model import Box
from ecg_renderer.scenario import prepare

Json = dict[str, Any]

TALL = "\u1ebe\u1eb2\u1ed6 gjpq"
STACKED = "h\u0301\u0302\u0303\u0304\u0306\u0307\u1ecb\u0324\u0325\u032d\u032e end"
MARKS_ABOVE = "Z" + "\u0301" * 12 + "a"
MARKS_BELOW = "Z" + "\u0323" * 12 + "a"


def caption(text: str, style: Json, plugins: tuple[str, ...] = ()) -> Json:
    chain = [{"name": name, "params": {"color": "#ff0000"}, "timeOffset": [0, 0]} for name in plugins]
    word = {"id": "w", "eType": "text", "text": text, "style": {"textShadow": "none", **style}, "baseTime": [0.1, 0.7]}
    layout = {"anchor": "cc", "position": {"x": 0.5, "y": 0.5}}
    root = {
        "id": "r",
        "eType": "group",
        "displayTime": [0.0, 0.8],
        "layout": layout,
        "style": {"fontSizeRel": 0.15},
        "children": [{**word, "pluginChain": chain}],
    }
    return scenario([{"id": "c", "track": "caption", "domLifetime": [0.0, 0.8], "root": root}])


INKS: dict[str, tuple[str, Json]] = {
    "accents": (TALL, {"lineHeight": 0.8}),
    "tight": (TALL, {"lineHeight": 0.5}),
    "tighter": (TALL, {"lineHeight": 0.1}),
    "plain": (TALL, {}),
    "stacked": (STACKED, {}),
    "above": (MARKS_ABOVE, {}),
    "below": (MARKS_BELOW, {"lineHeight": 0.9}),
    "stroke": (TALL, {"lineHeight": 0.5, "stroke": {"widthRel": 0.02, "color": "#000000"}}),
    "other fonts": ("\ud55c\uae00 \u0e17\u0e35\u0e48\u0e1b\u0e31\u0e4a\u0e21", {"lineHeight": 0.4}),
}


@pytest.fixture(scope="module")
def inked() -> dict[str, tuple[list[Box], Picture]]:
    """What is measured of frame 5 and what is seen on it, by name; one browser shows all."""
    shots = {name: film(0.8, captions=caption(text, style)) for name, (text, style) in INKS.items()}

    async def look() -> dict[str, tuple[list[Box], Picture]]:
        found = {}
        async with open_way("screenshot", shots["plain"]) as capture:
            for name, shot in shots.items():
                await capture.show(shot)
                measured = await capture.measure([5])
                found[name] = measured, (await pictures_of(capture, [block(5, 6)], shot.whole))[5]
        return found

    return asyncio.run(look())


@pytest.mark.parametrize("name", INKS)
def test_all_ink_lies_in_the_box_that_is_captured(name: str, inked: dict[str, tuple[list[Box], Picture]]) -> None:
    [box], picture = inked[name]
    rows, columns = np.nonzero(picture[..., 3])
    assert len(rows)
    assert box.y <= rows.min()
    assert rows.max() < box.y + box.height
    assert box.x <= columns.min()
    assert columns.max() < box.x + box.width


@pytest.mark.parametrize(("text", "style"), [(TALL, {"lineHeight": 0.5}), (STACKED, {})], ids=["tight", "stacked"])
def test_a_word_that_is_coloured_leaves_no_ink_behind(text: str, style: Json) -> None:
    shot = film(0.8, captions=caption(text, style, plugins=("cwi-color",)))

    async def look(way: str) -> Any:
        async with open_way(way, shot) as capture:
            return await pictures_of(capture, shot.blocks, shot.whole)

    patched, whole = asyncio.run(look("canvas")), asyncio.run(look("screenshot"))
    assert patched.keys() == whole.keys()
    for frame, picture in whole.items():
        assert np.array_equal(patched[frame][..., 3] > 0, picture[..., 3] > 0), frame


SEEK = """async ({ scenario, frames }) => {
  const { Stage } = await import('/stage.js');
  const stage = new Stage(document.body, { width: 640, height: 360, scale: 1 }, [30, 1]);
  await stage.load(scenario);
  stage.arm();
  return frames.map((frame) => {
    stage.seek(frame);
    return [stage.captions.textContent, stage.renderer.renderer.scenario.cues.length];
  });
}"""


def test_each_frame_looks_at_the_cues_around_it_however_many_there_are() -> None:
    cues = [{"text": f"caption {index}", "start": index * 2.0, "end": index * 2.0 + 1.5} for index in range(3000)]
    cues.append({"text": "all the time", "start": 0, "end": 6000})
    prepared = prepare({"cues": cues}, duration=6000.0, known_plugins={})
    times = [0.5, 1.7, 3.9, 4.0, 5999, 3000.2, 3001.0, 3001.6, 20, 0.5, -5, 2400.4, 2399.9, 5998.1]

    async def seek() -> Any:
        browser = await BrowserLauncher().start()
        try:
            page = await browser.open_page(640, 360)
            frames = [round(time * 30) for time in times]
            return await page.evaluate(SEEK, {"scenario": prepared.data, "frames": frames})
        finally:
            await browser.close()

    for time, (text, looked_at) in zip(times, asyncio.run(seek()), strict=True):
        shown = time >= 0 and time % 2 < 1.5
        said = [f"caption {int(time // 2)}"] if shown else []
        always = ["all the time"] if time >= 0 else []
        assert text in ("".join(said + always), "".join(always + said)), time
        assert looked_at <= 12
