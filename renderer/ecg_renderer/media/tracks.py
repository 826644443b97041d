"""What becomes of the source's sound and subtitles in which container: copied, encoded, or left out and named. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from ecg_api.options import Format
from ecg_api.plan import AudioFacts, SourceFacts, TrackFacts

_PCM = ("u8", "s8", "s16le", "s16be", "s24le", "s24be", "s32le", "s32be", "f32le", "f32be", "f64le", "f64be")
_BOTH = {"aac", "mp3", "mp2", "ac3", "eac3", "dts", "alac"}
# What the container is registered to hold, which is less than what FFmpeg would write.
_COPIED: dict[Format, frozenset[str]] = {
    "mp4": frozenset({*_BOTH, "opus", "flac"}),
    "mov": frozenset({*_BOTH, "amr_nb", "amr_wb", "pcm_alaw", "pcm_mulaw", *(f"pcm_{kind}" for kind in _PCM)}),
    "webm": frozenset({"opus", "vorbis"}),
}
# Encoder, name for people, kbit/s of one and of two channels; more channels get 64 each.
_ENCODERS: dict[Format, tuple[str, str, tuple[int, int]]] = {
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

Coding = Mapping[str, str | int]
COPIED: Coding = {"c": "copy"}


@dataclass(frozen=True)
class Track:
    """A track of the source that the result has too: `a` for sound, `s` for subtitles, and its output options."""

    kind: Literal["a", "s"]
    facts: TrackFacts
    coding: Coding


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
    name = _ENCODERS[format][1]
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


def _sound_coding(facts: AudioFacts, format: Format) -> Coding:  # noqa: A002
    return COPIED if facts.codec in _COPIED[format] else _encoding(facts, format)


def _encoding(facts: AudioFacts, format: Format) -> Coding:  # noqa: A002
    encoder, _, (one, two) = _ENCODERS[format]
    channels = min(facts.channels, _MOST_CHANNELS)
    kbits = one if channels == 1 else max(two, channels * _MANY_CHANNELS_KBITS)
    return {"c": encoder, "b": f"{kbits}k", **_layout(facts.channels, encoder)}


def _layout(channels: int, encoder: str) -> Coding:
    if channels > _MOST_CHANNELS:  # mostly single microphones: nothing says how to mix them
        return {"filter": "pan=7.1|" + "|".join(f"c{number}=c{number}" for number in range(_MOST_CHANNELS))}
    if encoder == "libopus" and channels in _OPUS_LAYOUTS:
        return {"filter": f"aformat=channel_layouts={_OPUS_LAYOUTS[channels]}"}
    # The channel count makes FFmpeg name the layout anew; encoders refuse some that say the same otherwise.
    return {"ac": channels}


def _text_coding(facts: TrackFacts, format: Format) -> Coding:  # noqa: A002
    codec = _SUBTITLES[format]
    return COPIED if facts.codec == codec else {"c": codec}
