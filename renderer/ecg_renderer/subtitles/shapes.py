"""Transcripts of Google, Deepgram, Transformers, AssemblyAI and Clova, in the words of Whisper's."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

# In seconds, no word or line lasts as long.
LONGEST_ON_AVERAGE = 60


def as_words(data: Any) -> dict[str, Any] | None:
    """Return what Google, Deepgram and Transformers write as words of their own, as words; None for anything else."""
    if not isinstance(data, dict):
        return None
    if isinstance(data.get("chunks"), list):
        return {"words": [_chunk(chunk) for chunk in data["chunks"]]}
    response = data.get("response")
    results = (response if isinstance(response, dict) else data).get("results")
    if isinstance(results, dict) and isinstance(results.get("channels"), list):
        results = results["channels"][:1]
    if not isinstance(results, list):
        return None
    firsts = [_listed(result.get("alternatives"))[:1] for result in results if isinstance(result, dict)]
    words = [
        word for [first] in filter(None, firsts) if isinstance(first, dict) for word in _listed(first.get("words"))
    ]
    return {"words": [_word_of(word) for word in words]} if words else None


def _chunk(chunk: Any) -> Any:
    stamps = chunk.get("timestamp") if isinstance(chunk, dict) else None
    start, end = stamps if isinstance(stamps, list) and len(stamps) == 2 else (None, None)
    return {"word": chunk.get("text"), "start": start, "end": end} if isinstance(chunk, dict) else chunk


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
        with suppress(TypeError, ValueError):
            return float(said.get("seconds") or 0) + float(said.get("nanos") or 0) / 1e9
    return said.removesuffix("s") if isinstance(said, str) else said


def in_seconds(data: Any) -> Any:
    """Return words and segments with times in seconds, where they are in milliseconds: whole numbers, too far apart."""
    if not isinstance(data, dict):
        return data
    return {key: _divided(value) if key in ("words", "segments") else value for key, value in data.items()}


def _divided(items: Any) -> Any:
    timed = [item for item in _listed(items) if isinstance(item, dict) and {"start", "end"} <= item.keys()]
    bounds = [(item["start"], item["end"]) for item in timed]
    whole = bool(bounds) and all(type(bound) is int for pair in bounds for bound in pair)
    if not whole or sum(end - start for start, end in bounds) < LONGEST_ON_AVERAGE * len(bounds):
        return items
    return [_item_in_seconds(item) if isinstance(item, dict) else item for item in items]


def _item_in_seconds(item: dict[str, Any]) -> dict[str, Any]:
    """Return a word or segment in milliseconds in seconds; its words may be lists of start, end and text."""
    inner = [
        {"word": word[2], "start": word[0], "end": word[1]} if isinstance(word, list) and len(word) == 3 else word
        for word in _listed(item.get("words"))
    ]
    times = {key: value / 1000 for key, value in item.items() if key in ("start", "end") and type(value) is int}
    words = [_item_in_seconds(word) if isinstance(word, dict) else word for word in inner]
    return {**item, **times, **({"words": words} if words else {})}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
