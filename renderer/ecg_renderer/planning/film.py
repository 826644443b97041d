"""The film of a range of frames: what can be seen there, and how it is shared out among stages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise

from ecg_renderer.film import Film, plugins_in
from ecg_renderer.model import Block, FrameGrid, FrameRange
from ecg_renderer.planning.activity import Activity, replay_before
from ecg_renderer.plugin_modules import PluginModule
from ecg_renderer.scenario import CueSpan, Scenario, font_uses, plugin_key

LONGEST_BLOCK = 90
# To seek a frame without capturing it costs about this share of capturing it: a block must be long enough
# for the frames that are replayed before it.
_REPLAYED_PER_CAPTURED = 10


def film_of(
    scenario: Scenario,
    frames: FrameRange,
    grid: FrameGrid,
    activity: Activity,
    *,
    size: tuple[int, int],
    cell_frames: int,
    preview_layout: bool,
    modules: Mapping[str, PluginModule] | None = None,
) -> Film:
    """Return what is drawn on `frames`; `modules` are the plugins that an origin gave, by name and version.

    Its blocks are together all frames with a caption alive, and no others. None crosses the border of a cell, so that
    a cell is drawn alike alone and among others.
    """
    first, last = float(grid.seconds(frames.start)), float(grid.seconds(frames.end - 1))
    data, cues = scenario.slice(first, last), scenario.touching(first, last)
    blocks = (
        block
        for part in _parts(frames, cell_frames)
        for stretch in activity.captioned(part)
        for block in _blocks(stretch, cues, grid, activity)
    )
    plugins = plugins_in(data)
    fetched = {
        name.partition("#")[0]: modules[key] for name in plugins if modules and (key := plugin_key(name)) in modules
    }
    return Film(data, plugins, *size, grid.rate, tuple(blocks), preview_layout, grid.start, fetched, font_uses(data))


def _parts(frames: FrameRange, cell_frames: int) -> list[FrameRange]:
    borders = range((frames.start // cell_frames + 1) * cell_frames, frames.end, cell_frames)
    return [FrameRange(start, end) for start, end in pairwise([frames.start, *borders, frames.end])]


def _blocks(stretch: FrameRange, cues: list[CueSpan], grid: FrameGrid, activity: Activity) -> Iterator[Block]:
    """Cut where little has to be replayed; no block is longer than LONGEST_BLOCK, or a tenth of its replay."""
    start = stretch.start
    while start < stretch.end:
        limit = max(LONGEST_BLOCK, int(activity.replayed[start]) // _REPLAYED_PER_CAPTURED)
        end = stretch.end
        if end - start > limit:
            end = activity.best_cut(start + (limit + 1) // 2, start + limit, start + limit)
        yield Block(FrameRange(start, end), replay_before(start, cues, grid))
        start = end
