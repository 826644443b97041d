"""What a person wants to know of a finished render."""

from __future__ import annotations

from ecg_api.rational import rate_words
from ecg_api.rendering import RenderResult
from ecg_api.status import RenditionStatus
from ecg_renderer.cli.display import clock_time


def summary(result: RenderResult, seconds: float) -> str:
    """Return a few lines; `seconds` is what the whole command took."""
    speed = result.duration_seconds / seconds if seconds else 0.0
    lines = [
        f"{length(result.duration_seconds)} of {result.width}x{result.height} at {rate_words(result.rate)} frames/s "
        f"in {length(seconds)}: {speed:.2f} x real time, {size_words(result.size_bytes)}",
        f"  encoder   {result.encoder} ({result.encoder_reason})",
        f"  captions  {_captions(result)}",
        f"  reused    {_cells(result)}",
        f"  warnings  {_warnings(result)}",
    ]
    lines += [
        f"  {'also' if not number else '':<9} {_also(output)}" for number, output in enumerate(result.outputs[1:])
    ]
    if result.frames_dropped:
        lines.append(f"  dropped   {result.frames_dropped:,} caption pictures (options.framePolicy: drop)")
    return "\n".join(lines)


def _also(output: RenditionStatus) -> str:
    if output.failure:
        return f"{output.name}: failed, {output.failure.code}"
    words = [output.name, f"{output.content}, {size_words(output.size_bytes)}"]
    if output.box:
        box = output.box
        seen = f"seen in {box.width}x{box.height} at {box.x},{box.y}" if box.width else "nothing is ever seen"
        words.append(seen)
    return ": ".join(words[:2]) + "".join(f", {word}" for word in words[2:])


def _captions(result: RenderResult) -> str:
    if not result.capture:
        return "nothing to capture"
    stages = f"{result.stages} stages" if result.stages > 1 else "1 stage"
    restarts = f", browser restarted {result.browser_restarts} times" if result.browser_restarts else ""
    pictures = f"{result.distinct_frames:,} pictures" if result.distinct_frames != 1 else "1 picture"
    return f"{pictures} for {result.frames:,} frames (by {result.capture}, {stages}{restarts})"


def _cells(result: RenderResult) -> str:
    return f"{result.cells_reused} of {result.cells} cells from the store"


def _warnings(result: RenderResult) -> str:
    return f"{len(result.warnings)}, see above" if result.warnings else "none"


def length(seconds: float) -> str:
    """Return `12.3 s` or, from a minute on, `2:03 min`."""
    return f"{seconds:.1f} s" if seconds < 60 else f"{clock_time(seconds)} {'min' if seconds < 3600 else 'h'}"


def size_words(size: float) -> str:
    """Return bytes as `12.3 MB`."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} bytes" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
