"""Which JSON is a transcript, and the shapes of others as Whisper would write them.

The others are Google, Deepgram, Transformers, YouTube, AssemblyAI and Clova.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from ecg_renderer.scenario.load import is_crowded

# In seconds no word, and no segment, lasts as long on average; in milliseconds each lasts longer.
LONGEST_ON_AVERAGE = {"words": 60, "segments": 500}
# Words are shorter on average, also of languages that write them together.
LETTERS_OF_A_SENTENCE = 10
SURROGATE = re.compile("[\ud800-\udfff]")
BROKEN = "\ufffd"
# The first bytes of a letter in UTF-8, and one that follows, a surrogate each; a surrogate that is none.
_CUT = re.compile("(?:[\udcc2-\udcdf]|[\udce0-\udcef][\udc80-\udcbf]?|[\udcf0-\udcf4][\udc80-\udcbf]{0,2})$")
_FOLLOWING = re.compile("[\udc80-\udcbf]")
_NO_BYTE = re.compile("[\ud800-\udc7f\udd00-\udfff]")


def is_transcript(raw: bytes | dict[str, Any]) -> bool:
    """Tell whether `raw` is a transcript in JSON in one of the known shapes."""
    return shape_of(loaded(raw)) != ""


def is_json(raw: bytes) -> bool:
    """Tell whether `raw` is JSON of an object or a list, within the limits of a scenario."""
    return raw.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[") and loaded(raw) is not None


def loaded(raw: bytes | dict[str, Any]) -> Any:
    """Return what `raw` holds in JSON; None for what is none, or is too much of it."""
    if isinstance(raw, dict):
        return raw
    if is_crowded(raw):
        return None
    encoding = json.detect_encoding(raw)
    try:
        text = raw.decode(encoding, "surrogateescape" if encoding.startswith("utf-8") else "strict")
        data = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if SURROGATE.search(text) and not (isinstance(data, dict) and "transcription" in data):
        return None
    words = (
        isinstance(data, list) and data and all(isinstance(one, dict) and {"word", "start"} <= {*one} for one in data)
    )
    return {"words": data} if words else data


def shape_of(data: Any) -> str:
    """Return which shape the transcript `data` has, by the field that only it has; nothing if it has none."""
    if isinstance(data, list) and data and all(isinstance(item, dict) and "text" in item for item in data):
        return "segments" if all("start" in item for item in data) else ""
    if not isinstance(data, dict) or "cues" in data:
        return ""
    if known := as_whisper(data):
        return next(iter(known))
    if isinstance(data.get("segments"), list):
        return "segments"
    if isinstance(data.get("transcription"), list):
        return "transcription"
    if isinstance(data.get("results"), dict) and isinstance(data["results"].get("items"), list):
        return "items"
    return "words" if isinstance(data.get("words"), list) else ""


def as_whisper(data: Any) -> dict[str, Any] | None:
    """Return the words, or the segments, of Google, Deepgram, Transformers and YouTube; None for anything else."""
    if not isinstance(data, dict):
        return None
    if isinstance(data.get("chunks"), list) and (data["chunks"] or not {"segments", "words"} & data.keys()):
        return _chunks(data["chunks"])
    if isinstance(data.get("events"), list) and any(isinstance(e, dict) and "segs" in e for e in data["events"]):
        return {"segments": list(_events(data["events"]))}
    response = data.get("response")
    results = (response if isinstance(response, dict) else data).get("results")
    if isinstance(results, dict) and isinstance(results.get("channels"), list):
        results = results["channels"][:1]
    if not isinstance(results, list):
        return None
    firsts = [listed(result.get("alternatives"))[:1] for result in results if isinstance(result, dict)]
    parts = [listed(first.get("words")) for [first] in filter(None, firsts) if isinstance(first, dict)]
    if len(parts) > 1 and _are_said_by(parts[-1]) and not any(map(_are_said_by, parts[:-1])):
        parts = parts[-1:]  # with diarization Google says all words again, with who says them
    words = [word for part in parts for word in part]
    return {"words": [_word_of(word) for word in words]} if words else None


def _are_said_by(words: list[Any]) -> bool:
    return any(isinstance(word, dict) and bool(word.get("speakerTag") or word.get("speakerLabel")) for word in words)


def _chunks(chunks: list[Any]) -> dict[str, Any]:
    """Return words, or segments where texts are sentences, as `return_timestamps=True` asks for."""
    texts = [str(chunk.get("text") or "").strip() for chunk in chunks if isinstance(chunk, dict)]
    long = sum(map(len, texts)) > LETTERS_OF_A_SENTENCE * len(texts)
    kind = "segments" if long or any(" " in text for text in texts) else "words"
    return {kind: [_chunk(chunk) for chunk in chunks]}


def _events(events: list[Any]) -> Iterator[dict[str, Any]]:
    """Yield segments of YouTube's events: words with when each begins, or the lines that somebody wrote.

    An event lasts until the next that says something.
    """
    spoken = [
        (event["tStartMs"], event.get("dDurationMs"), [seg for seg in event["segs"] if isinstance(seg, dict)])
        for event in events
        if isinstance(event, dict) and isinstance(event.get("segs"), list) and _is_count(event.get("tStartMs"))
    ]
    spoken = [one for one in spoken if "".join(map(_said, one[2])).strip()]
    for index, (start, length, segs) in enumerate(spoken):
        end = start + _count(length)
        if index + 1 < len(spoken) and spoken[index + 1][0] > start:
            end = min(end, spoken[index + 1][0])
        segment = {"start": start / 1000, "end": end / 1000, "text": "".join(map(_said, segs))}
        if any("tOffsetMs" in seg for seg in segs):
            segment["words"] = [word for seg in segs for word in _words_of(seg, start)]
        yield segment


def _words_of(seg: dict[str, Any], start: int) -> Iterator[dict[str, Any]]:
    text = _said(seg)
    for place, word in enumerate(text.split()):
        spaced = f" {word}" if place or text[:1].isspace() else word
        yield {"word": spaced, "start": (start + _count(seg.get("tOffsetMs"))) / 1000}


def _said(seg: dict[str, Any]) -> str:
    return seg["utf8"] if isinstance(seg.get("utf8"), str) else ""


def _is_count(value: Any) -> bool:
    return type(value) is int and abs(value) < 1e12


def _count(value: Any) -> int:
    return int(value) if _is_count(value) else 0


def _chunk(chunk: Any) -> Any:
    stamps = chunk.get("timestamp") if isinstance(chunk, dict) else None
    start, end = stamps if isinstance(stamps, list) and len(stamps) == 2 else (None, None)
    return {"text": chunk.get("text"), "start": start, "end": end} if isinstance(chunk, dict) else chunk


def _word_of(word: Any) -> Any:
    """Return a word of Google's or Deepgram's as Whisper would write it."""
    if not isinstance(word, dict):
        return word
    start = word.get("start", word.get("startTime", word.get("startOffset", 0)))
    end = word.get("end", word.get("endTime", word.get("endOffset")))
    named = [word[key] for key in ("speaker", "speakerTag", "speakerLabel") if word.get(key) not in (None, "")]
    said = word.get("punctuated_word", word.get("word"))
    return {"word": said, "start": _duration(start), "end": _duration(end), "speaker": str(named[0]) if named else ""}


def _duration(said: Any) -> Any:
    """Return seconds of "1.5s", and of {"seconds": "1", "nanos": 500000000}."""
    if isinstance(said, dict):
        with suppress(TypeError, ValueError, OverflowError):
            return float(said.get("seconds") or 0) + float(said.get("nanos") or 0) / 1e9
    return said.removesuffix("s") if isinstance(said, str) else said


def in_seconds(data: Any) -> Any:
    """Return words and segments with times in seconds, where they are in milliseconds: whole numbers, too far apart."""
    if not isinstance(data, dict):
        return data
    return data | {key: _divided(data[key], longest) for key, longest in LONGEST_ON_AVERAGE.items() if key in data}


def _divided(items: Any, longest: int) -> Any:
    timed = [item for item in listed(items) if isinstance(item, dict) and {"start", "end"} <= item.keys()]
    bounds = [(item["start"], item["end"]) for item in timed]
    whole = all(type(bound) is int for pair in bounds for bound in pair)
    lengths = [end - start for start, end in bounds if _is_count(start) and _is_count(end)]
    clovas = any(isinstance(word, list) for item in timed for word in listed(item.get("words")))
    if not (whole and lengths) or not (clovas or sum(lengths) >= longest * len(lengths)):
        return items
    return [_item_in_seconds(item) if isinstance(item, dict) else item for item in items]


def _item_in_seconds(item: dict[str, Any]) -> dict[str, Any]:
    """Return a word or segment in milliseconds in seconds; its words may be lists of start, end and text."""
    inner = [
        {"word": word[2], "start": word[0], "end": word[1]} if isinstance(word, list) and len(word) == 3 else word
        for word in listed(item.get("words"))
    ]
    times = {key: value / 1000 for key, value in item.items() if key in ("start", "end") and _is_count(value)}
    words = [_item_in_seconds(word) if isinstance(word, dict) else word for word in inner]
    return {**item, **times, **({"words": words} if words else {})}


def listed(value: Any) -> list[Any]:
    """Return a list as it is, and nothing for anything else."""
    return value if isinstance(value, list) else []


def text_of(value: Any) -> str:
    """Return what is said; nothing for what is no text, nor a number."""
    return SURROGATE.sub(BROKEN, in_bytes(value))


def in_bytes(value: Any) -> str:
    """Return what is said, with a surrogate for each byte that is no letter by itself."""
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def missing_bytes(before: str, text: str) -> str:
    """Return which bytes, a surrogate each, that `text` begins with belong to a letter that `before` ends within."""
    count = 0
    while _CUT.search((before[-3:] + text[:count])[-3:]) and _FOLLOWING.match(text, count):
        count += 1
    return text[:count]


def in_letters(text: str) -> str:
    """Return text whose bytes are surrogates in letters; what is none is U+FFFD."""
    return _NO_BYTE.sub(BROKEN, text).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def named(value: Any) -> str:
    """Return who speaks: a name, or an object with one."""
    if isinstance(value, dict):
        value = value.get("name") or value.get("label")
    return text_of(value).strip()
