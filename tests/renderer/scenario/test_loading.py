"""Bytes that are not a scenario: one clear paragraph, never a stack trace."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cpu_time import least_seconds
from ecg_renderer.errors import ScenarioError
from ecg_renderer.scenario import prepare


def refusal(raw: bytes | str | dict[str, Any]) -> ScenarioError:
    with pytest.raises(ScenarioError) as caught:
        prepare(raw, duration=10.0, known_plugins={}, origin="captions.json")
    assert caught.value.message.startswith("captions.json: ")
    assert len(caught.value.message) < 400
    return caught.value


def cues(count: int) -> list[dict[str, Any]]:
    return [{"text": "word", "start": 1, "end": 2} for _ in range(count)]


def cyclic() -> dict[str, Any]:
    data: dict[str, Any] = {"version": "2.0", "cues": []}
    data["self"] = [data, data]
    return data


@pytest.mark.parametrize(
    ("raw", "parts"),
    [
        (b"", ["is empty"]),
        (b" \n ", ["is empty"]),
        (b'{"cues": [\n  {"start": 1 "end": 2}\n]}', ["line 2, column 15", '`{"start": 1 "end": 2}`']),
        (b'{"cues": [1, 2,', ["line 1, column 16"]),
        (b"{'cues': []}", ["line 1, column 2", "`{'cues': []}`"]),
        (
            b"<html><body>404</body></html>",
            ["no subtitles or transcript that are known", "`<html><body>404</body></html>`"],
        ),
        (b"Scenarist_SCC V1.0\n\n00:00:01:00\t9420", ["that are known: it begins with `Scenarist_SCC V1.0`"]),
        (b"850STL25.01", ["it begins with `850STL25.01`"]),
        (b"\xff\xd8\xff\xe0 JFIF", ["is not UTF-8 text", "byte 0"]),
        (b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00", ["is not text"]),
        (b"[]", ["is a list", "object with a list of cues"]),
        (b'"text"', ["is text"]),
        (b"null", ["is null"]),
        (b"{}", ["cues", "is missing"]),
        (b'{"text": "a", "language": "en"}', ["cues: is missing; there is language, text"]),
        (b'{"cues": {}}', ["cues: must be a list"]),
        (b'{"cues": [], "stage": {"ratio": NaN}}', ["stage.ratio: is nan, not a finite number"]),
        (b'{"cues": [{"text": "a", "start": -Infinity, "end": 1}]}', ["cues[0].start: is -inf"]),
        (b'{"cues": [], "big": 1e999}', ["big: is inf"]),
        (b'{"cues": [], "big": ' + b"9" * 5000 + b"}", ["big: is inf"]),
        (b"[" * 100_000, ["nested deeper than 100 levels"]),
        (b'{"a":' * 100_000, ["nested deeper than 100 levels"]),
        (b'{"cues": [], "deep": ' + b"[" * 150 + b"]" * 150 + b"}", ["deep[0]", "nested deeper than 100"]),
        (cyclic(), ["nested deeper than 100 levels"]),
        ({"cues": [], "when": object()}, ["when: holds a Python object, which JSON does not have"]),
        ({"cues": [], "huge": 10**400}, ["huge: is too large"]),
        ({"cues": cues(10_001)}, ["10,001 cues", "limit of 10,000"]),
        (b'{"cues": [], "pad": "' + b"x" * (32 * 1024 * 1024) + b'"}', ["33,554,455 bytes", "limit of 33,554,432"]),
        ({"cues": [], "pad": "x" * (32 * 1024 * 1024)}, ["limit of 33,554,432 (32 MB)"]),
        ({"version": "3.1", "cues": []}, ['version: "3.1" cannot be rendered']),
        ({"version": [], "cues": []}, ["version"]),
    ],
    ids=lambda value: (
        None if isinstance(value, list) else str(value[:30] if isinstance(value, bytes) else [*value])[:30]
    ),
)
def test_what_is_no_scenario_is_refused_with_the_place(raw: Any, parts: list[str]) -> None:
    error = refusal(raw)
    for part in parts:
        assert part in error.message


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_every_unicode_encoding_of_json_is_read(encoding: str) -> None:
    text = json.dumps({"cues": [{"text": "가나", "start": 0, "end": 1}]}, ensure_ascii=False)
    scenario = prepare(text.encode(encoding), duration=2, known_plugins={})
    assert scenario.fonts[0].characters == "가나"


def test_exactly_a_thousand_cues_are_fine() -> None:
    assert len(prepare({"cues": cues(10_000)}, duration=10.0, known_plugins={}).cues) == 10_000


def test_the_last_of_repeated_keys_counts_and_is_named() -> None:
    raw = '{"cues": [{"text": "old", "text": "new", "start": 0, "end": 1}]}'
    scenario = prepare(raw, duration=2, known_plugins={})
    assert scenario.fonts[0].characters == "enw"
    assert 'cues[0].text: is given more than once, the last one counts (cue "cue-1")' in scenario.warnings


def test_half_a_surrogate_pair_is_replaced_so_that_the_text_can_be_written() -> None:
    raw = r'{"cues": [{"text": "a\ud83d", "start": 0, "end": 1}, {"text": "\ud83d\ude00", "start": 0, "end": 1}]}'
    scenario = prepare(raw, duration=2, known_plugins={})
    assert scenario.fonts[0].characters == "a\ufffd\U0001f600"
    assert json.dumps(scenario.data, ensure_ascii=False).encode()


def test_the_callers_object_is_left_alone() -> None:
    raw: dict[str, Any] = {"cues": [{"text": "a", "start": 0, "end": 1, "style": {"fontSize": 3, "color": None}}]}
    before = json.dumps(raw)
    prepare(raw, duration=2, known_plugins={})
    assert json.dumps(raw) == before


def test_the_same_mistake_everywhere_is_told_three_times_and_counted() -> None:
    raw = {"cues": [{**cue, "speaker": None} for cue in cues(100)]}
    warnings = prepare(raw, duration=10.0, known_plugins={}).warnings
    told = [line for line in warnings if "null" in line]
    named = [f'cues[{i}].speaker: is null and was dropped (cue "cue-{i + 1}")' for i in range(3)]
    assert told == [*named, "null field: 97 more like this"]


@pytest.mark.parametrize(
    "raw",
    [
        {"version": "1.3", "cues": [{"id": "w", "root": {"e_type": "text", "absStart": "1" * 200_000 + "x"}}]},
        {"version": "1.3", "cues": [{"id": "w", "hintTime": [0, 1], "root": {"children": [{"id": "w"}] * 20_000}}]},
        {"version": "2.0", "tracks": [], "cues": [{"track": "x" * 1_000_000, "root": {}}]},
        b"[" + b'{"a": 1, "a": 2},' * 100_000 + b"]",
        b'{"cues": ["' + b"\\ud800" * 500_000 + b'"]}',
    ],
    ids=["a number that is none", "equal ids", "a long name", "repeated keys", "broken text"],
)
def test_hostile_input_takes_no_long_time(raw: Any) -> None:
    def attempt() -> None:
        try:
            prepare(raw, duration=10.0, known_plugins={})
        except ScenarioError as error:
            assert len(error.message) < 1000

    assert least_seconds(attempt, 4) < 4
