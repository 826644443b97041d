"""From ffprobe's report to SourceFacts: which stream, its size as shown, its colours, its sound."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any, Literal

from ecg_api.options import LARGEST_SIDE
from ecg_api.plan import HDR_TRANSFERS, AudioFacts, LightFacts, Matrix, SourceFacts, TrackFacts
from ecg_api.rational import to_rational
from ecg_renderer.errors import SourceInvalid
from ecg_renderer.media.timing import Timing, fraction

SOUND_HINT = (
    "Make a video of it with a picture first: ffmpeg -loop 1 -framerate 30 -i PICTURE -i SOUND -shortest "
    "-vf scale=1280:-2 -pix_fmt yuv420p video.mp4"
)
HD_HEIGHT = 720
# A decoder keeps several pictures, of up to 4 bytes a pixel: a small file could ask for many gigabytes.
LARGEST_PIXELS = LARGEST_SIDE**2

_STILLS = ("mjpeg", "png", "bmp", "webp")
# The first stream of pictures that is no cover.
FIRST = "V:0"

_MATRICES: dict[str, Matrix] = {
    "bt709": "bt709",
    "smpte240m": "bt709",
    "smpte170m": "bt601",
    "bt470bg": "bt601",
    "fcc": "bt601",
    "bt2020nc": "bt2020",
    "bt2020c": "bt2020",
}
_DERIVED: dict[str | None, str] = {"bt709": "bt709", "bt2020": "bt2020nc"}
_INTERLACED = ("tt", "bb", "tb", "bt")
_RGB = ("rgb", "bgr", "gbr", "argb", "abgr", "0rgb", "0bgr", "x2rgb", "x2bgr", "pal8")
_GRAY = ("gray", "ya8", "ya16")
_ALPHA = ("yuva", "rgba", "bgra", "argb", "abgr", "gbrap", "ya8", "ya16")
# Profiles that may have pictures of a colour space of their own (IPTPQc2).
_DOLBY_ONLY = (5, 10)
Rotation = Literal[0, 90, 180, 270]
_WHOLE_TURN = 360
_FLAT = (None, "2D", "rectilinear", "unspecified", "monoscopic")
_QUARTERS: tuple[Rotation, ...] = (0, 90, 180, 270)
_DEPTH = re.compile(r"(?:p|gray|p[024]|ya|rgba?|bgra?|f)(9|10|12|14|16|32|48|64)(?:le|be|msb.*)?$")


def video_stream(report: dict[str, Any], display: str) -> tuple[dict[str, Any], str]:
    """Return the stream of moving pictures that players show, and how FFmpeg calls it: the default one, else the first.

    One that cannot be decoded is passed over while there are others; raises SourceInvalid when there is none.
    """
    streams = report.get("streams", [])
    videos = [stream for stream in streams if stream.get("codec_type") == "video"]
    if moving := _moving(report):
        stream = _decodable(min(moving, key=_unlikely), display)
        return stream, FIRST if stream is moving[0] else str(stream["index"])
    if videos:
        raise SourceInvalid(f"{display} holds sound and a cover picture, but no video.", hint=SOUND_HINT)
    if any(stream.get("codec_type") == "audio" for stream in streams):
        raise SourceInvalid(f"{display} holds only sound.", hint=SOUND_HINT)
    raise SourceInvalid(f"{display} holds no video stream.", hint="Name a video file.")


def specifier(source: SourceFacts) -> str:
    """Return how FFmpeg calls the stream whose pictures are captioned."""
    return FIRST if source.video is None or source.video_tracks == 1 else str(source.video.index)


def _moving(report: dict[str, Any]) -> list[dict[str, Any]]:
    videos = [stream for stream in report.get("streams", []) if stream.get("codec_type") == "video"]
    return [stream for stream in videos if not stream["disposition"]["attached_pic"]]


def _unlikely(stream: dict[str, Any]) -> tuple[bool, bool, bool]:
    """Return what sorts the stream first that players show; covers are not marked as such everywhere."""
    default = bool(stream["disposition"].get("default"))
    still = stream.get("codec_name") in _STILLS and not (default and _goes_on(stream))
    return not _has_pictures(stream), still, not default


def _goes_on(stream: dict[str, Any]) -> bool:
    """Tell whether a stream is said to be more than one picture: in Matroska's words, to last a second."""
    lasts: str = stream.get("tags", {}).get("DURATION", "")
    return int(stream.get("nb_frames") or 0) > 1 or lasts >= "00:00:01"


def _has_pictures(stream: dict[str, Any]) -> bool:
    # Streams of an unknown codec, or whose headers are damaged, are listed without size or pixel format.
    return bool(stream.get("width") and stream.get("height") and stream.get("pix_fmt"))


def _decodable(stream: dict[str, Any], display: str) -> dict[str, Any]:
    if not _has_pictures(stream):
        codec = stream.get("codec_name", "an unknown codec")
        raise SourceInvalid(
            f"{display} holds a video stream ({codec}) that FFmpeg cannot decode.",
            hint="Convert the file to H.264 first, or check that it is complete.",
        )
    if stream["width"] * stream["height"] > LARGEST_PIXELS:
        raise SourceInvalid(
            f"{display} has pictures of {stream['width']}x{stream['height']} pixels, which is more than can be "
            f"decoded here: {LARGEST_SIDE}x{LARGEST_SIDE}.",
            hint="Make it smaller first: ffmpeg -i SOURCE -vf scale=3840:-2 smaller.mp4",
        )
    return stream


def source_facts(
    report: dict[str, Any], stream: dict[str, Any], timing: Timing, *, display: str, identity: str
) -> SourceFacts:
    """Put together what is known of a source whose video is `stream`."""
    rotation, turned = _rotation(stream)
    pixel_aspect = fraction(stream.get("sample_aspect_ratio", "1:1").replace(":", "/")) or Fraction(1)
    width, height = _display_size(stream["width"], stream["height"], pixel_aspect, rotation)
    size = report["format"].get("size")
    sounds = [each for each in report["streams"] if each.get("codec_type") == "audio"]
    subtitles = [each for each in report["streams"] if each.get("codec_type") == "subtitle"]
    return SourceFacts(
        uri=display,
        identity=identity,
        size_bytes=int(size) if size else None,
        container=report["format"]["format_name"],
        codec=stream["codec_name"],
        width=width,
        height=height,
        coded_width=stream["width"],
        coded_height=stream["height"],
        rotation=rotation,
        turned=turned,
        sample_aspect=to_rational(pixel_aspect),
        rate=to_rational(timing.rate),
        time_base=to_rational(Fraction(stream["time_base"])),
        start_seconds=to_rational(timing.start),
        frames=timing.frames,
        duration_seconds=float(timing.duration),
        held_seconds=float(timing.held),
        variable_rate=timing.variable,
        **_colours(stream, height, display),
        view=_view(stream),
        interlaced=stream.get("field_order") in _INTERLACED,
        audio=[_audio(each) for each in sounds if _is_known(each)],
        unreadable_audio=[each["index"] for each in sounds if not _is_known(each)],
        subtitles=[TrackFacts(**_track(each)) for each in subtitles],
        video_tracks=len(_moving(report)),
        video=TrackFacts(**_track(stream)),
    )


def _colours(stream: dict[str, Any], height: int, display: str) -> dict[str, Any]:
    matrix = _matrix(stream, height, display)
    return {
        "pixel_format": stream["pix_fmt"],
        "bit_depth": bit_depth(stream["pix_fmt"]),
        "alpha": _has_alpha(stream),
        "matrix": matrix,
        "color_space": _tag(stream),
        "full_range": _is_full_range(stream),
        "transfer": stream.get("color_transfer"),
        "primaries": stream.get("color_primaries") or ("bt2020" if matrix == "bt2020" else None),
        "light": light_facts(stream.get("side_data_list", [])),
        "dolby_vision": _dolby_vision(stream, display),
    }


def _display_size(width: int, height: int, pixel_aspect: Fraction, rotation: Rotation) -> tuple[int, int]:
    # As players do: the height stays, the width is stretched.
    shown = max(1, round(width * pixel_aspect)), height
    return shown if rotation in {0, 180} else (shown[1], shown[0])


def _rotation(stream: dict[str, Any]) -> tuple[Rotation, bool]:
    """Return by how much pictures are turned, and whether FFmpeg is to turn, or mirror, them as the header asks.

    Other angles than quarters are passed over, as by browsers: FFmpeg would cut the corners off.
    """
    for side_data in stream.get("side_data_list", []):
        if "rotation" in side_data:  # counter-clockwise
            angle = -float(side_data["rotation"])
            quarters = round(angle / 90)
            if abs(angle) <= _WHOLE_TURN and abs(angle - 90 * quarters) <= 1:
                return _QUARTERS[quarters % 4], True
    return 0, False


def _view(stream: dict[str, Any]) -> str | None:
    for data in stream.get("side_data_list", []):
        kind = data.get("side_data_type")
        if kind == "Spherical Mapping" and data.get("projection") not in _FLAT:
            return f"spherical ({data.get('projection')})"
        if kind == "Stereo 3D" and data.get("type") not in _FLAT:
            return f"stereoscopic ({data.get('type')})"
    return None


def bit_depth(pixel_format: str) -> int:
    """Return the bits of one sample of an FFmpeg pixel format: 8 for yuv420p, 10 for yuv420p10le."""
    match = _DEPTH.search(pixel_format)
    if not match:
        return 8
    return min(16, int(match[1]))  # 48 and 64 are those of a pixel, 32 those of a floating-point number


def light_facts(side_data: list[dict[str, Any]]) -> LightFacts | None:
    """Return what a stream, or one of its frames, says about light; None if it says nothing."""
    found: dict[str, Any] = {}
    for data in side_data:
        if "max_luminance" in data:
            found["display_nits"] = float(_number(data["max_luminance"])) or None
        if "red_x" in data and "min_luminance" in data:
            found["display"] = _display(data)
        if "max_content" in data:
            found |= {"content_nits": max(0, data["max_content"]) or None}
            found |= {"average_nits": max(0, data["max_average"]) or None}
    return LightFacts(**found) if any(found.values()) else None


def _number(text: str) -> Fraction:
    return fraction(text) or Fraction(0)


def _display(data: dict[str, Any]) -> str:
    def pair(name: str) -> str:
        return ",".join(str(round(_number(data[f"{name}_{axis}"]) * 50_000)) for axis in "xy")

    light = ",".join(str(round(_number(data[f"{name}_luminance"]) * 10_000)) for name in ("max", "min"))
    return f"G({pair('green')})B({pair('blue')})R({pair('red')})WP({pair('white_point')})L({light})"


def _dolby_vision(stream: dict[str, Any], display: str) -> int | None:
    """Return the profile, if it is Dolby Vision whose pictures are HDR or SDR without Dolby's decoder too."""
    for data in stream.get("side_data_list", []):
        profile = data.get("dv_profile")
        if profile in _DOLBY_ONLY and not data.get("dv_bl_signal_compatibility_id"):
            raise SourceInvalid(
                f"{display} is Dolby Vision of profile {profile}, whose colours only Dolby's own decoders know.",
                hint="Export it as Dolby Vision 8.4, HLG, HDR10 or SDR.",
            )
        if profile is not None:
            return int(profile)
    return None


def _matrix(stream: dict[str, Any], height: int, display: str) -> Matrix:
    said = _color_space(stream)
    if said not in (*_MATRICES, "unknown", "reserved", "gbr"):
        raise SourceInvalid(
            f"{display} stores its colours in a way that is not known here ({said}).",
            hint="Convert them first: ffmpeg -i SOURCE -vf zscale=matrix=709,format=yuv420p -c:a copy converted.mp4",
        )
    untagged: Matrix = "bt709" if height >= HD_HEIGHT else "bt601"
    if stream.get("color_transfer") in HDR_TRANSFERS:
        untagged = "bt2020"
    return _MATRICES.get(said, untagged)


def _color_space(stream: dict[str, Any]) -> str:
    """Return FFmpeg's name of the matrix; one that follows from the primaries by that of the same numbers."""
    said: str = stream.get("color_space", "unknown")
    return _DERIVED.get(stream.get("color_primaries"), said) if said == "chroma-derived-nc" else said


def _tag(stream: dict[str, Any]) -> str | None:
    tag = _color_space(stream)
    return None if tag in ("unknown", "reserved", "gbr") or is_rgb(stream["pix_fmt"]) else tag


def is_rgb(pixel_format: str) -> bool:
    """Tell whether pixels are stored as red, green, blue; they become YUV of limited range before the overlay."""
    return pixel_format.startswith(_RGB)


def _has_alpha(stream: dict[str, Any]) -> bool:
    # FFmpeg's own decoders of VP8 and VP9 pass over the alpha, so the pixel format does not show it.
    tags = {name.lower(): value for name, value in stream.get("tags", {}).items()}
    return stream["pix_fmt"].startswith(_ALPHA) or tags.get("alpha_mode") == "1"


def _is_full_range(stream: dict[str, Any]) -> bool:
    if is_rgb(stream["pix_fmt"]):
        return False
    gray = stream["pix_fmt"].startswith(_GRAY) and stream.get("color_range") != "tv"  # as FFmpeg takes it
    return gray or stream.get("color_range") == "pc" or stream["pix_fmt"].startswith("yuvj")


def _is_known(stream: dict[str, Any]) -> bool:
    # Streams whose headers are damaged, or of a codec that only has a name, are listed without a rate.
    named = stream.get("codec_name", "unknown") not in ("unknown", "none")
    return named and stream.get("channels", 0) > 0 and int(stream.get("sample_rate", 0)) > 0


def _track(stream: dict[str, Any]) -> dict[str, Any]:
    tags = {name.lower(): text for name, text in stream.get("tags", {}).items()}
    language = tags.get("language", "und")
    return {
        "index": stream["index"],
        "codec": stream.get("codec_name", "unknown"),
        "language": None if language == "und" else language,
        "title": tags.get("title") or tags.get("name"),
        "dispositions": [name for name, given in stream["disposition"].items() if given],
    }


def _audio(stream: dict[str, Any]) -> AudioFacts:
    tick = Fraction(stream["time_base"])
    return AudioFacts(
        **_track(stream),
        channels=stream["channels"],
        sample_rate=int(stream["sample_rate"]),
        start_seconds=to_rational(int(stream.get("start_pts", 0)) * tick),
    )
