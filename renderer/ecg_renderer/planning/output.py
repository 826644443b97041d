"""Which frames the result has, and how large they are."""

from __future__ import annotations

from fractions import Fraction
from math import floor

from ecg_api.options import LARGEST_SIDE, SMALLEST_SIDE, Options
from ecg_api.plan import SourceFacts
from ecg_api.rational import rate_words
from ecg_renderer.errors import OptionsError
from ecg_renderer.model import FrameGrid

# Durations come as doubles; no container's clock ticks finer than this.
_FINEST_CLOCK = 10_000_000


def output_grid(source: SourceFacts, options: Options) -> tuple[FrameGrid, list[str]]:
    """Return the frames of the result, and warnings.

    At the source's own constant rate every source frame becomes one frame. At another rate, and from a
    variable one, there are as many frames as FFmpeg's `fps` filter gives: duration times rate, halves
    rounded up, at least one.
    """
    rate = options.rate or source.exact_rate
    if not source.variable_rate:
        if rate == source.exact_rate:
            return FrameGrid(rate, source.frames), []
        return FrameGrid(rate, _frames(source.frames / source.exact_rate, rate)), []
    duration = Fraction(source.duration_seconds).limit_denominator(_FINEST_CLOCK)
    chosen = "" if options.rate else "; set options.fps to choose another rate"
    warning = (
        f"The source's frames come at a variable rate; the result has a constant {rate_words(rate)} "
        f"frames per second{chosen}."
    )
    return FrameGrid(rate, _frames(duration, rate)), [warning]


def output_size(source: SourceFacts, options: Options) -> tuple[int, int, list[str]]:
    """Return width and height of the result in pixels, both even, and warnings.

    What is omitted comes from the source: its size as shown, or with one side given, its shape. A source that is larger
    than what can be rendered is made smaller. Raises OptionsError if the other side then leaves what can be rendered.
    """
    width, height, warnings = options.width, options.height, []
    if width is None and height is None:
        width, height = _largest(source)
        if (width, height) != (source.width, source.height):
            warnings.append(
                f"The result is {width}x{height}: the source's {source.width}x{source.height} is more than the "
                f"{LARGEST_SIDE} pixels a side that can be rendered."
            )
    elif width is None:
        assert height is not None
        width = _following("width", height * source.width, source.height)
    elif height is None:
        height = _following("height", width * source.height, source.width)
    even = width + width % 2, height + height % 2
    if even != (width, height):
        warnings.append(
            f"The result is {even[0]}x{even[1]} instead of {width}x{height}: "
            "video with halved colour resolution needs even sides."
        )
    return *even, warnings


def _largest(source: SourceFacts) -> tuple[int, int]:
    """Return the source's size, or the largest of its shape that can be rendered."""
    longest = max(source.width, source.height)
    if longest <= LARGEST_SIDE:
        return source.width, source.height
    width, height = (
        max(2, 2 * round(Fraction(side * LARGEST_SIDE, 2 * longest))) for side in (source.width, source.height)
    )
    return width, height


def _frames(duration: Fraction, rate: Fraction) -> int:
    return max(1, floor(duration * rate + Fraction(1, 2)))


def _following(name: str, numerator: int, denominator: int) -> int:
    """Return the side that keeps the source's shape: the nearest even number of pixels."""
    side = 2 * floor(Fraction(numerator, denominator) / 2 + Fraction(1, 2))
    if not SMALLEST_SIDE <= side <= LARGEST_SIDE:
        raise OptionsError(
            f"With the other side as given, the source's shape makes the {name} {side} pixels; "
            f"{SMALLEST_SIDE} to {LARGEST_SIDE} can be rendered.",
            hint="Give both options.width and options.height, and options.fit for what does not fit.",
        )
    return side
