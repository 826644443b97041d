"""Unusual sources, really rendered, in one segment and in several: pictures, flash against beep, captions, warnings."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from captions import box_cue, render_job, scenario
from clips import frames
from renders import rendered
from sources import SOURCES, Marks, marks

MAGENTA = (0.25, 0.5, 0.5, 0.4)
# name: what is expected. `flashes`: in the source they are at each half second from the first picture on. `as`: the
# source whose picture and sound are as far apart, where its own file does not say when pictures are shown.
TABLE: dict[str, dict[str, Any]] = {
    "late picture": {"frames": 87, "cues": [(0.3, 0.6), (1.0, 1.5)], "flashes": [0.9, 1.4, 1.9, 2.4]},
    "late picture, ts": {"frames": 87, "cues": [(0.3, 0.6)], "flashes": [0.9, 1.4, 1.9, 2.4]},
    "a little late picture": {"frames": 60, "cues": [(0.5, 1.0)], "flashes": [0.2, 0.7, 1.2, 1.7]},
    "held last picture": {"frames": 60, "cues": [(0.2, 0.4), (1.5, 1.8)], "flashes": [0.0, 0.5]},
    "one picture": {"frames": 60, "cues": [(0.5, 1.0), (1.5, 1.7)], "flashes": [0.0]},
    "gif with a held end": {"frames": 60, "cues": [(1.2, 1.5)], "flashes": [0.0, 0.5]},
    # Every other square begins between two pictures, in a second field.
    "interlaced": {"frames": 50, "cues": [(0.5, 1.0)], "flashes": [0.0, 0.5, 1.0, 1.5], "slack": 0.041},
    "size changes, h264": {"frames": 60, "cues": [(0.8, 1.2)], "flashes": [0.0, 0.5]},
    "damaged": {
        "frames": 60,
        "cues": [(0.5, 1.0)],
        "flashes": [0.0, 0.5, 1.0, 1.5],
        "said": "3 pictures of the source are damaged or missing, at 1.",
    },
    "avi with b-frames": {
        "frames": 60,
        "cues": [(0.5, 1.0)],
        "flashes": [0.0, 0.5, 1.0, 1.5],
        "as": "ordinary",
    },
    "alpha, vp9": {"frames": 30, "cues": [(0.2, 0.4)], "flashes": [0.0, 0.5]},
    "second of two video tracks": {
        "frames": 60,
        "cues": [(0.5, 1.0)],
        "flashes": [0.0, 0.5, 1.0, 1.5],
        "segments": 2,
        "said": "(stream 1, 160x90), for which each segment reads the source from its start",
    },
    "raw h264": {"frames": 60, "cues": [(0.5, 1.0)], "flashes": [0.0, 0.5, 1.0, 1.5]},
}


def result(name: str, folder: Path, segments: int) -> tuple[Path, list[str]]:
    cues = [box_cue(str(number), *times, MAGENTA, "#ff00ff") for number, times in enumerate(TABLE[name]["cues"])]
    output = folder / f"{segments}.mp4"
    job = render_job(SOURCES[name](), scenario(cues), output, quality=90)
    return output, rendered(job, folder / str(segments), segments=segments).warnings


def spans(path: Path, times: list[float]) -> list[tuple[float, float]]:
    """Return from when to when the caption is there."""
    there = [picture[picture.shape[0] * 7 // 10, picture.shape[1] // 2] for picture in frames(path, "rgb24")]
    on = [False, *(red > 180 and green < 90 and blue > 180 for red, green, blue in there), False]
    ends = [*times, times[-1] + 1]
    edges = [ends[index] for index, (before, after) in enumerate(pairwise(on)) if before != after]
    return list(zip(edges[::2], edges[1::2], strict=True))


def is_near(found: list[float], wanted: list[float], slack: float) -> bool:
    return len(found) == len(wanted) and all(
        abs(one - other) <= slack for one, other in zip(found, wanted, strict=True)
    )


@pytest.mark.parametrize("name", TABLE)
def test_in_one_segment_and_in_several(name: str, tmp_path: Path) -> None:
    wanted = TABLE[name]
    source = marks(SOURCES[wanted.get("as", name)]())
    pictures = []
    for segments in (1, wanted.get("segments", 4)):
        path, warnings = result(name, tmp_path, segments)
        found = marks(path)
        _check(found, source, wanted, path)
        assert wanted.get("said", "") in " ".join(warnings)
        pictures.append(np.stack(frames(path)).astype(int))
    assert np.abs(pictures[0] - pictures[1]).mean() < 2  # encoded anew at other places, else the same


def _check(found: Marks, source: Marks, wanted: dict[str, Any], path: Path) -> None:
    frame = found.pictures[1] - found.pictures[0]
    assert len(found.pictures) == wanted["frames"]
    assert is_near(found.flashes, wanted["flashes"], 0.03), found.flashes
    if source.beeps:
        shown = min(len(found.flashes), len(source.flashes))  # what is fitted between bars has its squares elsewhere
        distances = [
            [flash - beep for flash, beep in zip(each.flashes[:shown], each.beeps, strict=False)]
            for each in (source, found)
        ]
        assert is_near(distances[1], distances[0], wanted.get("slack", 0.002)), distances
    for shown, cue in zip(spans(path, found.pictures), wanted["cues"], strict=True):
        assert all(0 <= edge - time + 0.0006 < frame + 0.001 for edge, time in zip(shown, cue, strict=True)), shown
