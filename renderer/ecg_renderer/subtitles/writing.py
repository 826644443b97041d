"""What is said becomes a file of subtitles: SubRip, WebVTT, Advanced SubStation Alpha with times of words."""

from __future__ import annotations

import html
from collections.abc import Sequence

import pysubs2

from ecg_api.renditions import RenditionFormat
from ecg_renderer.scenario import Picture, Scenario
from ecg_renderer.scenario.model import PICTURE
from ecg_renderer.subtitles.spoken import Spoken, SpokenWord, spoken_of, wrapped

_UNSPOKEN = pysubs2.Color(255, 255, 255)
_SHARE_OF_HEIGHT = 0.055
_MARGIN = 0.05
_ALIGNMENTS = {"top": 8, "middle": 5, "bottom": 2}


def written_subtitles(scenario: Scenario, written: RenditionFormat, picture: Picture = PICTURE) -> str:
    """Return the text of a file of `written` with what a prepared scenario says; `picture` is what sizes are for."""
    cues = spoken_of(scenario)
    if written == "srt":
        return _srt(cues)
    return _vtt(cues) if written == "vtt" else _ass(cues, picture)


def _srt(cues: Sequence[Spoken]) -> str:
    blocks = (
        f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n{_srt_text(cue)}\n"
        for number, cue in enumerate(cues, 1)
    )
    return "\n".join(blocks)


def _srt_text(cue: Spoken) -> str:
    return "\n".join(line.replace("-->", "→") for line in wrapped(cue.text_lines))


def _vtt(cues: Sequence[Spoken]) -> str:
    blocks = ["WEBVTT\n"]
    for number, cue in enumerate(cues, 1):
        place = {"top": " line:5%", "middle": " line:50%,center", "bottom": ""}[cue.place]
        text = "\n".join(html.escape(line, quote=False) for line in wrapped(cue.text_lines))
        voice = html.escape(" ".join(cue.speaker.split()), quote=False)
        spoken = f"<v {voice}>{text}</v>" if voice else text
        blocks.append(f"{number}\n{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}{place}\n{spoken}\n")
    return "\n".join(blocks)


def _clock(seconds: float, point: str) -> str:
    milliseconds = max(0, round(seconds * 1000))
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{point}{rest % 1000:03}"


def _ass(cues: Sequence[Spoken], picture: Picture) -> str:
    file = pysubs2.SSAFile()
    file.info.update(
        {
            "PlayResX": str(picture.width),
            "PlayResY": str(picture.height),
            "WrapStyle": "0",
            "ScaledBorderAndShadow": "yes",
        }
    )
    usual = pysubs2.SSAStyle(
        fontname="Arial",
        fontsize=round(picture.height * _SHARE_OF_HEIGHT),
        primarycolor=_UNSPOKEN,
        secondarycolor=_UNSPOKEN,
        outlinecolor=pysubs2.Color(0, 0, 0),
        backcolor=pysubs2.Color(0, 0, 0, 128),
        bold=True,
        outline=max(1.0, picture.height / 400),
        shadow=0,
        marginl=round(picture.width * _MARGIN),
        marginr=round(picture.width * _MARGIN),
        marginv=round(picture.height * _MARGIN),
    )
    file.styles["Default"] = usual
    for cue in cues:
        event = pysubs2.SSAEvent(
            start=max(0, round(cue.start * 100)) * 10, end=max(0, round(cue.end * 100)) * 10, text=_karaoke(cue)
        )
        event.name = " ".join(cue.speaker.replace(",", " ").split())
        file.events.append(event)
    return file.to_string("ass")


def _karaoke(cue: Spoken) -> str:
    """Return the text of an event, in which tags `k` count hundredths from its start on, without gaps."""
    place = f"{{\\an{_ALIGNMENTS[cue.place]}}}" if cue.place != "bottom" else ""
    timed = any(word.start is not None for line in cue.lines for word in line)
    if not timed:
        colour = f"{{\\c{_ass_colour(cue.colour)}}}" if cue.colour else ""
        return place + colour + "\\N".join(map(_escaped, wrapped(cue.text_lines)))
    now, lines = cue.start, []
    for line in cue.lines:
        pieces = []
        for word in line:
            tags, now = _word_tags(word, now)
            pieces.append(f"{{{tags}}}{_escaped(word.text)}" if tags else _escaped(word.text))
        lines.append("".join(pieces).strip())
    return place + "\\N".join(lines)


def _word_tags(word: SpokenWord, now: float) -> tuple[str, float]:
    """Return a word's tags, and the time up to which the event is counted after it."""
    if word.start is None or word.end is None:
        return "", now
    wait = max(0, _hundredths(word.start) - _hundredths(now))
    end = max(word.end, now, word.start)
    length = _hundredths(end) - max(_hundredths(word.start), _hundredths(now))
    colour = f"\\c{_ass_colour(word.colour)}" if word.colour else ""
    pause = f"\\k{wait}" if wait else ""
    return f"{pause}{colour}\\k{max(0, length)}", end


def _hundredths(seconds: float) -> int:
    return round(seconds * 100)


def _ass_colour(colour: str) -> str:
    return f"&H{colour[5:7]}{colour[3:5]}{colour[1:3]}&".upper()


def _escaped(text: str) -> str:
    """Return text in which nothing is a tag: ASS has no escape for braces, so others that look alike stand in."""
    return text.replace("\\", "\u29f5").replace("{", "\uff5b").replace("}", "\uff5d").replace("\n", "\\N")
