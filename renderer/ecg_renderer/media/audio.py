"""Which sound can stay as it is in which container. Pure."""

from __future__ import annotations

from ecg_api.options import Format
from ecg_api.plan import AudioFacts

_PCM = ("u8", "s8", "s16le", "s16be", "s24le", "s24be", "s32le", "s32be", "f32le", "f32be", "f64le", "f64be")
# What players expect in the container, which is less than what FFmpeg would write.
_COPIED: dict[Format, frozenset[str]] = {
    "mp4": frozenset({"aac", "mp3", "mp2", "ac3", "eac3", "alac", "opus"}),
    "mov": frozenset({"aac", "mp3", "ac3", "eac3", "alac", "pcm_alaw", "pcm_mulaw", *(f"pcm_{kind}" for kind in _PCM)}),
    "webm": frozenset({"opus", "vorbis"}),
}
_ENCODERS: dict[Format, tuple[str, str, str]] = {
    "mp4": ("aac", "AAC", "192k"),
    "mov": ("aac", "AAC", "192k"),
    "webm": ("libopus", "Opus", "160k"),
}


def audio_options(stream: AudioFacts, format: Format) -> tuple[dict[str, str | int], str]:  # noqa: A002
    """Return the output options for one audio stream, and a warning unless its packets stay as they are."""
    if stream.codec in _COPIED[format]:
        return {"c": "copy"}, ""
    encoder, name, bits = _ENCODERS[format]
    # The channel count makes FFmpeg name the layout anew; encoders refuse some that say the same otherwise.
    options: dict[str, str | int] = {"c": encoder, "b": bits, "ac": max(1, stream.channels)}
    return options, f"The sound ({stream.codec}) cannot be kept in {format} as it is; it is encoded to {name}."
