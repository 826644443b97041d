"""Scenarios of ours for tests, in the shape that caption editors write."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

from clips import CELLS
from ecg_api.renderjob import RenderJob, parse_render_job

Json = dict[str, Any]

WORDS = ["every", "word", "moves", "in", "its", "own", "time", "and", "none", "of", "them", "is", "ever", "late"]
PALETTE = {"anna": "#ffcc00", "ben": "#38bdf8"}


def scenario(cues: list[Json]) -> Json:
    """Return a scenario with a track for text, one for boxes anywhere ("free"), and the given cues."""
    return {
        "version": "2.0",
        "pluginApiVersion": "3.0",
        "timebase": {"unit": "seconds"},
        "stage": {"baseAspect": "16:9"},
        "define": {"speakerPalette": PALETTE},
        "tracks": [
            {
                "id": "caption",
                "type": "subtitle",
                "layer": 1,
                "defaultStyle": {"fontSizeRel": 0.07, "fontFamily": "Arial, sans-serif", "color": "#ffffff"},
            },
            {"id": "free", "type": "free", "layer": 2},
        ],
        "cues": cues,
    }


def talk(
    seconds: float, *, plugins: tuple[str, ...] = ("cwi-color", "cwi-loud", "elastic"), cue_seconds: float = 0.8
) -> Json:
    """Return cues of four words without gaps; each word has the next of `plugins`."""
    cues = []
    for index in range(int(seconds / cue_seconds)):
        start = index * cue_seconds
        cues.append(word_cue(index, start, start + cue_seconds, plugins))
    return scenario(cues)


def word_cue(index: int, start: float, end: float, plugins: tuple[str, ...]) -> Json:
    """Return a cue of four words, spoken one after the other from `start` to `end` seconds."""
    each = (end - start) / 4
    words = []
    for position in range(4):
        number = index * 4 + position
        begin = round(start + position * each, 3)
        chain = [
            {
                "name": f"{name}@2.0.0",
                "params": {"speaker": "anna", "palette": "define.speakerPalette"} if name.startswith("cwi-") else {},
                "timeOffset": [-0.05, 0.1],
            }
            for name in plugins[number % max(1, len(plugins)) :][:1]
        ]
        words.append(
            {
                "id": f"word-{number}",
                "eType": "text",
                "text": WORDS[number % len(WORDS)],
                "displayTime": [start, end],
                "baseTime": [begin, round(begin + each, 3)],
                "pluginChain": chain,
            }
        )
    layout = {
        "anchor": "bc",
        "position": {"x": 0.5, "y": 0.9},
        "childrenLayout": {"mode": "flow", "direction": "horizontal", "wrap": True, "gap": 0.01, "justify": "center"},
    }
    root = {
        "id": f"line-{index}",
        "eType": "group",
        "displayTime": [start, end],
        "layout": layout,
        "boxStyle": {"backgroundColor": "rgba(0, 0, 0, 0.6)", "padding": "4px 8px", "borderRadius": "4px"},
        "children": words,
    }
    return {"id": f"cue-{index}", "track": "caption", "domLifetime": [start, end], "root": root}


def box_cue(name: str, start: float, end: float, area: tuple[float, float, float, float], colour: str) -> Json:
    """Return a cue that fills `area` (x, y, width, height as shares of the picture) with one colour."""
    x, y, width, height = area
    root = {
        "id": f"box-{name}",
        "eType": "group",
        "displayTime": [start, end],
        "layout": {"anchor": "tl", "position": {"x": x, "y": y}, "size": {"width": width, "height": height}},
        "boxStyle": {"backgroundColor": colour},
        "children": [],
    }
    return {"id": f"cue-{name}", "track": "free", "domLifetime": [start, end], "root": root}


def frame_numbers(rate: Fraction, frames: int) -> Json:
    """Return a scenario whose caption on frame n is n, in binary, as cells that `clips.read_counters` reads."""
    return scenario([number_cue(frame, rate, frame) for frame in range(frames)])


def number_cue(frame: int, rate: Fraction, number: int) -> Json:
    """Return the cue that shows `number` on `frame`: white cells on black."""
    # Each is there for one frame only, and not at the edges of its time: both ends count in MotionText.
    window = [float((frame - Fraction(2, 5)) / rate), float((frame + Fraction(2, 5)) / rate)]
    window[0] = max(0.0, window[0])
    cells = [
        {
            "id": f"cell-{frame}-{bit}",
            "eType": "group",
            "displayTime": window,
            "layout": {
                "anchor": "tl",
                "position": {"x": bit / CELLS, "y": 0},
                "size": {"width": 1 / CELLS, "height": 1},
            },
            "boxStyle": {"backgroundColor": "#ffffff"},
            "children": [],
        }
        for bit in range(CELLS)
        if number >> bit & 1
    ]
    root = {
        "id": f"number-{frame}",
        "eType": "group",
        "displayTime": window,
        "layout": {"anchor": "tl", "position": {"x": 0, "y": 0.5}, "size": {"width": 1, "height": 0.5}},
        "boxStyle": {"backgroundColor": "#000000"},
        "children": cells,
    }
    return {"id": f"cue-{frame}", "track": "free", "domLifetime": window, "root": root}


def render_job(source: Path, captions: Json, output: Path, **options: object) -> RenderJob:
    """Return a job; options are those of the manifest, in its spelling."""
    return parse_render_job(
        {
            "apiVersion": "render.ecg.dev/v1alpha1",
            "kind": "RenderJob",
            "metadata": {"name": "test"},
            "spec": {
                "source": {"uri": str(source)},
                "scenario": {"inline": captions},
                "options": {"preset": "ultrafast", "encoder": "x264", **options},
                "output": {"uri": str(output)},
            },
        }
    )
