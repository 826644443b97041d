"""From facts to a plan: what comes out, in which cells, who renders those that are missing. Pure functions, no IO.

source, options ──> output_grid, output_size ──> Target
cues, grid ───────> Activity: per frame, is a caption alive, does the picture change, what is replayed before it
Activity, cues ───> film_of: what is drawn on some frames; hashed for a cell's key, and given to the page
all of it ────────> make_plan ──> Plan; with the cells that are kept, reusing ──> Plan
"""

from ecg_renderer.planning.cutting import (
    Activity,
    FrameCosts,
    alike,
    alive_frames,
    cell_length,
    cut_segments,
    estimate_seconds,
    film_of,
    frame_costs,
    replay_before,
    runs_of,
)
from ecg_renderer.planning.output import encoding_of, output_colour, output_grid, output_size
from ecg_renderer.planning.plan import (
    CELL_SECONDS,
    LIVE_CELL_SECONDS,
    Cutting,
    Planner,
    cell_key,
    make_plan,
    reusing,
    with_encoder,
)

__all__ = [
    "CELL_SECONDS",
    "LIVE_CELL_SECONDS",
    "Activity",
    "Cutting",
    "FrameCosts",
    "Planner",
    "alike",
    "alive_frames",
    "cell_key",
    "cell_length",
    "cut_segments",
    "encoding_of",
    "estimate_seconds",
    "film_of",
    "frame_costs",
    "make_plan",
    "output_colour",
    "output_grid",
    "output_size",
    "replay_before",
    "reusing",
    "runs_of",
    "with_encoder",
]
