"""How one segment's captions are shared out among stages."""

from __future__ import annotations

from collections.abc import Sequence

from ecg_renderer.capture.patches import Block
from ecg_renderer.model import FrameGrid, FrameRange
from ecg_renderer.planning.activity import Activity, best_cut
from ecg_renderer.scenario.model import CueSpan

# To seek a frame without capturing it costs about this share of capturing it: a block must be long enough
# for the frames that are replayed before it.
_REPLAYED_PER_CAPTURED = 10


def capture_blocks(segment: FrameRange, cues: Sequence[CueSpan], grid: FrameGrid, *, longest: int = 90) -> list[Block]:
    """Return the blocks of `segment`, in order: together all its frames with a caption alive, and no others.

    Each can be rendered by a stage of its own. Cuts lie where little has to be replayed; no block is longer
    than `longest` frames, or a tenth of its own pre-roll where that is more (a caption that lasts for the
    whole video would otherwise be replayed from the start for every block).
    """
    activity = Activity.of(cues, grid)
    return [
        block
        for stretch in activity.stretches(segment, alive=True)
        for block in _cut_stretch(stretch, activity, longest)
    ]


def _cut_stretch(stretch: FrameRange, activity: Activity, longest: int) -> list[Block]:
    blocks = []
    start = stretch.start
    while start < stretch.end:
        limit = max(longest, activity.replayed(start) // _REPLAYED_PER_CAPTURED)
        end = stretch.end
        if end - start > limit:
            end = best_cut(activity, start + (limit + 1) // 2, start + limit, start + limit)
        blocks.append(Block(FrameRange(start, end), int(activity.pre_roll[start])))
        start = end
    return blocks
