"""From facts to a plan: which frames there are, who renders which, what it costs. Pure functions, no IO.

source, options ──> output_grid, output_size
cues, grid ───────> Activity: per frame, is a caption alive, since when, does the picture change
Activity ─────────> cut_segments ──> capture_blocks (within one segment)
all of it ────────> make_plan ──> Plan, with a content key for each segment
"""

from ecg_renderer.planning.activity import Activity, alive_frames, dead_ranges, pre_roll
from ecg_renderer.planning.blocks import capture_blocks
from ecg_renderer.planning.costs import FrameCosts, estimate_seconds, frame_costs
from ecg_renderer.planning.keys import job_key, segment_key
from ecg_renderer.planning.output import output_grid, output_size
from ecg_renderer.planning.plan import Cutting, make_plan
from ecg_renderer.planning.segments import cut_segments

__all__ = [
    "Activity",
    "Cutting",
    "FrameCosts",
    "alive_frames",
    "capture_blocks",
    "cut_segments",
    "dead_ranges",
    "estimate_seconds",
    "frame_costs",
    "job_key",
    "make_plan",
    "output_grid",
    "output_size",
    "pre_roll",
    "segment_key",
]
