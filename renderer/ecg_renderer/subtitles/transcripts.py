"""Transcripts in JSON, as speech recognition writes them; each shape is known by the fields that only it has.

Whisper, WhisperX    {"segments": [{"start", "end", "text", "speaker"?, "words"?: [{"word", "start"?, "end"?}]}]}
OpenAI's API         {"text", "words": [{"word", "start", "end"}]}
whisper.cpp          {"transcription": [{"offsets": {"from", "to"}, "text", "tokens"?: [...]}]}, milliseconds; tokens
                     may end within a letter, which is no UTF-8 then
Amazon Transcribe    {"results": {"items": [{"type", "start_time", "end_time", "alternatives"}]}}, times as text
Google               {"results": [{"alternatives": [{"words": [{"word", "startTime": "1.5s", "endTime"}]}]}]}
Deepgram             {"results": {"channels": [{"alternatives": [{"words": [{"punctuated_word", "start", "end"}]}]}]}}
AssemblyAI           {"words": [{"text", "start", "end", "speaker"?}]}, milliseconds
Clova                {"segments": [{"start", "end", "text", "words": [[start, end, text]], "speaker"?}]}, milliseconds
Transformers         {"chunks": [{"text", "timestamp": [start, end]}]}
YouTube's json3      {"events": [{"tStartMs", "dDurationMs", "segs": [{"utf8", "tOffsetMs"?}]}]}, milliseconds
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from ecg_renderer.scenario import Report
from ecg_renderer.subtitles.captions import Caption, Word, in_lines, in_order, shared_out
from ecg_renderer.subtitles.decoding import nothing_left
from ecg_renderer.subtitles.shapes import (
    BROKEN,
    as_whisper,
    in_bytes,
    in_letters,
    in_seconds,
    listed,
    loaded,
    missing_bytes,
    named,
    shape_of,
    text_of,
)  # fmt: skip

# Words that nobody has put into captions: a new one begins after a pause, a sentence, another speaker, or so many.
PAUSE_SECONDS = 0.7
MOST_LETTERS = 84
# How long the last word lasts that nobody says the end of.
LAST_SECONDS = 1.0
LONGEST_SECONDS = 1e7
_SENTENCE = re.compile(r"[.!?\u3002\uff1f\uff01\u2026][\"'\u201d\u2019)\]]*$")
_STAMP = re.compile(r"(\d{1,4}):(\d\d):(\d\d)[,.](\d{3})")
_SPECIAL = re.compile(r"^\[_.*\]$|^<\|.*\|>$")
# Scripts that are written without spaces: what a recogniser calls a word follows the one before directly.
_WRITTEN_TOGETHER = re.compile(r"^[\u2e80-\u312f\u31a0-\u9fff\uf900-\ufaff\uff00-\uff60\u0e00-\u0eff]")


@dataclass(frozen=True)
class _Heard:
    """A word with what is known of it: times in seconds may be missing."""

    text: str
    start: float | None
    end: float | None
    speaker: str = ""
    joined: bool = False


def read_transcript(raw: bytes | dict[str, Any], report: Report) -> list[Caption]:
    """Return the captions of a transcript; `report` is told what was put right.

    Errors: ScenarioError, with the path, for one that is not built as its shape is, and for one without words.
    """
    data = loaded(raw)
    shape = shape_of(data)
    data = in_seconds(as_whisper(data) or data)
    readers = {
        "segments": _segments,
        "transcription": _transcription,
        "items": _items,
        "words": _words,
    }
    if shape not in readers:
        raise report.error("", "is no transcript that is known", "Whisper's JSON is, for example.")
    captions = [caption for caption in readers[shape](data, report) if caption.words]
    if not captions:
        raise nothing_left("words", report)
    return in_order(captions, report)


def _segments(data: Any, report: Report) -> Iterator[Caption]:
    before = 0.0
    for index, segment in enumerate(data if isinstance(data, list) else data["segments"]):
        path = f"segments[{index}]"
        fields = _object(segment, path, report)
        start, end = _times(fields, path, report)
        said = enumerate(listed(fields.get("words")))
        heard = [_heard(word, f"{path}.words[{place}]", report) for place, word in said]
        speaker = named(fields.get("speaker")) or next((word.speaker for word in heard if word.speaker), "")
        text = text_of(fields.get("text"))
        if start is None and end is not None and not any(word.start is not None for word in heard):
            start = min(before, end)
        before = before if end is None else end
        if text.strip() or heard:
            yield from _caption(heard, text, start, end, speaker, path, report)


def _heard(word: Any, path: str, report: Report) -> _Heard:
    fields = _object(word, path, report)
    said = text_of(fields.get("word", fields.get("text")))
    return _Heard(said, *_times(fields, path, report), named(fields.get("speaker", fields.get("speaker_id"))))


def _caption(
    heard: list[_Heard], text: str, start: float | None, end: float | None, speaker: str, path: str, report: Report
) -> Iterator[Caption]:
    words = _joined(heard)
    starts = [word.start for word in words if word.start is not None]
    ends = [word.end for word in words if word.end is not None]
    begin = start if start is not None else min(starts, default=None)
    finish = end if end is not None else max(ends, default=None)
    begin = finish if begin is None else begin
    finish = begin if finish is None else finish
    if begin is None or finish is None:
        hint = "Write start and end in seconds."
        report.warn("times of a caption", path, "has no time, and was left out with its words", hint=hint)
        return
    if not words:
        said, lines = in_lines(text.split("\n"), begin, finish)
        yield Caption(said, begin, finish, speaker, line_starts=lines)
        return
    _tell_untimed(words, path, report)
    timed = _timed(words, begin, max(begin, finish))
    for first, last in _runs(words):
        part = timed[first:last]
        yield Caption(
            tuple(part),
            begin if first == 0 else part[0].start,
            finish if last == len(timed) else part[-1].end,
            words[first].speaker or speaker,
        )


def _tell_untimed(words: list[_Heard], path: str, report: Report) -> None:
    """Tell of words without a time, as words have one in this transcript."""
    untimed = [word.text for word in words if word.start is None]
    if untimed:
        said = f"{len(untimed)} of {len(words)} words have no time, and share the gaps that they stand in"
        report.warn("word time", path, f"{said}: {', '.join(untimed[:3])}")


def _runs(words: list[_Heard]) -> list[tuple[int, int]]:
    """Return where runs of words by one speaker begin and end."""
    speakers = _speakers(words)
    changes = [index for index in range(1, len(words)) if "" != speakers[index - 1] != speakers[index]]
    return list(zip([0, *changes], [*changes, len(words)], strict=True))


def _speakers(words: list[_Heard]) -> list[str]:
    """Return who says each word; one that nobody is named for goes on as before."""
    speakers: list[str] = []
    for word in words:
        speakers.append(word.speaker or (speakers[-1] if speakers else ""))
    return speakers


def _joined(heard: Iterable[_Heard]) -> list[_Heard]:
    """Return the words without what is none, told to follow directly where they are written so."""
    words: list[_Heard] = []
    heard = [word for word in heard if word.text.strip() and not _SPECIAL.match(word.text.strip())]
    spaced = any(word.text[:1].isspace() for word in heard)
    for word in heard:
        text = word.text.strip()
        together = not word.text[:1].isspace() if spaced else _WRITTEN_TOGETHER.match(text) is not None
        words.append(replace(word, text=text, joined=bool(words) and (together or word.joined)))
    return words


def _timed(words: list[_Heard], begin: float, finish: float) -> list[Word]:
    """Give every word both times, those that have none from the gap they stand in, by length."""
    starts = [word.start for word in words]
    timed: list[Word] = []
    index = 0
    while index < len(words):
        start = starts[index]
        if start is None:
            last = next((n for n in range(index, len(words)) if starts[n] is not None), len(words))
            left = timed[-1].end if timed else begin
            right = starts[last] if last < len(words) else finish
            gap = words[index:last]
            share = shared_out([word.text for word in gap], left, max(left, right or left), [w.joined for w in gap])
            timed += share
            index = last
            continue
        later = (starts[place] for place in range(index + 1, len(starts)))  # no slice, which is quadratic
        following = next((begins for begins in later if begins is not None), finish)
        end = words[index].end
        if end is None or end < start:
            end = max(start, min(following, start + 1.0))
        timed.append(Word(words[index].text, start, end, words[index].joined))
        index += 1
    return timed


def _transcription(data: Any, report: Report) -> Iterator[Caption]:
    given: list[_Heard] = []
    spoken: list[list[_Heard]] = []
    for index, entry in enumerate(data["transcription"]):
        path = f"transcription[{index}]"
        fields = _object(entry, path, report)
        start, end = _offsets(fields, path, report)
        given.append(_Heard(in_bytes(fields.get("text")), start, end, named(fields.get("speaker"))))
        tokens = enumerate(listed(fields.get("tokens")))
        spoken.append([_token(token, f"{path}.tokens[{place}]", report) for place, token in tokens])
    whole = iter(_whole_letters(token for tokens in spoken for token in tokens))
    parts = [list(islice(whole, len(tokens))) for tokens in spoken]
    entries = [
        (_words_of(parts[index], entry.text, path := f"transcription[{index}]", report), entry, path)
        for index, entry in enumerate(_whole_letters(given))
        if entry.text
    ]
    if entries and all(len(entry.text.split()) <= 1 for _, entry, _ in entries):  # one word each, as -ml 1 asks for
        yield from _grouped(_joined(entry for _, entry, _ in entries))
        return
    for words, entry, path in entries:
        yield from _caption(words, entry.text, entry.start, entry.end, entry.speaker, path, report)


def _words_of(tokens: list[_Heard], text: str, path: str, report: Report) -> list[_Heard]:
    """Return the words of tokens; where letters in them are broken those of the text, with their times if there are."""
    words = _whole_words(tokens)
    said = text.split()
    if BROKEN in text or not any(BROKEN in word.text for word in words):
        return words
    if len(said) == len(words):
        return [replace(word, text=f" {whole}") for word, whole in zip(words, said, strict=True)]
    report.warn("word time", path, "has letters that are broken in its tokens, so its words share its time")
    return []


def _whole_letters(parts: Iterable[_Heard]) -> list[_Heard]:
    """Return as many parts of words; a letter whose bytes stand in several stands in the one that it begins in."""
    whole: list[_Heard] = []
    last = 0
    for part in parts:
        if part.text and not _SPECIAL.match(part.text.strip()):
            if missing := missing_bytes(whole[last].text, part.text) if whole else "":
                whole[last] = replace(whole[last], text=whole[last].text + missing)
                part = replace(part, text=part.text.removeprefix(missing))
            if part.text:
                last = len(whole)
            else:
                whole[last] = replace(whole[last], end=part.end)
        whole.append(part)
    return [replace(part, text=in_letters(part.text)) for part in whole]


def _token(token: Any, path: str, report: Report) -> _Heard:
    fields = _object(token, path, report)
    start, end = _offsets(fields, path, report)
    return _Heard(in_bytes(fields.get("text")), start, end)


def _offsets(fields: dict[str, Any], path: str, report: Report) -> tuple[float | None, float | None]:
    offsets = fields.get("offsets")
    bounds = offsets if isinstance(offsets, dict) else _written_offsets(fields.get("timestamps"))
    start, end = _times(bounds, f"{path}.offsets", report, "from", "to")
    return None if start is None else start / 1000, None if end is None else end / 1000


def _written_offsets(stamps: Any) -> dict[str, float]:
    """Return milliseconds of times that are written out, as in 00:01:02,500."""
    matches = {key: _STAMP.fullmatch(text_of(said)) for key, said in stamps.items()} if isinstance(stamps, dict) else {}
    return {
        key: (int(match[1]) * 3600 + int(match[2]) * 60 + int(match[3])) * 1000 + int(match[4])
        for key, match in matches.items()
        if match
    }


def _whole_words(tokens: Iterable[_Heard]) -> list[_Heard]:
    """Put tokens together: a word begins with the space before it."""
    words: list[_Heard] = []
    for token in tokens:
        if _SPECIAL.match(token.text.strip()) or not token.text:
            continue
        if words and not token.text[:1].isspace() and not _WRITTEN_TOGETHER.match(token.text):
            words[-1] = replace(words[-1], text=words[-1].text + token.text, end=token.end)
        else:
            words.append(token)
    return words


def _items(data: Any, report: Report) -> Iterator[Caption]:
    results = data["results"]
    by_start = {
        str(item.get("start_time")): str(item.get("speaker_label", ""))
        for segment in listed(
            _object(results.get("speaker_labels") or {}, "results.speaker_labels", report).get("segments")
        )
        if isinstance(segment, dict)
        for item in listed(segment.get("items"))
        if isinstance(item, dict)
    }
    heard: list[_Heard] = []
    for index, item in enumerate(results["items"]):
        path = f"results.items[{index}]"
        fields = _object(item, path, report)
        choices = listed(fields.get("alternatives"))
        text = text_of(choices[0].get("content")) if choices and isinstance(choices[0], dict) else ""
        if fields.get("type") == "punctuation":
            if heard:
                heard[-1] = replace(heard[-1], text=heard[-1].text + text)
            continue
        speaker = str(
            fields.get("speaker_label")
            or by_start.get(str(fields.get("start_time")), "")
            or fields.get("channel_label", "")
        )
        heard.append(_Heard(text, *_times(fields, path, report, "start_time", "end_time"), speaker))
    yield from _grouped(_joined(heard))


def _words(data: Any, report: Report) -> Iterator[Caption]:
    heard = [_heard(word, f"words[{index}]", report) for index, word in enumerate(data["words"])]
    yield from _grouped(_joined(heard))


def _grouped(words: list[_Heard]) -> Iterator[Caption]:
    """Yield captions of words that nobody has put into any."""
    known = [bound for word in words for bound in (word.start, word.end) if bound is not None]
    if not known:  # there is no time to show anything at
        return
    start, end = words[-1].start, words[-1].end
    until = start + LAST_SECONDS if start is not None and end is None else 0.0
    timed = _timed(words, min(known), max(*known, until))
    speakers = _speakers(words)
    first, letters = 0, 0
    for index, word in enumerate(timed):
        letters += len(word.text) + (not word.joined)
        last = index + 1 == len(timed)
        following = timed[index + 1] if not last else word
        ended = _SENTENCE.search(word.text) is not None or following.start - word.end > PAUSE_SECONDS
        other = not last and speakers[index + 1] != speakers[index]
        full = not last and letters + len(following.text) > MOST_LETTERS
        if last or ended or other or full:
            part = timed[first : index + 1]
            yield Caption(tuple(part), part[0].start, max(word.end for word in part), speakers[first])
            first, letters = index + 1, 0


def _object(value: Any, path: str, report: Report) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise report.error(path, f"must be an object, not {str(value)[:40]!r}", "Transcribe it again.")


def _times(
    fields: dict[str, Any], path: str, report: Report, start: str = "start", end: str = "end"
) -> tuple[float | None, float | None]:
    return _time(fields.get(start), f"{path}.{start}", report), _time(fields.get(end), f"{path}.{end}", report)


def _time(value: Any, path: str, report: Report) -> float | None:
    """Return seconds, or what else they count; None where there is none, or `report` is told that it is no number."""
    if value is None or value == "":
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    if isinstance(value, bool) or not abs(seconds) < LONGEST_SECONDS:
        done = f"{str(value)[:40]!r} is no time, and was taken as if there was none"
        report.warn("time that is none", path, done, hint="Times are numbers.")
        return None
    return seconds
