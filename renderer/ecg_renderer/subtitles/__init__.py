"""Subtitles and transcripts, the files that people have, become a scenario.

    .srt .sbv .smi .vtt .ass   files             the last two by webvtt-py and pysubs2
    .ttml .lrc .sub            others
    .. in any encoding         decoding          what nobody marks is guessed, what cannot be read left out
    JSON                       shapes            is it a transcript? those of others, as Whisper has it
                               transcripts       what speech recognition writes
    captions -> pages          captions          two balanced lines at a time
    pages -> data              looks             plain, karaoke, pop, loud

And back: spoken, a scenario's text, what people cannot read in it, and files of subtitles.

Which of them a file is, its content says; its name only where the content could be either. What reads and writes them
is imported when it has something to do: most renders show scenarios.
"""

from __future__ import annotations

from typing import Any

from ecg_api.renderjob import Look
from ecg_renderer.scenario import Picture, Report
from ecg_renderer.subtitles.shapes import is_json, is_transcript

__all__ = ["as_scenario", "is_subtitles", "subtitle_scenario"]


def is_subtitles(raw: bytes | dict[str, Any]) -> bool:
    """Tell whether `raw` is a file of subtitles or a transcript, not a scenario."""
    if isinstance(raw, dict) or is_json(raw):
        return is_transcript(raw)
    from ecg_renderer.subtitles.files import format_of

    return format_of(raw) != ""


def subtitle_scenario(raw: bytes | dict[str, Any], report: Report, picture: Picture, look: Look) -> dict[str, Any]:
    """Return the scenario, version 2.0, that shows the subtitles `raw` on `picture`.

    `report` is told what was put right. Errors: ScenarioError for what cannot be read.
    """
    from ecg_renderer.subtitles.captions import frame_of, paginated
    from ecg_renderer.subtitles.looks import build, scale_of

    if isinstance(raw, dict) or is_json(raw):
        from ecg_renderer.subtitles.transcripts import read_transcript

        captions = read_transcript(raw, report)
    else:
        from ecg_renderer.subtitles.decoding import decoded
        from ecg_renderer.subtitles.files import format_of, read_file

        captions = read_file(decoded(raw, report), format_of(raw), report)
    frame = frame_of(picture, scale_of(look))
    return build(paginated(captions, frame, picture, report), frame, picture, look)


def as_scenario(raw: bytes | dict[str, Any], report: Report, picture: Picture, look: Look) -> bytes | dict[str, Any]:
    """Return a scenario as it is, and subtitles as the scenario that shows them."""
    return subtitle_scenario(raw, report, picture, look) if is_subtitles(raw) else raw
