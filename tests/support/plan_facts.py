"""Sources and captions as facts, for what is decided from them without a file."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from ecg_api.plan import OutputColour, SourceFacts, Target
from ecg_renderer.scenario import CueSpan

RATES = tuple(Fraction(rate) for rate in ("24000/1001", "24", "25", "30000/1001", "30", "50", "60000/1001", "60"))


def a_source(**changes: Any) -> SourceFacts:
    """Return a 10 s, 1920x1080, 30 fps source; `changes` name fields of SourceFacts."""
    rate = Fraction(changes.get("rate", 30))
    frames = changes.get("frames", 300)
    facts: dict[str, Any] = {
        "uri": "clip.mp4",
        "identity": "identity-of-clip",
        "size_bytes": 1_000_000,
        "container": "mov,mp4,m4a,3gp,3g2,mj2",
        "codec": "h264",
        "width": 1920,
        "height": 1080,
        "coded_width": 1920,
        "coded_height": 1080,
        "rotation": 0,
        "sample_aspect": "1/1",
        "time_base": "1/90000",
        "start_seconds": "0/1",
        "frames": frames,
        "duration_seconds": float(frames / rate),
        "variable_rate": False,
        "pixel_format": "yuv420p",
        "bit_depth": 8,
        "matrix": "bt709",
        "full_range": False,
        "transfer": None,
        "audio": [],
    }
    return SourceFacts(**(facts | changes | {"rate": f"{rate.numerator}/{rate.denominator}"}))


def a_target(**changes: Any) -> Target:
    """Return a 10 s, 1920x1080, 30 fps target in MP4 by x264; `changes` name its fields, or those of its colours."""
    colour = {"matrix": "bt709", "full_range": False, "bit_depth": 8, "transfer": None}
    facts: dict[str, Any] = {
        "width": 1920,
        "height": 1080,
        "rate": 30,
        "frames": 300,
        "encoder": "x264",
        "quality": 60,
        "preset": "veryfast",
        "fit": "cover",
        "format": "mp4",
    } | {name: value for name, value in changes.items() if name not in OutputColour.model_fields}
    colours = {name: value for name, value in changes.items() if name in OutputColour.model_fields}
    rate = Fraction(facts.pop("rate"))
    return Target(**facts, rate=f"{rate.numerator}/{rate.denominator}", colour=OutputColour(**colour | colours))


def spans(*times: tuple[float, float], animated: bool = False) -> list[CueSpan]:
    """Return one cue for each (start, end) in seconds; with `animated`, plugins run all the time."""
    return [
        CueSpan(index, f"cue-{index}", start, end, ((start, end),) if animated else ())
        for index, (start, end) in enumerate(times)
    ]
