"""What the result is like: which frames it has, how large they are, which colours."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor

from ecg_api.options import LARGEST_SIDE, SMALLEST_SIDE, EncoderName, Options
from ecg_api.plan import OutputColour, SourceFacts
from ecg_api.rational import rate_words
from ecg_renderer.errors import OptionsError, SourceInvalid
from ecg_renderer.media.codecs import CODECS
from ecg_renderer.media.placing import exact, frames_in, picture_frames, presentation_zero, start_seconds
from ecg_renderer.media.timing import LARGEST_PACKETS, meant_rate
from ecg_renderer.model import FrameGrid

# Below this rate captions would be seen to jump; they get at least the other.
LOW_RATE, SMOOTH_RATE = 15, 24
# Picture and sound seldom begin and end together to the frame; from this on people notice.
NOTICED_SECONDS = Fraction(1, 2)


def output_grid(source: SourceFacts, options: Options, *, captions_end: float = 0) -> tuple[FrameGrid, list[str]]:
    """Return the frames of the result, and warnings.

    At the source's own constant rate every source frame becomes one frame. At another rate, and from a variable one,
    there are as many frames as FFmpeg's `fps` filter gives. The first frame is the first picture or, where that comes
    late, black; the last picture stays for as long as the source says, and while its sound goes on, be it only for a
    moment if there are captions until `captions_end` (presentation time, seconds).
    """
    rate = options.rate or _moving_rate(source)
    late = source.start - presentation_zero(source)
    lead = floor(late * rate) if late >= NOTICED_SECONDS else 0
    start = start_seconds(source, rate, lead)
    pictures = picture_frames(source, rate)
    frames = max(pictures, frames_in(exact(source.duration_seconds), rate)) if source.held_seconds else pictures
    sound = Fraction(0) if source.sound_end_seconds is None else exact(source.sound_end_seconds) - source.start
    shown = frames / rate
    missed = captions_end > start + (lead + frames + 1) / rate
    if sound - shown >= NOTICED_SECONDS or (missed and sound > shown):
        frames = max(frames, frames_in(sound, rate))
    grid = FrameGrid(rate, lead + frames, start, lead)
    return grid, _grid_warnings(source, options, grid, late)


def _moving_rate(source: SourceFacts) -> Fraction:
    """Return the source's rate, or the multiple of a low one at which captions still move."""
    rate = source.exact_rate
    return rate if rate >= LOW_RATE else meant_rate(rate * ceil(SMOOTH_RATE / rate))


def _grid_warnings(source: SourceFacts, options: Options, grid: FrameGrid, late: Fraction) -> list[str]:
    if grid.frames > LARGEST_PACKETS:
        raise SourceInvalid(
            f"The source's last picture or sound ends after {float(grid.end):,.0f} seconds, "
            f"which is more than can be rendered: {LARGEST_PACKETS:,} frames.",
            hint="Cut it into parts first; or check that the file is not damaged.",
        )
    rate, chosen = rate_words(grid.rate), "" if options.rate else "; set options.fps to choose another rate"
    warnings = []
    if source.frames == 1 and grid.frames > 1 and options.rate is None:
        warnings.append(f"The source is one picture; the result has {rate} frames per second{chosen}.")
    elif source.variable_rate:
        warnings.append(
            f"The source's frames come at a variable rate; the result has a constant {rate} frames per second{chosen}."
        )
    elif grid.rate != source.exact_rate and options.rate is None:
        warnings.append(
            f"The source has {rate_words(source.rate)} pictures a second; the result has {rate}, so that captions "
            f"move{chosen}."
        )
    if grid.lead:
        warnings.append(f"The source's first picture comes after {float(late):.2f} s; until then the result is black.")
    return warnings


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


# --- colours --------------------------------------------------------------------------------------


def output_colour(source: SourceFacts, encoder: EncoderName, *, keep_hdr: bool = False) -> OutputColour:
    """Return the colours of what `encoder` makes of a source: its own, as far as the encoder takes them.

    HDR becomes SDR unless `keep_hdr`.
    """
    if source.is_hdr and not keep_hdr:
        return OutputColour(
            matrix="bt709", full_range=False, bit_depth=8, transfer="bt709", primaries="bt709", tone_mapped=True
        )
    codec = CODECS[encoder]
    ten_bit = (source.is_hdr or source.bit_depth > 8) and max(codec.depths) > 8
    return OutputColour(
        matrix=source.matrix,
        full_range=source.full_range and codec.full_range,
        bit_depth=10 if ten_bit else 8,
        transfer=source.transfer,
        primaries=source.primaries,
        light=source.light if source.is_hdr else None,
    )


def encoding_of(source: SourceFacts, options: Options) -> tuple[Options, int]:
    """Return the options, and the bits of a sample, that the encoder of a source is chosen by."""
    if not source.is_hdr:
        return options, source.bit_depth
    if options.dynamic_range != "hdr":
        return options, 8
    codec = options.codec or (None if options.format == "webm" else "hevc")
    return options.model_copy(update={"codec": codec}), 10


def colour_warnings(source: SourceFacts, options: Options) -> list[str]:
    """Return a sentence where the result's dynamic range is another than the source's, or than was asked for."""
    if source.is_hdr and options.dynamic_range == "auto":
        kind = {"smpte2084": "PQ", "arib-std-b67": "HLG"}[source.transfer or ""]
        return [
            f"The source is HDR ({kind}); the result is SDR, tone-mapped to BT.709. Set options.dynamicRange to hdr to "
            "keep it, or to sdr to hear no more of this."
        ]
    if not source.is_hdr and options.dynamic_range == "hdr":
        return ["options.dynamicRange is hdr, but the source is SDR, and so is the result."]
    return []
