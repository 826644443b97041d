"""What would look wrong about a scenario: what its preparation finds, and what shows only where it is laid out.

1. facts     the video's size, rate and length; without a video, a common size and the captions' own length
2. prepare   as for a render: every finding with its path, cue and word
3. look      each cue laid out by the real stage, at rest: what leaves the picture, what lies on another caption
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from ecg_api.options import Options
from ecg_api.renderjob import Look
from ecg_renderer.browser import BrowserLauncher
from ecg_renderer.errors import BrowserError
from ecg_renderer.film import Film
from ecg_renderer.media.probe import probe_source
from ecg_renderer.model import FrameGrid
from ecg_renderer.planning import alive_frames, output_grid, output_size
from ecg_renderer.plugins import known_plugins
from ecg_renderer.scenario import Finding, Picture, Scenario, prepare
from ecg_renderer.scenario.flat import FLAT_NODE
from ecg_renderer.storage import Storage, opened_source
from ecg_renderer.subtitles import as_scenario

COMMON_RATE = Fraction(30)
# Longer than any video: without one, captions end when they say.
ENDLESS = 1e6
LOOK_SECONDS = 300.0
_WIDE_HINT = "Shorten it, make it smaller, or let its line break: give the whole sentence as one text, or a flat cue."


@dataclass(frozen=True)
class Surroundings:
    """What a scenario is checked for: the picture, rate and length, in seconds, of a video."""

    picture: Picture
    rate: Fraction
    seconds: Fraction | float


@dataclass(frozen=True)
class Inspection:
    """A scenario that can be rendered, and all that would look wrong; `looked` if it was laid out for that."""

    scenario: Scenario
    findings: tuple[Finding, ...]
    looked: bool


async def surroundings_of(video: Storage) -> Surroundings:
    """Return size, rate and length of a video. Raises a RenderError that says what is wrong with it."""
    url = await opened_source(video)
    facts = await probe_source(url, display=video.name, identity=await asyncio.to_thread(video.identity))
    options = Options()
    grid, _ = output_grid(facts, options)
    width, height, _ = output_size(facts, options)
    return Surroundings(Picture(width, height), grid.rate, grid.seconds(grid.frames))


async def inspect(
    raw: bytes | dict[str, Any], name: str, around: Surroundings, *, look: Look = "karaoke", browser: bool = True
) -> Inspection:
    """Return what would look wrong about the scenario, or the subtitles, `raw`, which messages call `name`.

    Raises ScenarioError if it cannot be rendered; with `browser`, a BrowserError if there is none to look with.
    """
    scenario = prepare(
        as_scenario(raw, name, around.picture, look),
        duration=around.seconds,
        rate=around.rate,
        known_plugins=known_plugins(),
        picture=around.picture,
        origin=name,
    )
    seen = await _seen(scenario, around) if browser and scenario.cues else ()
    return Inspection(scenario, (*scenario.findings, *seen), browser)


async def _seen(scenario: Scenario, around: Surroundings) -> tuple[Finding, ...]:
    rate = around.rate
    width, height = around.picture.width, around.picture.height
    still = {**scenario.data, "cues": [{**cue, "root": _at_rest(cue["root"])} for cue in scenario.data["cues"]]}
    film = Film(still, (), width, height, rate)
    browser = await BrowserLauncher().start()
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            page = await browser.open_page(width, height)
            await page.evaluate("config => ecg.load(config)", film.page_config(stages=1, canvas=False))
            request = {"frames": _frames(scenario, rate), "width": width, "height": height}
            answer = await page.evaluate("request => ecg.look(request)", request)
    except TimeoutError:
        raise BrowserError(f"The browser did not lay all captions out within {LOOK_SECONDS:g} s.") from None
    finally:
        await browser.close()
    return (*_outside(answer["outside"], scenario), *_overlaps(answer["overlaps"], scenario, rate))


def _at_rest(node: dict[str, Any]) -> dict[str, Any]:
    children = {"children": [_at_rest(child) for child in node["children"]]} if "children" in node else {}
    return {**{key: value for key, value in node.items() if key != "pluginChain"}, **children}


def _frames(scenario: Scenario, rate: Fraction) -> list[int]:
    """Return frames at which all is seen: in the middle of each cue, and at its end, when all words are there."""
    last = max(cue.end for cue in scenario.cues)
    grid = FrameGrid(rate, max(1, int(Fraction(last) * rate) + 1))
    frames: set[int] = set()
    for cue in scenario.cues:
        span = alive_frames(cue.start, cue.end, grid)
        if len(span):
            frames |= {(span.start + span.end) // 2, span.end - 1}
    return sorted(frames)


def _outside(seen: Iterable[dict[str, Any]], scenario: Scenario) -> Iterable[Finding]:
    places = _Places(scenario)
    for item in seen:
        sides = [f"{item[side]:.0f} px {words}" for side, words in _SIDES.items() if item[side] > 0.5]
        yield places.finding(
            "outside the picture", item["root"], item["node"], f"leaves the picture: {', '.join(sides)}", _WIDE_HINT
        )


_SIDES = {"left": "on the left", "top": "at the top", "right": "on the right", "bottom": "at the bottom"}


def _overlaps(seen: Iterable[dict[str, Any]], scenario: Scenario, rate: Fraction) -> Iterable[Finding]:
    places = _Places(scenario)
    for item in seen:
        other = places.cue(item["other"])
        done = f'lies on the text of cue "{other}" at {float(item["frame"] / rate):.2f} s'
        hint = "Let one end before the other begins, or put it elsewhere."
        yield places.finding("overlapping captions", item["root"], "", done, hint)


class _Places:
    """Where cues and nodes stand in the user's own file."""

    def __init__(self, scenario: Scenario) -> None:
        placed = zip(scenario.origins, scenario.data["cues"], strict=True)
        self._cues = {cue["root"]["id"]: (index, cue) for index, cue in placed}

    def cue(self, root_id: str) -> str:
        return str(self._cues[root_id][1]["id"])

    def finding(self, kind: str, root_id: str, node_id: str, problem: str, hint: str) -> Finding:
        index, cue = self._cues[root_id]
        path, word = _path_to(cue["root"], node_id, f"cues[{index}].root") or (f"cues[{index}]", "")
        flat = node_id.startswith(FLAT_NODE)
        return Finding(kind, f"cues[{index}]" if flat else path, problem, hint, cue["id"], word[:40])


def _path_to(node: dict[str, Any], node_id: str, path: str) -> tuple[str, str] | None:
    if node_id and node["id"] == node_id:
        return path, str(node.get("text", ""))
    for index, child in enumerate(node.get("children", ())):
        found = _path_to(child, node_id, f"{path}.children[{index}]")
        if found:
            return found
    return None


def counted(findings: Iterable[Finding]) -> dict[str, int]:
    """Return how many findings there are of each kind, kinds in the order of their first appearance."""
    counts: dict[str, int] = {}
    for finding in findings:
        counts[finding.kind] = counts.get(finding.kind, 0) + 1
    return counts
