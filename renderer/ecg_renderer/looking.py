"""What shows only where captions are laid out: fonts that are not there, text that leaves the picture, overlaps.

Asked of Chromium itself: which fonts it takes for what is written, and where texts stand at rest, without plugins.
Answers are remembered by what they depend on, so an unchanged scenario is looked at once.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from math import inf
from typing import Any, Protocol

from ecg_renderer.browser import BrowserLauncher, Page
from ecg_renderer.errors import BrowserError
from ecg_renderer.model import Film, FrameGrid, Notes
from ecg_renderer.planning import alive_frames
from ecg_renderer.preparation import PreparedJob, versions
from ecg_renderer.scenario import CueSpan, Finding, Scenario, canonical_hash
from ecg_renderer.scenario.css import WIDE_KEYWORDS
from ecg_renderer.scenario.flat import FLAT_NODE
from ecg_renderer.scenario.writing import texts_of
from ecg_renderer.served import FontUse, packaged, stand_in

log = logging.getLogger(__name__)

LOOK_SECONDS = 300.0
# In the middle of a render there is less patience: it goes on without an answer.
ALONG_SECONDS = 10.0
# What a plan looks for what moves out of the picture: a hundred captions or more.
AHEAD_SECONDS = 5.0
SHOWN_PER_KIND = 3
OUTSIDE = "outside the picture"
OVERLAP = "overlapping captions"
# Raise when a scenario is looked at otherwise than before.
_SCHEMA = 2
_WIDE_HINT = "Shorten it, make it smaller, or let its line break: give the whole sentence as one text, or a flat cue."
_FONT_HINT = (
    "Install it, give it as define.{name} with its address, or choose another; docs/fonts.md lists what is there."
)
_BOX_HINT = "Install a font that has it, or leave it out."
_SIDES = {"left": "on the left", "top": "at the top", "right": "on the right", "bottom": "at the bottom"}
_GENERIC = frozenset((
    "serif", "sans-serif", "monospace", "cursive", "fantasy", "system-ui", "emoji", "math", "fangsong", "ui-serif",
    "ui-sans-serif", "ui-monospace", "ui-rounded", "-apple-system", "blinkmacsystemfont", *WIDE_KEYWORDS,
))  # fmt: skip

Json = dict[str, Any]


class Looker:
    """Looks at scenarios in one browser, which is started when it is first needed; an async context manager.

    No answer takes longer than `seconds`. `page` is a caption page that is open already; its film has to be laid out
    again after `layout`. `versions` are what a picture depends on besides the job. `launcher` may have begun to start
    a browser.
    """

    def __init__(
        self,
        notes: Notes | None,
        versions: Mapping[str, str],
        page: Page | None = None,
        *,
        seconds: float = LOOK_SECONDS,
        launcher: BrowserLauncher | None = None,
    ) -> None:
        self._notes = notes
        self._launcher = launcher or BrowserLauncher()
        self._seconds = seconds
        self._versions = dict(versions)
        self._page = page
        self._close: Callable[[], Awaitable[None]] | None = None

    async def __aenter__(self) -> Looker:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._close:
            await self._close()

    async def fonts(self, film: Film, scenario: Scenario) -> tuple[Finding, ...]:
        """Return the fonts of `film` that are not there, and characters without any; places are those of `scenario`."""
        config = film.page_config(stages=1, canvas=False)["fonts"]
        if not film.fonts:
            return ()
        request = {"fonts": config, "uses": [_question(use) for use in film.fonts]}
        answer = await self._remembered("fonts", request, lambda page: _ask_fonts(page, request))
        return font_findings(answer, film.fonts, scenario)

    async def layout(
        self, film: Film, scenario: Scenario, *, canvas: bool = False, about: Set[str] | None = None
    ) -> tuple[Finding, ...]:
        """Return which texts of `film` leave the picture, or lie on those of cues that begin before them, at rest.

        With `about`, ids of root nodes: only of these, as the others were looked at before.
        """
        still = {**film.scenario, "cues": [{**cue, "root": _at_rest(cue["root"])} for cue in film.scenario["cues"]]}
        ids = {cue["root"]["id"] for cue in still["cues"]}
        rest = replace(film, scenario=still, plugins=(), blocks=(), modules={})
        about = ids if about is None else about
        spans = _spans(scenario, ids)
        frames = _frames([cue for root, cue in spans.items() if root in about], film.rate)
        if not frames:
            return ()

        async def look(page: Page) -> Json:
            await page.evaluate("config => ecg.load(config)", rest.page_config(stages=1, canvas=canvas))
            request = {"frames": frames, "width": film.width, "height": film.height, "roots": [*spans]}
            answer: Json = await page.evaluate("request => ecg.look(request)", request)
            return answer

        answer = await self._remembered("layout", [rest.contents(), frames], look)
        seen = {kind: [item for item in answer[kind] if item["root"] in about] for kind in ("outside", "overlaps")}
        return (*_outside(seen["outside"], scenario), *_overlaps(seen["overlaps"], scenario, film.rate))

    async def _remembered(self, kind: str, subject: Any, ask: Callable[[Page], Awaitable[Json]]) -> Json:
        note = f"looks/{canonical_hash([_SCHEMA, kind, subject, self._versions])}.json"
        if self._notes and (raw := await self._notes.recall(note)):
            with suppress(ValueError):
                known: Json = json.loads(raw)
                return known
        try:
            async with asyncio.timeout(self._seconds):
                answer = await ask(self._page or await self._open())
        except TimeoutError:
            raise BrowserError(f"The browser did not lay all captions out within {self._seconds:g} s.") from None
        if self._notes:
            await self._notes.note(note, json.dumps(answer).encode())
        return answer

    async def _open(self) -> Page:
        browser = await self._launcher.start()
        self._close = browser.close
        self._page = await browser.open_page(1280, 720)
        return self._page


def _question(use: FontUse) -> Json:
    first = next((name for name in use.families if name.casefold() not in _GENERIC), None)
    return {"families": list(use.families), "first": first, "weight": use.weight, "text": use.characters}


async def _ask_fonts(page: Page, request: Json) -> Json:
    """Return {missing: [[characters] for each use], fonts: [[names for its text, and for two probes] for each use]}."""
    missing = await page.evaluate("request => ecg.askFonts(request)", request)
    try:
        await asyncio.gather(page.send("DOM.enable"), page.send("CSS.enable"))
        document = await page.send("DOM.getDocument", {"depth": 0})
        root = {"nodeId": document["root"]["nodeId"], "selector": "#ecg-fonts > span"}
        nodes = (await page.send("DOM.querySelectorAll", root))["nodeIds"]
        answers = await asyncio.gather(*(page.send("CSS.getPlatformFontsForNode", {"nodeId": node}) for node in nodes))
    finally:
        with suppress(TimeoutError):
            async with asyncio.timeout(ALONG_SECONDS):
                await asyncio.gather(page.send("CSS.disable"), page.send("DOM.disable"))
                await page.evaluate("() => ecg.forgetFonts()")
    names = [_by_use(answer["fonts"]) for answer in answers]
    return {"missing": missing, "fonts": [names[place : place + 3] for place in range(0, len(names), 3)]}


def _by_use(fonts: Iterable[Json]) -> list[str]:
    """Return the families that Chromium took, that of the most glyphs first."""
    return [font["familyName"] for font in sorted(fonts, key=lambda font: -font["glyphCount"])]


def font_findings(answer: Json, uses: Sequence[FontUse], scenario: Scenario) -> tuple[Finding, ...]:
    """Return findings for what Chromium answered about `uses`, each at the first text that it is about."""
    places = _Places(scenario)
    findings: list[Finding] = []
    for use, missing, (taken, *probes) in zip(uses, answer["missing"], answer["fonts"], strict=True):
        name = _question(use)["first"]
        other = _taken_for(name, taken, probes) if name else None
        if other and (first := places.first(use)):
            said = f'asks for the font "{name}", which is not here; {other} stands in for it'
            findings.append(places.finding("font that is not there", *first, said, _FONT_HINT.format(name=name)))
        for character in missing:
            if first := places.first(use, character):
                said = f'"{character}" (U+{ord(character):04X}) is in no font here and becomes a box'
                findings.append(places.finding("character without a font", *first, said, _BOX_HINT))
    return tuple(findings)


def _taken_for(name: str, taken: list[str], probes: list[list[str]]) -> str | None:
    """Return what stands in for the family `name`; None where it is there, or nothing was drawn.

    Two probes in Latin letters have `name` before two unlike families: where they agree, it is `name` that was taken,
    be it under another name, or one of the same widths that fontconfig has for it.
    """
    if not taken or any(_same(name, other) for other in taken):
        return None
    replaced = stand_in(name)
    if packaged(replaced):
        there = any(_same(replaced, other) for other in taken)
        return None if _same(replaced, name) else replaced if there else taken[0]
    return None if probes[0] and probes[0] == probes[1] else taken[0]


def _same(one: str, other: str) -> bool:
    plain = [name.casefold().replace(" ", "") for name in (one, other)]
    return plain[1].startswith(plain[0])


def _at_rest(node: Json) -> Json:
    children = {"children": [_at_rest(child) for child in node["children"]]} if "children" in node else {}
    return {**{key: value for key, value in node.items() if key != "pluginChain"}, **children}


def _spans(scenario: Scenario, roots: Set[str]) -> dict[str, CueSpan]:
    """Return the cues of these root nodes by them, in the order in which they begin."""
    cues = sorted(scenario.cues, key=lambda cue: cue.start)
    return {root: cue for cue in cues if (root := scenario.data["cues"][cue.index]["root"]["id"]) in roots}


def _frames(cues: Sequence[CueSpan], rate: Fraction) -> list[int]:
    """Return the frames to look at: where each cue begins, as others may still be there, in its middle, at its end."""
    grid = FrameGrid(rate, max((int(Fraction(cue.end) * rate) + 1 for cue in cues), default=1))
    frames: set[int] = set()
    for cue in cues:
        span = alive_frames(cue.start, cue.end, grid)
        if len(span):
            frames |= {span.start, (span.start + span.end) // 2, span.end - 1}
    return sorted(frames)


def _outside(seen: Iterable[Json], scenario: Scenario) -> Iterable[Finding]:
    places = _Places(scenario)
    for item in seen:
        sides = [f"{item[side]:.0f} px {words}" for side, words in _SIDES.items() if item[side] > 0.5]
        yield places.finding(OUTSIDE, item["root"], item["node"], f"leaves the picture: {', '.join(sides)}", _WIDE_HINT)


def _overlaps(seen: Iterable[Json], scenario: Scenario, rate: Fraction) -> Iterable[Finding]:
    places = _Places(scenario)
    for item in seen:
        others = [f'"{places.cue(other)}"' for other in item["others"]]
        if len(others) > SHOWN_PER_KIND:
            others[SHOWN_PER_KIND:] = [f"{len(others) - SHOWN_PER_KIND}{' or more' if item['full'] else ''} others"]
        done = f"lies on the text of cue {', '.join(others)} at {float(item['frame'] / rate):.2f} s"
        hint = "Let one end before the other begins, or put it elsewhere."
        yield places.finding(OVERLAP, item["root"], "", done, hint)


class _Places:
    """Where cues and nodes stand in the user's own file."""

    def __init__(self, scenario: Scenario) -> None:
        self._data = scenario.data
        placed = zip(scenario.origins, scenario.data["cues"], strict=True)
        self._cues = {cue["root"]["id"]: (index, cue) for index, cue in placed}

    def cue(self, root_id: str) -> str:
        return str(self._cues[root_id][1]["id"])

    def first(self, use: FontUse, character: str = "") -> tuple[str, str] | None:
        """Return the ids of root and node of the first text in that font, with `character` in it."""
        for root, node, text, families, weight in texts_of(self._data):
            if (families, weight) == (use.families, use.weight) and text.strip() and character in text:
                return root["id"], node["id"]
        return None

    def finding(self, kind: str, root_id: str, node_id: str, problem: str, hint: str) -> Finding:
        index, cue = self._cues[root_id]
        path, word = _path_to(cue["root"], node_id, f"cues[{index}].root") or (f"cues[{index}]", "")
        flat = node_id.startswith(FLAT_NODE)
        return Finding(kind, f"cues[{index}]" if flat else path, problem, hint, cue["id"], word[:40])


def _path_to(node: Json, node_id: str, path: str) -> tuple[str, str] | None:
    if node_id and node["id"] == node_id:
        return path, str(node.get("text", ""))
    for index, child in enumerate(node.get("children", ())):
        found = _path_to(child, node_id, f"{path}.children[{index}]")
        if found:
            return found
    return None


class Tellable(Protocol):
    """Something found, of a kind, and as a line."""

    @property
    def kind(self) -> str:
        """What it is, the same words for all of a kind."""

    @property
    def line(self) -> str:
        """What is told of it."""


def told(findings: Iterable[Tellable]) -> list[str]:
    """Return findings as lines, the first few of each kind and the number of the others."""
    by_kind: dict[str, list[Tellable]] = {}
    for finding in findings:
        by_kind.setdefault(finding.kind, []).append(finding)
    lines = []
    for kind, found in by_kind.items():
        lines += [finding.line for finding in found[:SHOWN_PER_KIND]]
        if len(found) > SHOWN_PER_KIND:
            lines.append(f"{kind}: {len(found) - SHOWN_PER_KIND} more like this")
    return lines


async def look_ahead(
    prepared: PreparedJob, notes: Notes, patience: float = AHEAD_SECONDS, launcher: BrowserLauncher | None = None
) -> tuple[PreparedJob, float]:
    """Return the job with warnings of what would look wrong, and the second up to which its layout was looked at.

    Fonts are asked for of all captions, the layout is looked at cell by cell for about `patience` seconds. Where there
    is no browser to look with, a warning says so.
    """
    if not prepared.scenario.cues:
        return prepared, float(prepared.plan.target.duration)
    plan, lines, looked = prepared.plan, [], 0
    try:
        async with Looker(notes, versions(), launcher=launcher) as looker:
            findings, looked = await look_at(looker, prepared, until=time.monotonic() + patience)
        lines = told(findings)
    except BrowserError as error:
        lines = [f"Fonts and layout were not looked at: {error}"]
    changed = plan.model_copy(update={"warnings": list(dict.fromkeys([*plan.warnings, *lines]))})
    return replace(prepared, plan=changed), float(prepared.grid.seconds(looked))


async def look_at(looker: Looker, prepared: PreparedJob, *, until: float = inf) -> tuple[Iterable[Finding], int]:
    """Return findings about a job, and the frame up to which its layout was looked at, cell by cell.

    What an edit did not touch is known already. At `until`, on the monotonic clock, no more is begun; the first cell is
    looked at however long a browser takes to start.
    """
    scenario, plan = prepared.scenario, prepared.plan
    findings = dict.fromkeys(await looker.fonts(_undrawn(prepared), scenario))
    known: set[str] = set()
    for number in range(len(plan.cells)):
        frames = prepared.frames_of(range(number, number + 1))
        if number and time.monotonic() > until:
            return findings, frames.start
        film = prepared.film(frames)
        new = {cue["root"]["id"] for cue in film.scenario["cues"]} - known
        known |= new
        findings |= dict.fromkeys(await looker.layout(film, scenario, about=new))
    return findings, plan.target.frames


def _undrawn(prepared: PreparedJob) -> Film:
    """Return a film of all captions that says which fonts they have; which frames they are on would take long."""
    scenario, target = prepared.scenario, prepared.plan.target
    return Film(scenario.data, (), target.width, target.height, prepared.grid.rate, fonts=scenario.fonts)


async def look_along(prepared: PreparedJob, notes: Notes, page: Page | None, launcher: BrowserLauncher) -> list[str]:
    """Return what would look wrong about the fonts of a job, as lines, also of what need not be rendered.

    `page` is one that is open already.
    """
    try:
        async with Looker(notes, versions(), page, seconds=ALONG_SECONDS, launcher=launcher) as looker:
            return told(await looker.fonts(_undrawn(prepared), prepared.scenario))
    except BrowserError as error:
        log.warning("Fonts were not looked at: %s", error)
        return []


async def look_outside(prepared: PreparedJob, film: Film, notes: Notes, page: Page) -> list[Finding] | None:
    """Return which texts leave the picture, of those that did while `page` measured `film`; None where none did.

    Plugins may have moved them there, so they are looked at at rest; the film has to be laid out again then.
    """
    try:
        async with asyncio.timeout(ALONG_SECONDS):
            suspects = set(await page.evaluate("() => ecg.takeSuspects()"))
    except (BrowserError, TimeoutError):  # whoever captures next finds out, and starts another
        return None
    cues = [cue for cue in film.scenario["cues"] if cue["root"]["id"] in suspects]
    if not cues:
        return None
    part = replace(film, scenario={**film.scenario, "cues": cues})
    try:
        async with Looker(notes, versions(), page, seconds=ALONG_SECONDS) as looker:
            found = await looker.layout(part, prepared.scenario, canvas=True)
    except BrowserError as error:
        log.warning("Text outside of the picture was not looked at: %s", error)
        return []
    return [finding for finding in found if finding.kind == OUTSIDE]
