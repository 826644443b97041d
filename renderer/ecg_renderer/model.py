"""The values that the renderer's modules hand to each other: boxes, frames, blocks, and the film that is drawn."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from functools import lru_cache, reduce
from math import ceil, floor
from typing import Any, Protocol

from ecg_renderer.served import FontUse, PluginModule, ServedFile, faces_of

MEGABYTE = 1024 * 1024


@dataclass(frozen=True)
class Box:
    """A rectangle in output pixels; `x`, `y` is its upper left corner."""

    x: int
    y: int
    width: int
    height: int

    @property
    def area(self) -> int:
        """Pixels inside."""
        return self.width * self.height

    @property
    def parts(self) -> tuple[Box, ...]:
        """The box itself, as those of `Boxes`."""
        return (self,)

    def contains(self, other: Box) -> bool:
        """Tell whether `other` lies wholly inside."""
        return (
            self.x <= other.x
            and self.y <= other.y
            and self.x + self.width >= other.x + other.width
            and self.y + self.height >= other.y + other.height
        )

    def union(self, other: Box) -> Box:
        """Return the smallest box around both."""
        x, y = min(self.x, other.x), min(self.y, other.y)
        right = max(self.x + self.width, other.x + other.width)
        bottom = max(self.y + self.height, other.y + other.height)
        return Box(x, y, right - x, bottom - y)


@dataclass(frozen=True)
class Boxes:
    """Parts of the picture, from top to bottom with room between them.

    What is seen in them is packed into one picture of `width` x `height`: one part below the other, at the left edge.
    """

    parts: tuple[Box, ...]

    @property
    def width(self) -> int:
        """Of the packed picture, px."""
        return max(part.width for part in self.parts)

    @property
    def height(self) -> int:
        """Of the packed picture, px."""
        return sum(part.height for part in self.parts)


Area = Box | Boxes
"""What is captured, and laid over the video."""


def around(boxes: Iterable[Box]) -> Box | None:
    """Return the smallest box around all `boxes`; None if there are none."""
    return reduce(Box.union, boxes) if (boxes := list(boxes)) else None


def apart(boxes: Iterable[Box], gap: int = 0) -> list[Box]:
    """Return boxes around `boxes`, from top to bottom, with more than `gap` rows between each and the next."""
    bands: list[Box] = []
    for box in sorted(boxes, key=lambda box: box.y):
        if bands and box.y - (bands[-1].y + bands[-1].height) <= gap:
            bands[-1] = bands[-1].union(box)
        else:
            bands.append(box)
    return bands


def packed(area: Area) -> Iterator[tuple[Box, int]]:
    """Yield the parts of an area, each with the row at which it lies in the packed picture."""
    top = 0
    for part in area.parts:
        yield part, top
        top += part.height


@dataclass(frozen=True)
class FrameGrid:
    """The output's frames: integer indices on an exact rate. Seconds exist only at the edges.

    `start` is the presentation time of frame 0, in seconds; `lead` how many frames are black before the source's first.
    """

    rate: Fraction
    frames: int
    start: Fraction = Fraction(0)
    lead: int = 0

    def seconds(self, frame: int) -> Fraction:
        """Return the presentation time of `frame`, in seconds."""
        return self.start + frame / self.rate

    @property
    def end(self) -> Fraction:
        """When the last frame is over: presentation time, in seconds."""
        return self.seconds(self.frames)

    def first_at_or_after(self, seconds: float, earlier: Fraction) -> int:
        """Return the first frame shown at or after `seconds` less `earlier`, exactly, within 0 to `frames`."""
        # In integers: thousands of times are looked up, and fractions are reduced at every step.
        over, under = seconds.as_integer_ratio()
        before = self.start.numerator * earlier.denominator + earlier.numerator * self.start.denominator
        whole = self.start.denominator * earlier.denominator
        frames, of = (over * whole - before * under) * self.rate.numerator, under * whole * self.rate.denominator
        return min(max(-(-frames // of), 0), self.frames)


@dataclass(frozen=True)
class FrameRange:
    """Frames `start` up to, not including, `end`."""

    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start


@dataclass(frozen=True)
class Block:
    """Consecutive frames in which captions can be alive, rendered by one stage.

    `replay` are frames to seek before, without capture, so that the stage has the history of a render from the start:
    those on which what is alive at the first frame came, went or moved.
    """

    frames: FrameRange
    replay: tuple[FrameRange, ...] = ()

    @property
    def replayed(self) -> int:
        """Frames to seek before the first."""
        return sum(map(len, self.replay))

    def from_frame(self, frame: int) -> Block:
        """Return the part from `frame` on; what lies before it is replayed."""
        passed = FrameRange(self.frames.start, frame)
        return Block(FrameRange(frame, self.frames.end), (*self.replay, passed) if len(passed) else self.replay)


class Notes(Protocol):
    """Where it is remembered what was found out; `ecg_renderer.storage.CellStore` is it."""

    async def recall(self, name: str) -> bytes | None:
        """Return what was noted under that name, or None."""

    async def note(self, name: str, data: bytes) -> None:
        """Remember something, if that can be done."""


class SelfCheck(StrEnum):
    """When a fast way to capture is compared with the reference; the values of ECG_SELFCHECK."""

    CACHED = "cached"
    ALWAYS = "always"
    NEVER = "never"


class CaptureWay(StrEnum):
    """How pixels leave Chromium."""

    CANVAS = "canvas"
    BEGINFRAME = "beginframe"
    SCREENSHOT = "screenshot"


# --- what is drawn --------------------------------------------------------------------------------


PREVIEW_HEIGHT = 360


@dataclass(frozen=True)
class Film:
    """The captions that can be seen in a range of frames, and the picture that they are laid out for.

    It is hashed for a cell's key, and handed to the page. So what has the same key has the same pixels.

    Attributes:
        scenario: version 2.0, as `ecg_renderer.scenario` prepares it, cut to what can be seen.
        plugins: names of the caption plugins in it, ascending.
        width, height: of the output, px, even.
        rate: of the output, frames per second.
        start: presentation time of frame 0, seconds.
        blocks: the stretches of frames in which captions can be alive, ascending.
        preview_layout: lay out at 360 px height, as the editor's preview does, and scale up.
        modules: plugins among them that an origin gave, by their names; all others are our own.
        fonts: what its texts ask for, which the scenario says too.
        kind: what all films of the job are drawn with, see `kind_of`; empty for one that stands alone.
    """

    scenario: dict[str, Any]
    plugins: tuple[str, ...]
    width: int
    height: int
    rate: Fraction
    blocks: tuple[Block, ...] = ()
    preview_layout: bool = False
    start: Fraction = Fraction(0)
    modules: Mapping[str, PluginModule] = field(default_factory=dict)
    fonts: tuple[FontUse, ...] = ()
    kind: tuple[str, ...] = ()

    @property
    def whole(self) -> Box:
        """The whole picture."""
        return Box(0, 0, self.width, self.height)

    def place_of(self, node_id: object) -> tuple[str, str]:
        """Return words for where a node is, such as ` on "Hello" in the cue "c1"`, and the cue's id.

        Both are empty if there is no such node.
        """
        for cue in self.scenario["cues"]:
            for node in _nodes(cue["root"]):
                if node["id"] == node_id:
                    return f' on "{str(node.get("text", ""))[:40]}" in the cue "{cue["id"]}"', cue["id"]
        return "", ""

    def contents(self) -> dict[str, Any]:
        """Return everything, for hashing."""
        blocks = [[*_edges(block.frames), *map(_edges, block.replay)] for block in self.blocks]
        briefly = {name: _digest(url) for name, url in self._own_fonts.items()}
        scenario = {**self.scenario, "define": {**self.scenario.get("define", {}), **briefly}}
        layout = [self.width, self.height, str(self.rate), str(self.start), self.preview_layout]
        modules = {name: module.digest for name, module in self.modules.items()}
        plugins = [self.plugins, modules] if modules else self.plugins
        return {"scenario": scenario, "plugins": plugins, "layout": layout, "blocks": blocks}

    def served(self) -> dict[str, ServedFile]:
        """Return what the page gets besides its own files, by path."""
        return {path: file for module in self.modules.values() for path, file in module.served().items()}

    def page_config(self, *, stages: int, canvas: bool) -> dict[str, Any]:
        """Return the argument of the page's `ecg.load`."""
        own = self._own_fonts
        define = {name: value for name, value in self.scenario.get("define", {}).items() if name not in own}
        return {
            "scenario": {**self.scenario, "define": define},
            "plugins": [name for name in self.plugins if _unnumbered(name) not in self.modules],
            "modules": self._modules_config(),
            "fonts": {**faces_of(self.fonts), "own": own},
            "width": self.width,
            "height": self.height,
            "scale": self.height / PREVIEW_HEIGHT if self.preview_layout else 1,
            "rate": [self.rate.numerator, self.rate.denominator],
            "start": float(self.start),
            "stages": stages,
            "canvas": canvas,
        }

    def _modules_config(self) -> list[dict[str, Any]]:
        names: dict[str, list[str]] = {}
        for name in self.plugins:
            if module := self.modules.get(_unnumbered(name)):
                names.setdefault(module.key, []).append(name)
        by_key = {module.key: module for module in self.modules.values()}
        return [by_key[key].page_config(together) for key, together in names.items()]

    @property
    def _own_fonts(self) -> dict[str, str]:
        """The fonts inside the scenario, as data: addresses by the family that they make."""
        entries = self.scenario.get("define", {}).items()
        return {
            name: value["url"]
            for name, value in entries
            if isinstance(value, dict) and value.get("type") == "font" and "url" in value
        }

    def even_box(self, bounds: list[float] | None) -> Box | None:
        """Return page bounds [left, top, right, bottom] as a box on even pixels inside the picture."""
        if bounds is None:
            return None
        left, top = (max(0, floor(value / 2) * 2) for value in bounds[:2])
        right = min(self.width, ceil(bounds[2] / 2) * 2)
        bottom = min(self.height, ceil(bounds[3] / 2) * 2)
        return Box(left, top, right - left, bottom - top) if right > left and bottom > top else None


@lru_cache(maxsize=64)
def _digest(url: str) -> str:
    """Return what stands for the bytes of a font, which are hashed again for each cell."""
    return hashlib.sha256(url.encode()).hexdigest()


def plugins_in(scenario: dict[str, Any]) -> tuple[str, ...]:
    """Return the names of the plugins that the cues of a prepared scenario use, ascending."""
    nodes = (node for cue in scenario["cues"] for node in _nodes(cue["root"]))
    return tuple(sorted({plugin["name"] for node in nodes for plugin in node.get("pluginChain", ())}))


def kind_of(scenario: dict[str, Any], modules: Mapping[str, PluginModule]) -> tuple[str, ...]:
    """Return what pictures are drawn with, whatever is said and when: plugins by name and content, names of styles."""
    digests = sorted({module.digest for module in modules.values()})
    return (*plugins_in(scenario), *digests, *sorted(set(_style_names(scenario))))


def _style_names(part: Any) -> Iterator[str]:
    if isinstance(part, list):
        for item in part:
            yield from _style_names(item)
    elif isinstance(part, dict):
        for name, value in part.items():
            if name.lower().endswith("style") and isinstance(value, dict):
                yield from value
            yield from _style_names(value)


def _nodes(root: dict[str, Any]) -> Iterable[dict[str, Any]]:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(node.get("children", ()))


def _unnumbered(name: str) -> str:
    return name.partition("#")[0]


def _edges(frames: FrameRange) -> tuple[int, int]:
    return frames.start, frames.end
