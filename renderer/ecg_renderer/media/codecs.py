"""How the tracks of a result are coded. Pure.

Pictures by one of the encoders: a row each, with all that makes it another than the rest. Sound and subtitles as the
container takes them: copied, encoded, or left out and named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

from ecg_api.options import EncoderName, Format, Preset, VideoCodec
from ecg_api.plan import AudioFacts, LightFacts, SourceFacts, Target, TrackFacts

# What x264 takes by itself on 2 cores; 4 took no less time there and up to 37 MB more, 8 took 3 percent more CPU time.
DEFAULT_THREADS = 3
MOST_THREADS = 16
# For NVENC, whose default is a fixed 250 frames and which sees no scene cuts. x264 sets key frames where scenes change;
# a fixed one every 2 seconds would cost 8 percent of the size and 5 of the time.
KEY_FRAME_SECONDS = 2

_PRESETS: tuple[Preset, ...] = (
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo",
)  # fmt: skip
_NVENC_PRESETS = dict(zip(_PRESETS, ("p1", "p1", "p2", "p3", "p4", "p4", "p5", "p6", "p7", "p7"), strict=True))
_VP9_SPEEDS = dict(zip(_PRESETS, (5, 5, 4, 4, 3, 2, 1, 1, 0, 0), strict=True))
_SVT_SPEEDS = dict(zip(_PRESETS, (12, 11, 10, 9, 8, 7, 6, 5, 4, 3), strict=True))
# CPU time of x264 in picoseconds for each pixel of the result, measured on one server core with ordinary footage.
_X264_COSTS = dict(
    zip(_PRESETS, (3_000, 8_000, 11_000, 19_000, 23_000, 26_000, 34_000, 66_000, 130_000, 330_000), strict=True)
)
# NVENC's cq scale needs about 3 more than x264's crf for the same size, the newer codecs' numbers mean more at the
# same value, and those of VP9 and AV1 run to 63 instead of 51.
_NVENC_OFFSET = 3
_HEVC_OFFSET = 4
_63_FACTOR = 1.35


@dataclass(frozen=True)
class Coding:
    """How pictures are compressed: a target, in numbers that encoders take.

    `crf` is on x264's scale, 0 to 51; `cell_frames` is after how many frames there has to be a key frame; `light` is
    what HDR10 says about its light.
    """

    preset: Preset
    crf: int
    rate: Fraction
    threads: int
    cell_frames: int
    light: LightFacts | None = None


Options = Mapping[str, str | int]


@dataclass(frozen=True)
class Codec:
    """One encoder.

    Attributes:
        name: what the status says.
        video: what players call it; None for VP9, which no option asks for by name.
        ffmpeg: FFmpeg's name.
        containers: in which its pictures are delivered.
        depths: bits of a component that it takes.
        full_range: it takes luma from 0 to 255, and says so in the file.
        hardware: it is a part of a GPU, which only a test encode can promise.
        setup: its options for a quality and speed.
        cost: CPU time, as a multiple of x264's; 0 for hardware, whose own time counts.
        tag: the name of the codec in MP4, where FFmpeg's own is not what players expect.
    """

    name: EncoderName
    video: VideoCodec | None
    ffmpeg: str
    containers: tuple[Format, ...]
    depths: tuple[int, ...]
    full_range: bool
    hardware: bool
    setup: Callable[[Coding], Options]
    cost: float
    tag: str = ""

    @property
    def title(self) -> str:
        """What the encoder is called in sentences."""
        return {"nvenc": "NVENC"}.get(self.name, self.name)


def _x264(coding: Coding) -> Options:
    return {"preset": coding.preset, "crf": coding.crf, "threads": coding.threads}


def _x265(coding: Coding) -> Options:
    # Its own log goes to the error stream, as if something were wrong. Closed groups: a cell stands alone. No info:
    # the number of threads would be in the header, which has to be the same in all cells.
    parameters = f"log-level=error:open-gop=0:info=0:pools={coding.threads}"
    if coding.light and coding.light.display:
        parameters += f":master-display={coding.light.display}"
    if coding.light and coding.light.content_nits:
        parameters += f":max-cll={coding.light.content_nits},{coding.light.average_nits or 0}"
    return {"preset": coding.preset, "crf": coding.crf + _HEVC_OFFSET, "forced-idr": 1, "x265-params": parameters}


def _svt_av1(coding: Coding) -> Options:
    crf = min(63, round(coding.crf * _63_FACTOR))
    return {
        "preset": _SVT_SPEEDS[coding.preset],
        "crf": crf,
        "g": coding.cell_frames,  # it sets key frames by the clock only, whatever is forced
    }


def _vp9(coding: Coding) -> Options:
    return {
        "crf": min(63, round(coding.crf * _63_FACTOR)),
        "b:v": 0,  # constant quality, not constrained quality
        "deadline": "good",
        "cpu-used": _VP9_SPEEDS[coding.preset],
        "row-mt": 1,
        "threads": coding.threads,
    }


def _nvenc(coding: Coding) -> Options:
    return {
        "preset": _NVENC_PRESETS[coding.preset],
        "tune": "hq",
        "rc": "vbr",
        "cq": coding.crf + _NVENC_OFFSET,
        "b:v": 0,  # else FFmpeg's default of 200 kbit/s caps what cq asks for
        "bf": 0,  # negative decoding times trip some players; B-frames gain little at constant quality
        "g": max(1, round(coding.rate * KEY_FRAME_SECONDS)),
        "strict_gop": 1,
        "forced-idr": 1,
        "spatial-aq": 1,
    }


def _h264_nvenc(coding: Coding) -> Options:
    return {"profile:v": "high", **_nvenc(coding)}


def _hevc_nvenc(coding: Coding) -> Options:
    return {**_nvenc(coding), "cq": coding.crf + _NVENC_OFFSET + _HEVC_OFFSET}


def _av1_nvenc(coding: Coding) -> Options:
    return {**_nvenc(coding), "cq": min(63, round((coding.crf + _NVENC_OFFSET) * _63_FACTOR))}


_MP4: tuple[Format, ...] = ("mp4", "mov")
CODECS: Mapping[EncoderName, Codec] = {
    codec.name: codec
    for codec in (
        Codec("x264", "h264", "libx264", _MP4, (8, 10), True, False, _x264, 1),
        Codec("nvenc", "h264", "h264_nvenc", _MP4, (8,), False, True, _h264_nvenc, 0),
        Codec("x265", "hevc", "libx265", _MP4, (8, 10), True, False, _x265, 3, tag="hvc1"),
        Codec("hevc-nvenc", "hevc", "hevc_nvenc", _MP4, (8, 10), False, True, _hevc_nvenc, 0, tag="hvc1"),
        Codec("svt-av1", "av1", "libsvtav1", ("mp4", "webm"), (8, 10), False, False, _svt_av1, 2),
        Codec("av1-nvenc", "av1", "av1_nvenc", ("mp4", "webm"), (8, 10), False, True, _av1_nvenc, 0),
        Codec("vp9", None, "libvpx-vp9", ("webm",), (8, 10), False, False, _vp9, 6),
    )
}


def encoder_threads(cores: int) -> int:
    """Return how many threads encode on a machine of `cores`.

    x264's bytes depend on the number: a retry gives the same cell on an equal machine only.
    """
    return max(DEFAULT_THREADS, min(cores, MOST_THREADS))


def constant_rate_factor(quality: int) -> int:
    """Return x264's crf for a quality of 10 to 100: 60 is 23."""
    return round(36.2 - 0.222 * quality)


def pixel_format(*, ten_bit: bool, full_range: bool = False, hardware: bool = False) -> str:
    """Return the pixel format that is encoded; with 8 bits, FFmpeg has one of its own for the full range."""
    if ten_bit:
        return "p010le" if hardware else "yuv420p10le"
    return "yuvj420p" if full_range else "yuv420p"


def encoder_options(target: Target, *, threads: int, cell_frames: int) -> dict[str, str | int]:
    """Return FFmpeg's output options, by name, that choose and set up the encoder of `target`."""
    codec = CODECS[target.encoder]
    colour, crf = target.colour, constant_rate_factor(target.quality)
    coding = Coding(target.preset, crf, target.exact_rate, threads, cell_frames, colour.light)
    pixels = pixel_format(ten_bit=colour.bit_depth > 8, full_range=colour.full_range, hardware=codec.hardware)
    tag = {"tag:v": codec.tag} if codec.tag else {}
    return {"pix_fmt": pixels, "c:v": codec.ffmpeg, **codec.setup(coding), **tag}


def x264_cost(preset: Preset) -> int:
    """Return x264's CPU time in picoseconds for each pixel."""
    return _X264_COSTS[preset]


# --- sound and subtitles --------------------------------------------------------------------------


_PCM = ("u8", "s8", "s16le", "s16be", "s24le", "s24be", "s32le", "s32be", "f32le", "f32be", "f64le", "f64be")
_BOTH = {"aac", "mp3", "mp2", "ac3", "eac3", "dts", "alac"}
# What the container is registered to hold, which is less than what FFmpeg would write.
_COPIED: dict[Format, frozenset[str]] = {
    "mp4": frozenset({*_BOTH, "opus", "flac"}),
    "mov": frozenset({*_BOTH, "amr_nb", "amr_wb", "pcm_alaw", "pcm_mulaw", *(f"pcm_{kind}" for kind in _PCM)}),
    "webm": frozenset({"opus", "vorbis"}),
}
# Encoder, name for people, kbit/s of one and of two channels; more channels get 64 each.
_SOUND_ENCODERS: dict[Format, tuple[str, str, tuple[int, int]]] = {
    "mp4": ("aac", "AAC", (96, 192)),
    "mov": ("aac", "AAC", (96, 192)),
    "webm": ("libopus", "Opus", (80, 160)),
}
_MANY_CHANNELS_KBITS = 64
# The most that both encoders have a layout for.
_MOST_CHANNELS = 8
# Opus knows no other layouts of so many.
_OPUS_LAYOUTS = {3: "3.0", 4: "quad"}
_KEEPING_TIME = "aresample=async=1:min_hard_comp=0.02"
_TEXTS = frozenset({"subrip", "ass", "ssa", "mov_text", "webvtt", "text"})
_SUBTITLES: dict[Format, str] = {"mp4": "mov_text", "mov": "mov_text", "webm": "webvtt"}

COPIED: Options = {"c": "copy"}


@dataclass(frozen=True)
class Track:
    """A track of the source that the result has too: `a` for sound, `s` for subtitles, and its output options."""

    kind: Literal["a", "s"]
    facts: TrackFacts
    coding: Options


def is_copied_somewhere(codec: str) -> bool:
    """Tell whether some container gets sound of this codec as it is; every FFmpeg decodes those."""
    return any(codec in codecs for codecs in _COPIED.values())


def kept_tracks(source: SourceFacts, format: Format) -> list[Track]:  # noqa: A002
    """Return the tracks that a result in a container gets from the source, in the order of the file."""
    sounds = [Track("a", facts, _sound_coding(facts, format)) for facts in source.audio]
    texts = [Track("s", facts, _text_coding(facts, format)) for facts in source.subtitles if facts.codec in _TEXTS]
    return sorted([*sounds, *texts], key=lambda track: track.facts.index)


def encoded(track: Track, format: Format) -> Track:  # noqa: A002
    """Return a track of sound that is encoded anew, though the container may hold it as it is; gaps stay gaps."""
    assert isinstance(track.facts, AudioFacts)
    coding = _encoding(track.facts, format)
    mixed = f",{coding['filter']}" if "filter" in coding else ""
    return replace(track, coding={**coding, "filter": _KEEPING_TIME + mixed})


def track_warnings(source: SourceFacts, format: Format) -> list[str]:  # noqa: A002
    """Return a sentence for each kind of sound that is not copied bit for bit, and for all that is left out."""
    warnings = []
    unreadable = ", ".join(map(str, source.unreadable_audio))
    if unreadable:
        warnings.append(f"FFmpeg cannot decode the source's sound in stream {unreadable}; it is left out.")
    name = _SOUND_ENCODERS[format][1]
    for facts in source.audio:
        coding = _sound_coding(facts, format)
        if coding is not COPIED:
            fewer = f", its first {_MOST_CHANNELS} channels" if facts.channels > _MOST_CHANNELS else ""
            warnings.append(
                f"The sound of {_described(facts)} cannot be kept in {format} as it is; it is encoded to {name} "
                f"with {str(coding['b']).removesuffix('k')} kbit/s{fewer}."
            )
    pictures = _listed(facts for facts in source.subtitles if facts.codec not in _TEXTS)
    if pictures:
        warnings.append(f"Subtitles that are no text cannot be kept in {format}; left out: {pictures}.")
    return list(dict.fromkeys(warnings))


def _listed(tracks: Iterable[TrackFacts]) -> str:
    return ", ".join(map(_described, tracks))


def _described(facts: TrackFacts) -> str:
    """Return `stream 2 (pcm_s16le, eng, "Commentary")`."""
    title = f'"{facts.title}"' if facts.title else None
    return f"stream {facts.index} ({', '.join(filter(None, (facts.codec, facts.language, title)))})"


def _sound_coding(facts: AudioFacts, format: Format) -> Options:  # noqa: A002
    return COPIED if facts.codec in _COPIED[format] else _encoding(facts, format)


def _encoding(facts: AudioFacts, format: Format) -> Options:  # noqa: A002
    encoder, _, (one, two) = _SOUND_ENCODERS[format]
    channels = min(facts.channels, _MOST_CHANNELS)
    kbits = one if channels == 1 else max(two, channels * _MANY_CHANNELS_KBITS)
    return {"c": encoder, "b": f"{kbits}k", **_layout(facts.channels, encoder)}


def _layout(channels: int, encoder: str) -> Options:
    if channels > _MOST_CHANNELS:  # mostly single microphones: nothing says how to mix them
        return {"filter": "pan=7.1|" + "|".join(f"c{number}=c{number}" for number in range(_MOST_CHANNELS))}
    if encoder == "libopus" and channels in _OPUS_LAYOUTS:
        return {"filter": f"aformat=channel_layouts={_OPUS_LAYOUTS[channels]}"}
    # The channel count makes FFmpeg name the layout anew; encoders refuse some that say the same otherwise.
    return {"ac": channels}


def _text_coding(facts: TrackFacts, format: Format) -> Options:  # noqa: A002
    codec = _SUBTITLES[format]
    return COPIED if facts.codec == codec else {"c": codec}
