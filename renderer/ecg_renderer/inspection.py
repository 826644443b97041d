"""What would look wrong about a scenario: what its preparation finds, and what shows only where it is laid out.

1. facts     the video's size, rate and length; without a video, a common size and the captions' own length
2. prepare   as for a render: every finding with its path, cue and word
3. read      as subtitles: lines too long, changes too fast, two at one place
4. look      fonts asked of Chromium, each cue laid out at rest: what leaves the picture, what lies on another caption
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from math import inf
from typing import Any

from ecg_api.options import Options
from ecg_api.renderjob import Look
from ecg_renderer.looking import OVERLAP, Looker
from ecg_renderer.media.probe import probe_source
from ecg_renderer.model import Film
from ecg_renderer.planning import output_grid, output_size
from ecg_renderer.preparation import plugins_of, with_web_fonts
from ecg_renderer.request import PluginOrigins
from ecg_renderer.scenario import Finding, Picture, PluginRules, Report, Scenario, draft
from ecg_renderer.served import known_plugins
from ecg_renderer.storage import Storage, opened_source
from ecg_renderer.subtitles import as_scenario
from ecg_renderer.subtitles.spoken import AT_ONE_TIME, hard_to_read, spoken_of

COMMON_RATE = Fraction(30)
# Longer than any video: without one, captions end when they say.
ENDLESS = 1e6
AT_ONCE = 200
"""Cues that are laid out together."""


@dataclass(frozen=True)
class Surroundings:
    """What a scenario is checked for: the picture, rate and length, in seconds, of a video."""

    picture: Picture
    rate: Fraction
    seconds: Fraction | float
    first: Fraction = Fraction(0)


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
    grid, _ = output_grid(facts, options, captions_end=inf)
    width, height, _ = output_size(facts, options)
    return Surroundings(Picture(width, height), grid.rate, grid.end, grid.start)


async def inspect(
    raw: bytes | dict[str, Any],
    name: str,
    around: Surroundings,
    *,
    look: Look = "karaoke",
    browser: bool = True,
    on_progress: Callable[[int, int], None] = lambda cues, total: None,
) -> Inspection:
    """Return what would look wrong about the scenario, or the subtitles, `raw`, which messages call `name`.

    `on_progress` hears of how many cues of how many were laid out. Raises ScenarioError if it cannot be rendered; with
    `browser`, a BrowserError if there is none to look with.
    """
    origin = PluginOrigins.from_environment().choose(None)
    report = Report(name)
    written = draft(
        as_scenario(raw, report, around.picture, look),
        duration=around.seconds,
        rate=around.rate,
        first=around.first,
        picture=around.picture,
        report=report,
    )
    there = (await plugins_of(origin, written.plugin_keys)).schemas if origin else None
    scenario = written.prepared(PluginRules(known_plugins(), "static", there))
    scenario = await with_web_fonts(scenario)
    seen = await _seen(scenario, around, on_progress) if browser and scenario.cues else ()
    lying = {found.cue for found in seen if found.kind == OVERLAP}
    # Those that came from a file of subtitles were put above each other, and that was told.
    placed = any(found.kind == "captions at one time" for found in scenario.findings)
    read = [
        found
        for found in hard_to_read(spoken_of(scenario))
        if found.kind != AT_ONE_TIME or not (placed or found.cue in lying)
    ]
    return Inspection(scenario, (*scenario.findings, *read, *seen), browser)


async def _seen(
    scenario: Scenario, around: Surroundings, on_progress: Callable[[int, int], None]
) -> tuple[Finding, ...]:
    """Look at everything, some cues at a time: each with all that is there when it begins."""
    width, height = around.picture.width, around.picture.height
    film = Film(scenario.data, (), width, height, around.rate, fonts=scenario.fonts)
    spans = sorted(scenario.cues, key=lambda cue: cue.start)
    async with Looker(None, {}) as looker:
        found = dict.fromkeys(await looker.fonts(film, scenario))
        known: set[str] = set()
        for first in range(0, len(spans), AT_ONCE):
            some = spans[first : first + AT_ONCE]
            # Not up to their ends: a title over the whole video would bring in everything at once.
            part = scenario.slice(some[0].start, some[-1].start)
            new = {cue["root"]["id"] for cue in part["cues"]} - known
            known |= new
            if new:
                found |= dict.fromkeys(await looker.layout(replace(film, scenario=part), scenario, about=new))
            on_progress(first + len(some), len(spans))
    return tuple(found)


def counted(findings: Iterable[Finding]) -> dict[str, int]:
    """Return how many findings there are of each kind, kinds in the order of their first appearance."""
    counts: dict[str, int] = {}
    for finding in findings:
        counts[finding.kind] = counts.get(finding.kind, 0) + 1
    return counts
