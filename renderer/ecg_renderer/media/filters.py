"""The filter graph of a segment: source frames on the output's grid, shaped, captions over them. Pure.

    source ─ setpts ─ fps ─ setpts ─ (shape) ─ (tone map) ─ setparams ─┐
                                                                       overlay ─> encoder
    captions (sparse, exact ticks) ──────────────────────── setparams ─┘

Where captions are far apart, their parts are cut out of the packed picture, and each gets an overlay of its own.

Filters that would change nothing are left out. What is always there costs nothing: `fps` and `setpts` only
rewrite time stamps.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, gcd
from pathlib import Path
from typing import Any

from ecg_api.options import Fit, Focus
from ecg_api.plan import Matrix, OutputColour, SourceFacts, Target
from ecg_renderer.media.codecs import pixel_format
from ecg_renderer.media.facts import is_rgb
from ecg_renderer.media.placing import Placing
from ecg_renderer.media.process import UNTIMED_FORMATS
from ecg_renderer.model import Box

_LARGEST_DENOMINATOR = 2**31 - 1  # FFmpeg's fractions have 32 bits
_COLOUR_NAMES: dict[Matrix, str] = {"bt709": "bt709", "bt601": "smpte170m", "bt2020": "bt2020nc"}
_SDR = {"colorspace": "bt709", "color_primaries": "bt709", "color_trc": "bt709"}
_EXACT = "bicubic+accurate_rnd+full_chroma_int"
_SCALE_NAMES: dict[Matrix, str] = {"bt709": "bt709", "bt601": "bt601", "bt2020": "bt2020"}


@dataclass(frozen=True)
class Filter:
    """One filter and its arguments."""

    name: str
    arguments: tuple[Any, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()


_WHOLE_PICTURES = Filter("bwdif", options=(("mode", "send_frame"), ("parity", "auto"), ("deint", "all")))


def grid_filters(source: SourceFacts, target: Target, start: int, end: int, *, late: int) -> list[Filter]:
    """Return the filters that put source frames on the output's grid: frame n at the time late + n, in frames.

    Frame n of the output, counted from the first picture, shows the source frame whose time is nearest to n / rate or,
    if there is none, the one before; frames before the first picture are black, and the last one stays to the end.
    Times are counted in whole ticks from the source's first frame, wherever reading began: every segment decides by
    the same numbers, so many segments show the same frames as one.
    """
    rate = target.exact_rate
    tick = _common_tick(source.tick, 1 / rate)
    filters = _counted(source) + ([_WHOLE_PICTURES] if target.deinterlace else [])
    if tick != source.tick or target.deinterlace:  # bwdif halves the tick
        filters.append(Filter("settb", (rate_text(tick),)))
    if source.returned:
        filters.append(Filter("setpts", (f"PTS-{round(source.returned / tick)}",)))
    placing = Placing.of(source, target)
    first = placing.source_frame(start)
    grid = {"fps": rate_text(rate), "start_time": decimal(first / rate), "round": "near"}
    filters.append(Filter("fps", options=tuple(grid.items())))
    black = placing.lead - start
    if black > 0:
        filters.append(Filter("tpad", options=(("start", black), ("start_mode", "add"), ("color", "black"))))
    # Frames on which the last picture is held follow it, wherever reading begins.
    passed = max(0, start - placing.lead - first)
    filters.append(Filter("setpts", (f"N+{late + start - passed}",)))
    held = end - placing.lead - placing.pictures
    if held >= -1:
        # A decoder may keep back damaged last frames, and durations are rounded; half a second is given for that. More
        # missing than those is a broken source, which the count of the encoded frames shows.
        spare = max(2, ceil(rate / 2))
        filters.append(Filter("tpad", options=(("stop", spare + max(0, held)), ("stop_mode", "clone"))))
    return [*filters, Filter("trim", options=(("start_frame", passed),))] if passed else filters


def _counted(source: SourceFacts) -> list[Filter]:
    """Return the filters that give pictures without times those of a clock with one tick a picture."""
    if source.container not in UNTIMED_FORMATS:
        return []
    return [Filter("settb", (rate_text(source.tick),)), Filter("setpts", ("N",))]


def steady_filters(source: SourceFacts) -> list[Filter]:
    """Return the filters that fit pictures of another size or shape than the first into that one, with black bars.

    Those of the first shape pass as they are.
    """
    if not changes_shape(source):
        return []
    width, height = source.coded_width, source.coded_height
    aspect = source.pixel_aspect
    if source.rotation in {90, 270}:
        width, height, aspect = height, width, 1 / aspect
    shown = width * aspect / height
    # A little more than nothing: half of an odd side lies between two numbers, and shapes are rounded.
    size = {
        "w": f"min({width},2*round({width}*min(1,dar*{shown.denominator}/{shown.numerator})/2+.001))",
        "h": f"min({height},2*round({height}*min(1,{shown.numerator}/{shown.denominator}/dar)/2+.001))",
        "eval": "frame",
    }
    even = width + width % 2, height + height % 2
    bars = {"w": even[0], "h": even[1], "x": "(ow-iw)/2", "y": "(oh-ih)/2", "eval": "frame"}
    return [
        Filter("scale", options=tuple(size.items())),
        Filter("pad", options=tuple(bars.items())),
        *(_smeared_edges((width, height)) if even != (width, height) else []),
        Filter("setsar", (rate_text(aspect),)),
    ]


def opaque_filters(source: SourceFacts) -> list[Filter]:
    """Return the filters that show a source with an alpha channel on black."""
    if not source.alpha:
        return []
    of_colours = "gbrap10le" if source.bit_depth > 8 else "gbrap"
    planes = source.pixel_format if source.pixel_format.startswith("yuv") else of_colours
    opaque = planes.replace("yuva", "yuv").replace("gbrap", "gbrp")
    given = [Filter("format", (of_colours,))] if planes == of_colours else []
    return [*given, Filter("premultiply", options=(("inplace", 1),)), Filter("format", (opaque,))]


def changes_shape(source: SourceFacts) -> bool:
    """Tell whether pictures may have another size or shape than the first; those of VP9 may without a key frame."""
    return bool(source.other_shapes) or source.codec == "vp9" or not source.shapes_known


def _common_tick(tick: Fraction, frame: Fraction) -> Fraction:
    """Return the longest tick that divides both.

    The fps filter rounds the time at which it starts to a tick; where that is no whole number, frames halfway
    between two places would fall on another side in each segment.
    """
    over = tick.denominator * frame.denominator
    common = Fraction(gcd(tick.numerator * frame.denominator, frame.numerator * tick.denominator), over)
    return common if common.denominator <= _LARGEST_DENOMINATOR else tick


def shape_filters(source: SourceFacts, width: int, height: int, fit: Fit, focus: Focus | None = None) -> list[Filter]:
    """Return the filters that bring a source, already turned upright, to `width` x `height` square pixels."""
    stored = source.coded_width, source.coded_height
    upright = stored if source.rotation in {0, 180} else stored[::-1]
    shown = source.width, source.height
    if upright == shown and _is_rounding(shown, (width, height)):
        filters = _completed_edges(shown, width, height) if shown != (width, height) else []
        return [*filters, *_to_yuv(source)]
    scaled = _scaled_size(shown, (width, height), fit)
    scale = [Filter("scale", (), (("w", scaled[0]), ("h", scaled[1]), *_yuv_options(source)))]
    return [*scale, *_yuv_format(source), *_fitted(scaled, width, height, focus or Focus()), Filter("setsar", (1,))]


def _is_rounding(shown: tuple[int, int], wanted: tuple[int, int]) -> bool:
    """Tell whether the result is the source with odd sides made even; scaling by one pixel would only blur.

    A side of one pixel has no second one that its new edge could be like.
    """
    return all(0 <= new - old <= old % 2 and new != 2 * old for old, new in zip(shown, wanted, strict=True))


def _completed_edges(shown: tuple[int, int], width: int, height: int) -> list[Filter]:
    return [Filter("pad", (width, height, 0, 0)), *_smeared_edges(shown)]


def _smeared_edges(size: tuple[int, int]) -> list[Filter]:
    # pad takes no odd size: it paints over the last column, or row, too. Both get the colours of the one before.
    right, bottom = (2 * (side % 2) for side in size)
    return [Filter("fillborders", options=(("right", right), ("bottom", bottom), ("mode", "smear")))]


def _scaled_size(shown: tuple[int, int], wanted: tuple[int, int], fit: Fit) -> tuple[int, int]:
    ratios = [Fraction(new, old) for old, new in zip(shown, wanted, strict=True)]
    ratio = max(ratios) if fit == "cover" else min(ratios)
    width, height = (2 * round(side * ratio / 2) for side in shown)
    if fit == "cover":
        return max(width, wanted[0]), max(height, wanted[1])
    return max(2, min(width, wanted[0])), max(2, min(height, wanted[1]))


def _fitted(scaled: tuple[int, int], width: int, height: int, focus: Focus) -> list[Filter]:
    if scaled == (width, height):
        return []
    if scaled[0] > width or scaled[1] > height:
        return [Filter("crop", (width, height, _cut(scaled[0], width, focus.x), _cut(scaled[1], height, focus.y)))]
    x, y = (width - scaled[0]) // 4 * 2, (height - scaled[1]) // 4 * 2
    return [Filter("pad", (width, height, x, y))]


def _cut(side: int, wanted: int, percent: int) -> int:
    """Return what is cut off before a point at `percent` of `side`, which comes as near to the middle as can be.

    Even: chroma has half the resolution.
    """
    offset = (side * percent // 50 - wanted) // 4 * 2
    return max(0, min(offset, side - wanted))


def _yuv_options(source: SourceFacts) -> tuple[tuple[str, Any], ...]:
    if not is_rgb(source.pixel_format):
        # Left to itself, FFmpeg scales full range to limited range, but for 8 bits in its yuvj formats.
        return (("in_range", "pc"), ("out_range", "pc")) if source.full_range else ()
    # Left to itself, FFmpeg turns RGB into YUV by BT.601 whatever the size.
    return (("out_color_matrix", _SCALE_NAMES[source.matrix]), ("out_range", "tv"))


def _yuv_format(source: SourceFacts) -> list[Filter]:
    if not is_rgb(source.pixel_format):
        return []
    return [Filter("format", (pixel_format(ten_bit=source.bit_depth > 8, full_range=False),))]


def _to_yuv(source: SourceFacts) -> list[Filter]:
    options = _yuv_options(source)
    return [Filter("scale", (), options), *_yuv_format(source)] if options else []


def tone_map_filters(source: SourceFacts, table: Path) -> list[Filter]:
    """Return the filters that make SDR of an HDR source; `table` is that of `colour.tone_map_of`.

    Nothing of what HDR says about its light is left with the pictures.
    """
    to_rgb = {"in_color_matrix": _SCALE_NAMES[source.matrix], "in_range": "pc" if source.full_range else "tv"}
    to_yuv = {"out_color_matrix": "bt709", "out_range": "tv", "flags": _EXACT}
    return [
        Filter("sidedata", options=(("mode", "delete"),)),
        Filter("scale", options=tuple({**to_rgb, "flags": _EXACT}.items())),
        Filter("format", ("gbrp10le",)),
        Filter("lut3d", options=(("file", str(table)), ("interp", "tetrahedral"))),
        Filter("setparams", options=tuple(_SDR.items())),
        Filter("scale", options=tuple(to_yuv.items())),
        Filter("format", ("yuv420p",)),
    ]


def colour_filters(source: SourceFacts, colour: OutputColour) -> list[Filter]:
    """Return the filters that say, on both branches before the overlay and with the same words, what colours are.

    Since version 7 FFmpeg makes the inputs of a filter agree on matrix and range, and takes what is not tagged for
    something else: it would convert the captions once more.
    """
    if colour.tone_mapped:
        return [Filter("setparams", options=(*_SDR.items(), ("range", "tv")))]
    tags = {"colorspace": source.color_space or _COLOUR_NAMES[source.matrix]}
    tags["range"] = "pc" if source.full_range else "tv"
    if source.transfer is None:
        tags |= {"color_primaries": _guessed(source)["color_primaries"], "color_trc": _guessed(source)["color_trc"]}
    elif source.is_hdr:
        tags |= {"color_primaries": source.primaries or "bt2020", "color_trc": source.transfer}
    filters = [Filter("setparams", options=tuple(tags.items()))]
    # Newer encoders write Dolby's data again, though it was made for pictures without captions.
    return [Filter("sidedata", options=(("mode", "delete"),)), *filters] if source.dolby_vision else filters


def deep_filters() -> list[Filter]:
    """Return the filters that give captions of full range 10 bits, to lie over pictures of full range.

    Left to itself, FFmpeg would make them limited range on the way.
    """
    return [Filter("scale", options=(("in_range", "pc"), ("out_range", "pc"))), Filter("format", ("yuva420p10le",))]


def overlay_options(box: Box, *, ten_bit: bool) -> dict[str, Any]:
    """Return the options of the overlay that puts caption pictures of `box` over the video.

    Between two pictures, and after the last, the newer one stays.
    """
    return {
        "x": box.x,
        "y": box.y,
        "eval": "init",
        "format": "yuv420p10" if ten_bit else "yuv420",  # the default drops to 8 bits
        "alpha": "straight",
        "eof_action": "repeat",
    }


def colour_options(source: SourceFacts, colour: OutputColour) -> dict[str, str]:
    """Return the output options that tag an untagged source's colours; tags of the source pass on by themselves."""
    options = {"color_range": "pc" if colour.full_range else "tv"}
    if colour.tone_mapped or source.transfer is not None:
        return options
    return options | _guessed(source)


def _guessed(source: SourceFacts) -> dict[str, str]:
    """Return the tags that fit the matrix of a source without tags."""
    name = _COLOUR_NAMES[source.matrix]
    curve = "bt709" if source.matrix == "bt2020" else name
    primaries = "bt2020" if source.matrix == "bt2020" else name
    return {"colorspace": name, "color_primaries": primaries, "color_trc": curve}


def colour_names(source: SourceFacts, colour: OutputColour) -> dict[str, str]:
    """Return what a file made of a result's colours is tagged with: the source's tags, or what fits its matrix."""
    if colour.tone_mapped:
        return {name: _SDR[name] for name in ("colorspace", "color_primaries", "color_trc")}
    names = {**_guessed(source), "colorspace": source.color_space or _COLOUR_NAMES[source.matrix]}
    primaries = source.primaries or names["color_primaries"]
    return {**names, "color_primaries": primaries, "color_trc": source.transfer or names["color_trc"]}


def rate_text(rate: Fraction) -> str:
    """Return a rate as FFmpeg reads it exactly."""
    return f"{rate.numerator}/{rate.denominator}"


def decimal(seconds: Fraction) -> str:
    """Return seconds as FFmpeg reads them: six decimals, its own resolution."""
    microseconds = ceil(seconds * 1_000_000 - Fraction(1, 2))
    sign, whole = ("-" if microseconds < 0 else ""), abs(microseconds)
    return f"{sign}{whole // 1_000_000}.{whole % 1_000_000:06d}"
