"""Subtitles and transcripts as their programs write them."""
# ruff: noqa: RUF001 - signs of other scripts

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any

import pytest

from cpu_time import least_seconds
from ecg_renderer.errors import ScenarioError
from ecg_renderer.scenario import Picture, Report, prepare
from ecg_renderer.subtitles import as_scenario, is_subtitles, subtitle_scenario
from ecg_renderer.subtitles.transcripts import read_transcript

WIDE, UPRIGHT = Picture(1920, 1080), Picture(1080, 1920)
CUE = "1\n00:00:01,000 --> 00:00:02,000\n"
SRT = """1
00:00:01,000 --> 00:00:03,000
Hello <i>there</i>, you

2
00:00:03,500 --> 00:00:04,000
{\\an8}at the top &amp; short
"""
VTT = """WEBVTT
Kind: captions

STYLE
::cue { color: red }

NOTE nothing

intro
00:01.000 --> 00:03.000 align:center
<v Ann>Hello there, you</v>

01:00:03.500 --> 01:00:04.000
<v.loud Bo Smith>at the <b>end</b>
"""
STAMPED = """WEBVTT

00:00:01.000 --> 00:00:03.000
Hello<00:00:01.500><c> there,</c><00:00:02.000><c> you</c>

00:00:03.000 --> 00:00:03.010
Hello there, you

00:00:03.010 --> 00:00:05.000
Hello there, you
and<00:00:04.000><c> more</c>
"""
ASS = """[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, \
StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,20,&H00FFFFFF,&H000000FF,&H00000000,&H00000000,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,1
Style: Top,Arial,20,&H0000FFFF,&H000000FF,&H00000000,&H00000000,0,0,0,0,100,100,0,0,1,1,0,8,10,10,10,1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Comment: 0,0:00:00.00,0:00:09.00,Default,,0,0,0,,not this
Dialogue: 0,0:00:01.00,0:00:03.00,Default,Ann,0,0,0,,{\\k50}Hel{\\k50}lo {\\kf100}you
Dialogue: 0,0:00:03.50,0:00:04.00,Top,Bo,0,0,0,,{\\pos(1,2)}two\\Nlines
Dialogue: 0,0:00:05.00,0:00:06.00,Default,,0,0,0,,{\\p1}m 0 0 l 100 0{\\p0}
"""
SAME_LINE = "Dialogue: 0,0:00:07.00,0:00:08.00,Default,,0,0,0,,same\n"
WHISPER = {
    "text": " Hello there, you",
    "language": "en",
    "segments": [
        {
            "id": 0,
            "start": 1.0,
            "end": 3.0,
            "text": " Hello there, you",
            "words": [
                {"word": " Hello", "start": 1.0, "end": 1.5, "probability": 0.9},
                {"word": " there,", "start": 1.5, "end": 2.0, "probability": 0.9},
                {"word": " you", "start": 2.0, "end": 3.0, "probability": 0.9},
            ],
        },
        {"id": 1, "start": 3.5, "end": 4.5, "text": " without words"},
    ],
}
WHISPERX = {
    "segments": [
        {
            "start": 1.0,
            "end": 3.0,
            "text": "In 2026, you see",
            "speaker": "SPEAKER_00",
            "words": [
                {"word": "In", "start": 1.0, "end": 1.5, "score": 0.9, "speaker": "SPEAKER_00"},
                {"word": "2026,"},
                {"word": "you", "start": 2.0, "end": 2.5, "score": 0.9, "speaker": "SPEAKER_01"},
                {"word": "see", "start": 2.5, "end": 3.0, "score": 0.9, "speaker": "SPEAKER_01"},
            ],
        }
    ],
    "word_segments": [],
}
WHISPER_CPP = {
    "systeminfo": "",
    "result": {"language": "en"},
    "transcription": [
        {
            "timestamps": {"from": "00:00:01,000", "to": "00:00:03,000"},
            "offsets": {"from": 1000, "to": 3000},
            "text": " Hello there",
            "tokens": [
                {"text": "[_BEG_]", "offsets": {"from": 1000, "to": 1000}, "id": 50364},
                {"text": " Hel", "offsets": {"from": 1000, "to": 1200}, "id": 1},
                {"text": "lo", "offsets": {"from": 1200, "to": 1500}, "id": 2},
                {"text": " there", "offsets": {"from": 1500, "to": 3000}, "id": 3},
            ],
        },
        {"offsets": {"from": 3000, "to": 4000}, "text": " without tokens"},
    ],
}
AWS = {
    "jobName": "j",
    "status": "COMPLETED",
    "results": {
        "transcripts": [{"transcript": "Hello there, you. Bye."}],
        "speaker_labels": {
            "speakers": 2,
            "segments": [
                {"speaker_label": "spk_0", "items": [{"start_time": "1.0", "speaker_label": "spk_0"}]},
                {"speaker_label": "spk_1", "items": [{"start_time": "3.0", "speaker_label": "spk_1"}]},
            ],
        },
        "items": [
            {"type": "pronunciation", "start_time": "1.0", "end_time": "1.5", "alternatives": [{"content": "Hello"}]},
            {"type": "pronunciation", "start_time": "1.5", "end_time": "2.0", "alternatives": [{"content": "there"}]},
            {"type": "punctuation", "alternatives": [{"content": ","}]},
            {"type": "pronunciation", "start_time": "2.0", "end_time": "2.5", "alternatives": [{"content": "you"}]},
            {"type": "punctuation", "alternatives": [{"content": "."}]},
            {"type": "pronunciation", "start_time": "3.0", "end_time": "3.5", "alternatives": [{"content": "Bye"}]},
            {"type": "punctuation", "alternatives": [{"content": "."}]},
        ],
    },
}


def encoded(data: Any) -> bytes:
    return data.encode() if isinstance(data, str) else json.dumps(data).encode()


def words_of(scenario: dict[str, Any]) -> list[list[tuple[str, Any]]]:
    """Return what each cue says: words with their times."""
    return [
        [
            (word["text"].strip(), tuple(word["baseTime"]))
            for line in cue["root"]["children"][0]["children"]
            for word in line["children"]
        ]
        for cue in scenario["cues"]
    ]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (
            SRT,
            [
                [("Hello", (1, 1.706)), ("there,", (1.706, 2.529)), ("you", (2.529, 3))],
                [("at", (3.5, 3.579)), ("the", (3.579, 3.684)), ("top", (3.684, 3.789)), ("&", (3.789, 3.842)),
                 ("short", (3.842, 4))],
            ],
        ),
        (STAMPED, [[("Hello", (1, 1.5)), ("there,", (1.5, 2)), ("you", (2, 3))],
                   [("and", (3.01, 4)), ("more", (4, 5))]]),
        (ASS, [[("Hel", (1, 1.5)), ("lo", (1.5, 2)), ("you", (2, 3))], [("two", (3.5, 3.7)), ("lines", (3.7, 4))]]),
        (
            WHISPER,
            [
                [("Hello", (1, 1.5)), ("there,", (1.5, 2)), ("you", (2, 3))],
                [("without", (3.5, 4.071)), ("words", (4.071, 4.5))],
            ],
        ),
        (WHISPERX, [[("In", (1, 1.5)), ("2026,", (1.5, 2))], [("you", (2, 2.5)), ("see", (2.5, 3))]]),
        (WHISPER_CPP, [[("Hello", (1, 1.5)), ("there", (1.5, 3))], [("without", (3, 3.533)), ("tokens", (3.533, 4))]]),
        (AWS, [[("Hello", (1, 1.5)), ("there,", (1.5, 2)), ("you.", (2, 2.5))], [("Bye.", (3, 3.5))]]),
        (WHISPER["segments"], [[("Hello", (1, 1.5)), ("there,", (1.5, 2)), ("you", (2, 3))],
                               [("without", (3.5, 4.071)), ("words", (4.071, 4.5))]]),
        (
            {"text": "a b", "words": [{"word": "a.", "start": 1, "end": 2}, {"word": "b", "start": 2, "end": 3}]},
            [[("a.", (1, 2))], [("b", (2, 3))]],
        ),
    ],
    ids=["srt", "vtt with stamps", "ass", "whisper", "whisperx", "whisper.cpp", "aws", "segments alone", "words alone"],
)  # fmt: skip
def test_words_have_the_files_times_or_share_their_lines(raw: Any, expected: Any) -> None:
    assert is_subtitles(encoded(raw))
    found = words_of(subtitle_scenario(encoded(raw), Report("talk"), WIDE, "karaoke"))
    assert [[word for word, _ in cue] for cue in found] == [[word for word, _ in cue] for cue in expected]
    for cue, wanted in zip(found, expected, strict=True):
        for (_, times), (_, right) in zip(cue, wanted, strict=True):
            assert times == pytest.approx(right, abs=0.002)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (
            "7\n0:0:2,5 --> 0:0:3\nshort times\n\n1:00-->1:02\nno hours\n\n"
            "3\n00:01:03,000 --> 00:00:59,000 X1:10\nturned\n",
            [("short times", 2.5, 3), ("no hours", 60, 62), ("turned", 63, 64)],
        ),
        (
            "1\n00:00:01,000 --> 00:00:01,000\nat once\n\n2\n00:00:01,400 --> 00:00:03,000\nnext\n\n"
            "3\n999:00:00,000 --> 999:00:01,000\nlate\n",
            [("at once", 1, 1.4), ("next", 1.4, 3), ("late", 3596400, 3596401)],
        ),
        (
            f"{ASS}Dialogue: 0,0:00:08.00,0:00:09.00,None,,0,0,0,,{{\\p1}}m 0 0 l 9 9{{\\p0}}said\\Nafter\n",
            [("Hel lo you", 1, 3), ("two lines", 3.5, 4), ("said after", 8, 9)],
        ),
        (
            {"segments": [{"start": 0, "end": 2, "text": "one"}, {"end": 3, "text": "two"},
                          {"start": 4, "text": "three"}, {"id": 9}, {"start": 1, "end": 2, "text": None}]},
            [("one", 0, 2), ("two", 2, 3), ("three", 4, 5)],
        ),
        (
            {"words": [{"word": "a", "start": 1, "end": 2}, {"word": None}, {"word": 5, "start": 2, "end": 3}]},
            [("a 5", 1, 3)],
        ),
        (
            "1\n-00:00:01,000 --> 00:00:02,000\na < b {x} <b>&amp;</b>\n"
            "2\n0:00:03,0 -> 123:00:00,12345\n2026\n1999\n",
            [("a < b {x} &", 0, 2), ("2026 1999", 3, 442800.123)],
        ),
        ("0:00:01.000,0:00:03.000\nfirst\n\n0:00:03.500,0:00:04.000\nsecond\nline\n",
         [("first", 1, 3), ("second line", 3.5, 4)]),
        ("<SAMI><BODY>\n<SYNC Start=1000><P Class=KRCC>하나<br>둘\n<SYNC Start=1000><P Class=ENCC>one\n"
         "<SYNC Start=3000><P Class=KRCC>&nbsp;\n<SYNC Start=4000><P Class=KRCC>셋\n</BODY></SAMI>",
         [("하나 둘", 1, 3), ("셋", 4, 5)]),
        ("<?xml version='1.0'?><!-- a --><!-- b --><SAMI><BODY><!-- <SYNC Start=0><P>no -->\n"
         "<SYNC Start=1000><P Class=KRCC>하나<P Class=ENCC>one<P Class=KRCC>둘</SYNC>\n"
         "<SYNC Start=2000><P Class=ENCC>two</SYNC><SYNC Start=3000><P Class=ENCC>x<P Class=KRCC>&nbsp;</SYNC></SAMI>",
         [("하나 둘", 1, 3)]),
        ("\ufeff\ufeff1\n00:00:01,000 --> 00:00:02,000\n<em>One</em></ i>\n\n2\n00:00:02,000 --> 00:00:03,000\n"
         "2 < 3 > 1\n\n3\n", [("One", 1, 2), ("2 < 3 > 1", 2, 3)]),
        ("00:00:01,000 --> 00:00:02,000\nOne\n2\n00:00:02,000 --> 00:00:03,000\n3\n\n3\n"
         "00:00:03,000 --> 00:00:04,000\nin\n4\n", [("One", 1, 2), ("3", 2, 3), ("in 4", 3, 4)]),
        ("WEBVTT\n\n00:00:01,000 --> 00:00:02,000\n<ruby>漢字<rt>かんじ</rt></ruby>です\n", [("漢字です", 1, 2)]),
        (f"{ASS}{2 * SAME_LINE}", [("Hel lo you", 1, 3), ("two lines", 3.5, 4), ("same", 7, 8)]),
        ({"chunks": [{"text": " Hi", "timestamp": [0, 0.5]}, {"text": " you", "timestamp": [0.5, None]}]},
         [("Hi you", 0, 1.5)]),
        ({"transcription": [{"timestamps": {"from": "00:00:01,500", "to": "00:01:02,000"}, "text": " one two"}]},
         [("one two", 1.5, 62)]),
        ({"results": [{"alternatives": [{"words": [
            {"word": "Hi", "startTime": "0.5s", "endTime": {"seconds": "1", "nanos": 5e8}, "speakerTag": 1},
            {"word": "you", "startTime": "1.500s", "endTime": "2s", "speakerTag": 1}]}]}]}, [("Hi you", 0.5, 2)]),
        ({"results": {"channels": [{"alternatives": [{"words": [
            {"word": "hi", "punctuated_word": "Hi,", "start": 0.5, "end": 1, "speaker": 0}]}]}]}}, [("Hi,", 0.5, 1)]),
        ({"words": [{"text": "Hi", "start": 250, "end": 650}, {"text": "you.", "start": 700, "end": 1200}]},
         [("Hi you.", 0.25, 1.2)]),
        ({"segments": [{"start": 0, "end": 5000, "text": "안녕 또", "speaker": {"label": "1", "name": "A"},
                        "words": [[100, 2000, "안녕"], [2000, 4000, "또"]]}]}, [("안녕 또", 0, 5)]),
        ({"events": [{"tStartMs": 0, "id": 1}, {"tStartMs": 1000, "dDurationMs": 5000, "segs": [
            {"utf8": "hello"}, {"utf8": " world", "tOffsetMs": 500}]}, {"tStartMs": 2000, "segs": [{"utf8": "\n"}]},
            {"tStartMs": 3000, "dDurationMs": 2000, "segs": [{"utf8": "next one"}]}]},
         [("hello world", 1, 3), ("next one", 3, 5)]),
        ({"events": [{"tStartMs": 1000, "dDurationMs": 2000, "segs": [{"utf8": "as people\nwrite"}]}]},
         [("as people write", 1, 3)]),
        ({"chunks": [{"text": " As it is", "timestamp": [0, 2]}, {"text": " said.", "timestamp": [3, 4]}]},
         [("As it is", 0, 2), ("said.", 3, 4)]),
        ({"chunks": [{"text": "今日は天気がいいですね。", "timestamp": [0, 2]}]}, [("今日は天気がいいですね。", 0, 2)]),
        ({"chunks": [], "segments": [{"start": 0, "end": 1, "text": "a"}]}, [("a", 0, 1)]),
        ({"segments": [{"start": 0, "end": 90, "text": "a"}, {"start": 90, "end": 200, "text": "b"}]},
         [("a", 0, 90), ("b", 90, 200)]),
        ({"results": [{"alternatives": [{"words": [{"word": "a", "startTime": "0s", "endTime": "1s"}]}]},
                      {"alternatives": [{"words": [{"word": "b", "startTime": "1s", "endTime": "2s"}]}]},
                      {"alternatives": [{"words": [
                          {"word": "a", "startTime": "0s", "endTime": "1s", "speakerTag": 1},
                          {"word": "b", "startTime": "1s", "endTime": "2s", "speakerTag": 2}]}]}]},
         [("a", 0, 1), ("b", 1, 2)]),
        ("0\n00:00:01,000 --> 00:00:02,000\na\n\n1\n00:00:02,000 --> 00:00:03,000\nb\n", [("a", 1, 2), ("b", 2, 3)]),
        ("1\n00:00:01,000 → 00:00:02,000\na\n\n2\n00:00:02,000 –> 00:00:03,000\nb\n", [("a", 1, 2), ("b", 2, 3)]),
        ("WEBVTT\n\n00:01.000 -> 00:02.000\na\n", [("a", 1, 2)]),
        (f"{CUE}Flights:\n10:30 → 11:30 Seoul\n9:05 — 10:15\n12:30 -> 13:00\n",
         [("Flights: 10:30 → 11:30 Seoul 9:05 — 10:15 12:30 -> 13:00", 1, 2)]),
        ("0:00:01.000,0:00:02.000\na [br] b\n", [("a b", 1, 2)]),
        ([{"word": "a", "start": 1, "end": 1.5}, {"word": "b.", "start": 1.5, "end": 2}], [("a b.", 1, 2)]),
        ('{"segments": [{"start": 0, "end": 1, "text": "a\\ud800"}]}', [("a\ufffd", 0, 1)]),
    ],
    ids=["times as people write them", "no length", "a drawing and a text", "half of the times", "words that are none",
         "as editors save it", "sbv", "sami", "sami in several paragraphs", "two marks, and cut after a number",
         "no number of the first",
         "webvtt with commas and ruby", "layers", "transformers",
         "whisper.cpp's stamps",
         "google", "deepgram", "assemblyai", "clova", "json3", "json3 of people",
         "sentences of transformers", "in japanese",
         "no chunks", "long segments", "google with all of it again", "numbers from 0", "arrows of word processors",
         "a short arrow of webvtt", "arrows in what is said", "breaks of sbv", "a list of words", "half a surrogate"],
)  # fmt: skip
def test_what_people_and_programs_get_wrong_is_read_as_it_was_meant(raw: Any, expected: Any) -> None:
    found = subtitle_scenario(encoded(raw), Report("talk"), WIDE, "karaoke")
    said = [(" ".join(word for word, _ in words), *cue["root"]["displayTime"])
            for cue, words in zip(found["cues"], words_of(found), strict=True)]  # fmt: skip
    assert said == [(text, pytest.approx(start), pytest.approx(end)) for text, start, end in expected]


def test_voices_of_webvtt_are_speakers_with_colours_of_their_own() -> None:
    scenario = subtitle_scenario(VTT.encode(), Report("talk.vtt"), WIDE, "karaoke")
    palette = scenario["define"]["speakerPalette"]
    assert [cue["speaker"] for cue in scenario["cues"]] == ["Ann", "Bo Smith"]
    assert list(palette) == ["Ann", "Bo Smith"]
    assert len(set(palette.values())) == 2
    assert [cue["root"]["displayTime"] for cue in scenario["cues"]] == [[1, 3], [3603.5, 3604]]
    plain = subtitle_scenario(VTT.encode(), Report("talk.vtt"), WIDE, "plain")
    boxes = [cue["root"]["children"][0] for cue in plain["cues"]]
    assert [box["style"]["color"] for box in boxes] == list(palette.values())


@pytest.mark.parametrize(
    ("raw", "speakers"),
    [(WHISPERX, ["SPEAKER_00", "SPEAKER_01"]), (AWS, ["spk_0", "spk_1"]), (ASS, ["Ann", "Bo"]),
     ("1\n00:00:01,000 --> 00:00:02,000\n[SPEAKER_00]: hi\n\n2\n00:00:02,000 --> 00:00:03,000\nSpeaker 2: ho\n",
      ["SPEAKER_00", "Speaker 2"])],
)  # fmt: skip
def test_speakers_are_told_apart(raw: Any, speakers: list[str]) -> None:
    scenario = subtitle_scenario(encoded(raw), Report("talk"), WIDE, "karaoke")
    assert [cue["speaker"] for cue in scenario["cues"]] == speakers
    assert "SPEAKER" not in str(words_of(scenario)).upper()


def test_what_stands_at_the_top_stays_there_and_keeps_its_colour() -> None:
    for raw in (SRT, ASS):
        scenario = subtitle_scenario(raw.encode(), Report("talk"), WIDE, "plain")
        assert [cue["root"]["layout"] for cue in scenario["cues"]] == ["define.bottom", "define.top"]
    (box,) = scenario["cues"][1]["root"]["children"]
    assert box["style"] == {"color": "#ffff00"}
    assert box["children"][0]["text"] == "two\nlines"


def styled(text: str) -> str:
    return ASS.split("Comment")[0] + SAME_LINE.replace(",,same", f",,{text}")


@pytest.mark.parametrize(
    ("raw", "place", "colour"),
    [
        ('1\n00:00:01,000 --> 00:00:02,000\n<i><font color="#FF0000">red</font></i>\n', "bottom", "#ff0000"),
        ("1\n00:00:01,000 --> 00:00:02,000\nnot <font color=red>all</font>\n", "bottom", ""),
        (f"{CUE}<font color=red>part</font> not\n", "bottom", ""),
        (f"{CUE}<font color=red>one</font>\n<b><font color=red>two</font></b>\n", "bottom", "red"),
        (f'{CUE}<font color="#ffffffff">usual</font>\n', "bottom", ""),
        (f'{CUE}<font color="#000000">seen</font>\n', "bottom", ""),
        (styled("{\\c&H0000FF&}red{\\c} then white"), "bottom", ""),
        (styled("{\\t(0,9,\\clip(1,2)\\c&H0000FF&)}x"), "bottom", ""),
        (styled("{\\b1}{\\1c&H0000FF&\\clip(1,2,3,4)}x{\\i1}y"), "bottom", "#ff0000"),
        (styled("{\\c&H000000&}x"), "bottom", ""),
        *((f'{CUE}<font color="{colour}">seen</font>\n', "bottom", "") for colour in (
            "rgba(0,0,0,0)", "rgb(0,0,0)", "rgb(5% 5% 5%)", "hsl(120, 100%, 3%)", "#ff000000", "#0000", "#111",
            "rgba(255, 0, 0, 0)", "transparent", "rgb(255,255,255)")),
        *((f'{CUE}<font color="{colour}">seen</font>\n', "bottom", colour) for colour in (
            "rgb(255,0,0)", "#f00", "#f00c", "hsl(120, 100%, 30%)", "navy")),
        (f'{CUE}<font background-color="red">a</font>\n', "bottom", ""),
        (f'{CUE}<font bgcolor="red" color="lime">a</font>\n', "bottom", "lime"),
        (f'{CUE}<span style="background-color:red;color:lime">a</span>\n', "bottom", "lime"),
        ("WEBVTT\n\n00:01.000 --> 00:02.000 line:0\nx\n", "top", ""),
        ("WEBVTT\n\n00:01.000 --> 00:02.000 line:-1\nx\n", "bottom", ""),
        ("WEBVTT\n\n00:01.000 --> 00:02.000 position:5% line:50%,center\nx\n", "middle", ""),
        (styled("{\\pos(9,20)\\c&H0000FF&}x"), "top", "#ff0000"),
    ],
    ids=["font", "a part", "the first part", "lines", "white", "black", "back to white", "gradually", "later tags",
         "black of ass", *map(str, range(15)),
         "background", "background and colour", "style", "first line", "last line", "half", "pos"],
)  # fmt: skip
def test_place_and_colour_of_a_whole_caption_are_kept(raw: str, place: str, colour: str) -> None:
    (cue,) = subtitle_scenario(raw.encode(), Report("talk"), WIDE, "plain")["cues"]
    assert cue["root"]["layout"] == f"define.{place}"
    assert cue["root"]["children"][0].get("style", {}).get("color", "") == colour


def written(raw: str, look: Any) -> list[tuple[str, str, dict[str, Any], Any]]:
    """Return the words of the first cue: text, what its id says, its style, and the colour that it takes."""
    cue = subtitle_scenario(raw.encode(), Report("talk"), WIDE, look)["cues"][0]
    found = []
    for line in cue["root"]["children"][0]["children"]:
        for node in line.get("children", [line]):
            chain = node.get("pluginChain", [{}])
            shape = "".join(re.findall("italic-|underline-", node["id"]))
            found.append((node["text"], shape, node.get("style", {}), chain[0].get("params")))
    return found


PRE, BOLD = {"whiteSpace": "pre"}, {"fontWeight": "bold"}
YELLOW, RED = {"color": "yellow"}, {"color": "#ff0000"}


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (
            f"{CUE}a <i>b c</i> <b>d</b>, <u>e</u> f\n",
            [("a ", "", PRE), ("b ", "italic-", PRE), ("c ", "italic-", PRE), ("d, ", "", BOLD | PRE),
             ("e", "underline-", PRE), (" f", "", PRE)],
        ),
        (f"{CUE}<i>all of\nit</i>\n", [("all of\nit", "italic-", {})]),
        (f"{CUE}<b><i>x</b>y</i> z\n", [("xy ", "italic-", BOLD | PRE), ("z", "", PRE)]),
        (f"{CUE}<i>un</i>believable\n", [("unbelievable", "", {})]),
        (f"{CUE}a <i>b&#xF0009;</i>\n", [("a ", "", PRE), ("b\U000f0009", "italic-", PRE)]),
        (f"{CUE}<i>a\U000f0001</i>\n", [("a", "italic-", {})]),
        (
            f'{CUE}<font color="yellow">a <font color="#FF0000">b</font></font> c\n',
            [("a ", "", YELLOW | PRE), ("b ", "", RED | PRE), ("c", "", PRE)],
        ),
        (f"{CUE}a {{\\i1}}b{{\\i0}} c\n", [("a ", "", PRE), ("b ", "italic-", PRE), ("c", "", PRE)]),
        (
            "WEBVTT\n\n00:01.000 --> 00:02.000\n<c.yellow.bg_black>a</c> <i.x>b</i> <c.colorFF0000>c &amp;</c>\n",
            [("a ", "", YELLOW | PRE), ("b ", "italic-", PRE), ("c ", "", RED | PRE), ("&", "", RED | PRE)],
        ),
        (
            styled("{\\c&H0000FF&\\b1\\blur3\\be1}a{\\r} b {\\i1\\u1}c{\\i0} {\\rTop}d"),
            [("a ", "", BOLD | RED | PRE), ("b ", "", PRE), ("c", "italic-underline-", PRE),
             (" d", "", {"color": "#ffff00"} | PRE)],
        ),
        (styled("{\\b400}a{\\b100} b {\\b700}c"), [("a ", "", PRE), ("b ", "", PRE), ("c", "", BOLD | PRE)]),
        (styled("a {note\\i1}b"), [("a ", "", PRE), ("b", "italic-", PRE)]),
        (styled(f"a {{\\i1{5000 * '0'}}}b"), [("a ", "", PRE), ("b", "italic-", PRE)]),
        ("WEBVTT\n\n00:01.000 --> 00:02.000\n<i>\nhello\n</i>\n", [("hello", "italic-", {})]),
        (
            "WEBVTT\n\n00:01.000 --> 00:02.000\n<i>a\n</i>\nb\n",
            [("a", "italic-", PRE), ("b", "", PRE)],
        ),
    ],
    ids=["srt", "all of it", "crossed", "most letters", "a private sign", "another", "colours", "braces", "vtt", "ass",
         "weights", "a comment", "a long number", "tags of their own lines", "and their end"],
)  # fmt: skip
def test_words_keep_how_they_are_written(raw: str, words: list[tuple[str, str, dict[str, Any]]]) -> None:
    assert [word[:3] for word in written(raw, "plain")] == words


def test_styles_of_version_4_of_ssa_are_read_by_their_own_fields() -> None:
    fields = "Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, TertiaryColour, BackColour, Bold, Italic, "
    fields += "BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, AlphaLevel, Encoding"
    raw = f"""[Script Info]
ScriptType: v4.00

[V4 Styles]
Format: {fields}
Style: Default,Arial,20,65535,65535,65535,0,-1,0,1,2,0,6,10,10,10,0,1

[Events]
Format: Marked, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Dialogue: Marked=0,0:00:00.00,0:00:01.00,Default,,0000,0000,0000,,at the top
"""
    (cue,) = subtitle_scenario(raw.encode(), Report("talk"), WIDE, "plain")["cues"]
    assert cue["root"]["layout"] == "define.top"
    assert cue["root"]["children"][0]["style"] == {"color": "#ffff00"}
    assert written(raw, "plain") == [("at the top", "", BOLD, None)]


def test_a_file_of_a_few_bytes_is_no_utf_16() -> None:
    report = Report("talk")
    with pytest.raises(ScenarioError, match="holds no captions"):
        subtitle_scenario(b"WEBVTT\n", report, WIDE, "plain")
    assert not report.findings


def test_a_word_takes_its_own_colour_as_it_is_spoken() -> None:
    raw = f"{CUE}a <font color=#ff0000>b</font> <i>c</i>\n"
    params = [(shape, params["color"]) for _, shape, _, params in written(raw, "karaoke")]
    assert params == [("", "#ffd54a"), ("", "#ff0000"), ("italic-", "#ffd54a")]
    stamped = "WEBVTT\n\n00:01.000 --> 00:03.000\n<c.red>a</c><00:01.500><i> b <00:02.000>c</i>\n"
    assert [shape for _, shape, *_ in written(stamped, "karaoke")] == ["", "italic-", "italic-"]
    sung = styled("{\\k20\\i1}Hel{\\k20}lo {\\k30\\i0}you")
    said = [(text, shape) for text, shape, *_ in written(sung, "karaoke")]
    assert said == [("Hel", "italic-"), ("lo ", "italic-"), ("you", "")]


THAI = "สวัสดีครับวันนี้เราจะมาเรียนรู้เกี่ยวกับการทำอาหารไทยที่อร่อยที่สุดในโลกและวิธีการเลือกวัตถุดิบที่ดี"


@pytest.mark.parametrize(
    ("encoding", "text", "told"),
    [
        ("utf-8", "안녕 여러분", ""),
        ("utf-8-sig", "안녕 여러분", ""),
        ("utf-16", "안녕 여러분", ""),
        ("utf-16-le", "Hello 여러분", ""),
        ("utf-16-be", "Hello 여러분", ""),
        ("cp949", "안녕하세요 여러분 똠방각하", "Korean"),
        ("cp932", "こんにちは、世界。 カタカナ", "Japanese"),
        ("gb18030", "今天我们来学习，你好 朋友", "simplified Chinese"),
        ("gb18030", "我们今天去看电影，好吗？", "simplified Chinese"),
        ("big5", "今天我們來學習，你好 朋友", "traditional Chinese"),
        *(("cp949", text, "Korean") for text in (
            "네", "아니요", "안녕하세요", "♪ 네 ♪", "K팝", "ㅋㅋㅋ", "제3章 大韓民國", "대박 찦차 타고 大韓 만세")),
        ("cp874", THAI, "Thai"),
        ("cp1251", "Привет, как дела? Это – ёж", "Cyrillic"),
        ("cp1251", "Что? — «Нет», я…", "Cyrillic"),
        ("cp1251", "Її ім'я", "Cyrillic"),
        *(("cp1251", text, "Cyrillic") for text in (
            "я помню чудное мгновенье передо мной явилась ты", "люблю тебя, петра творенье",
            "дякую, до побачення, все добре", "привет, как дела", "добър ден, къде сте", "Вы знаете?", "Ура! Мы тут",
            "не знаю", "Я тебя люблю", "СТОЙ! КТО ИДЁТ?", "Здраво, како си?")),
        *(("koi8_u", text, "Cyrillic") for text in (
            "я помню чудное мгновенье передо мной явилась ты", "дякую, до побачення, все добре", "где ты был?")),
        ("cp866", "Ура! Мы тут", "Cyrillic"),
        *((encoding, text, "Greek") for encoding in ("cp1253", "iso8859_7") for text in (
            "δεν ξέρω", "ευχαριστώ πολύ", "θα σε δω αύριο", "ΠΟΥ ΕΙΣΑΙ;")),
        *(("cp1255", text, "Hebrew") for text in ("תודה רבה", "לא יודע", "אל תדאג", "בסדר גמור",
            "שָׁלוֹם עֲלֵיכֶם, הַמַּלְכּוּת שֶׁלְּךָ נִמְצֵאת כָּאן")),
        *(("cp1256", text, "Arabic or Persian") for text in ("السلام عليكم", "لا أعرف")),
        ("koi8_r", "Привет, как дела? Всё хорошо.", "Cyrillic"),
        ("cp866", "Привет, как дела? Всё хорошо.", "Cyrillic"),
        ("cp1253", "Ναι, πάμε.", "Greek"),
        ("cp1253", "Καλημέρα σας, τι κάνετε σήμερα; “Όλα” καλά", "Greek"),
        ("iso8859_7", "Άννα, είμαι πολύ καλά, ευχαριστώ", "Greek"),
        ("cp1255", "כן, בוא נלך.", "Hebrew"),
        ("cp1255", "שלום לכולם, מה שלומכם היום?", "Hebrew"),
        ("cp1256", "مرحبا بكم في هذا البرنامج، كيف حالكم", "Arabic or Persian"),
        ("cp1254", "Günaydın, İstanbul'da hava güzel", "Turkish"),
        ("cp1254", "Teşekkürler.", "Turkish"),
        ("cp1250", "Żółta łódź płynie, dziękuję", "Polish"),
        ("cp1250", "Jó reggelt, hogy vagy? Őrült űrhajós, és más", "Hungarian"),
        ("cp1250", "Bună ziua, mulţumesc, sînt bine", "Romanian"),
        ("cp1250", "Příliš žluťoučký kůň", "a language of central Europe"),
        ("cp1257", "Ačiū, gerai. Šiandien gražu.", "Lithuanian"),
        ("cp949", "뷁! 햏 뷁", "Korean"),
        *(("cp1252", text, "a Western language") for text in (
            "café à côté", "café à côté – “oui” ÄÖÜ", "« Où êtes-vous ? »", "Il va à Paris", "DÉÇU", "L’été…",
            "Ärger", "Er grüßte über die Straße", "Não, às três", "É", "Jag är på ö", "Ja, så må du få", "Hyvää yötä",
            "Perché no? È così", "¿Qué? ¡Sí!", "På vej, æblegrød", "C'est sûr, à côté", "Góðan daginn, hvað segir þú?",
            "Não, põe a canção", "“À” l’été", "Où ça, là-bas ?", "¿Y?", "20 °C", "£5 ©")),
    ],
)  # fmt: skip
def test_text_is_read_in_the_encoding_that_it_has_and_a_guess_is_told(encoding: str, text: str, told: str) -> None:
    raw = f"1\r00:00:01,000 --> 00:00:02,000\r{text}\r".encode(encoding)
    assert is_subtitles(raw)
    report = Report("k.srt")
    scenario = subtitle_scenario(raw, report, WIDE, "plain")
    (node,) = scenario["cues"][0]["root"]["children"][0]["children"]
    assert node["text"] == text
    said = f"k.srt: is not UTF-8, and was taken for {told} ("
    assert [line.startswith(said) and "a guess" in line for line in report.warnings] == ([True] if told else [])
    assert all("iconv -f" in finding.hint for finding in report.findings)


def lines_of(scenario: dict[str, Any]) -> list[list[list[str]]]:
    """Return the words of each line of each cue."""
    boxes = [cue["root"]["children"][0]["children"] for cue in scenario["cues"]]
    return [[[word["text"] for word in line.get("children", [line])] for line in box] for box in boxes]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("今日は天気がいいから、みんなで公園に行って、「お弁当」を食べましょうね。",
         [["今日は天気がいいから、みんなで公園に"], ["行って、「お弁当」を食べましょうね。"]]),
        ("这是一个非常有用的技能，可以帮助你节省大量的Python3.12时间和精力。",
         [["这是一个非常有用的技能，可以帮助你"], ["节省大量的Python3.12时间和精力。"]]),
        ("សួស្តី\u200bថ្ងៃនេះ\u200bយើង\u200bនឹង\u200bរៀន\u200bអំពី\u200bការ\u200bធ្វើ\u200bម្ហូប\u200bដ៏\u200bឆ្ងាញ់\u200bបំផុត\u200bក្នុង\u200bលោក",
         [["សួស្តីថ្ងៃនេះយើងនឹងរៀនអំពីការ"], ["ធ្វើម្ហូបដ៏ឆ្ងាញ់បំផុតក្នុងលោក"]]),
        (THAI, [[THAI]]),
        ("👩‍👩‍👧👍🏽" * 20, [["👩‍👩‍👧👍🏽" * 10], ["👩‍👩‍👧👍🏽" * 10]]),
    ],
    ids=["Japanese", "Chinese", "Khmer with its words told apart", "Thai", "emoji"],
)  # fmt: skip
def test_a_line_ends_only_where_one_may(text: str, lines: list[list[str]]) -> None:
    raw = f"1\n00:00:01,000 --> 00:00:05,000\n{text}\n".encode()
    scenario = subtitle_scenario(raw, Report("talk"), WIDE, "karaoke")
    ((found,),) = [lines_of(scenario)]
    assert found == lines
    assert prepare(scenario, duration=5, known_plugins={"cwi-color": {}}).warnings == ()


def test_words_of_a_transcript_stay_with_the_signs_that_end_them() -> None:
    words = [{"word": letter, "start": 1 + index / 9, "end": 1 + (index + 1) / 9} for index, letter in
             enumerate("あいうえおかきくけこさしすせそたちつてと、なにぬねの「はひふへほ」まみむめも。")]  # fmt: skip
    data = {"segments": [{"start": 1, "end": 9, "text": "x", "words": words}]}
    ((first, second),) = lines_of(subtitle_scenario(encoded(data), Report("talk"), WIDE, "karaoke"))
    assert ("".join(first), "".join(second)) == (
        "あいうえおかきくけこさしすせそたちつて",
        "と、なにぬねの「はひふへほ」まみむめも。",
    )


def test_what_is_said_at_one_time_stands_beside_each_other() -> None:
    raw = (
        "1\n00:00:01,000 --> 00:00:05,000\none\n\n2\n00:00:03,000 --> 00:00:06,000\ntwo\nlines\n\n"
        "3\n00:00:04,000 --> 00:00:07,000\n{\\an8}at the top\n\n4\n00:00:05,000 --> 00:00:08,000\nfour\n\n"
        "5\n00:00:07,950 --> 00:00:09,000\nfive\n"
    )
    report = Report("talk")
    scenario = subtitle_scenario(raw.encode(), report, WIDE, "karaoke")
    layouts = [cue["root"]["layout"] for cue in scenario["cues"]]
    assert [layout for layout in layouts if isinstance(layout, str)] == [
        "define.bottom",
        "define.top",
        *["define.bottom"] * 2,
    ]
    assert layouts[1]["position"] == {"x": 0.5, "y": pytest.approx(0.925 - 0.11, abs=0.01)}
    assert scenario["cues"][3]["root"]["displayTime"] == [5, 7.95]
    assert report.warnings == ("caption at 3 s: begins before the one before it ends, and stands clear of it",)


def test_in_the_middle_captions_of_one_time_stand_on_both_sides() -> None:
    raw = "".join(f"{n}\n00:00:01,000 --> 00:00:05,000\n{{\\an5}}{n}\n\n" for n in range(1, 12))
    report = Report("talk")
    scenario = subtitle_scenario(raw.encode(), report, WIDE, "karaoke")
    layouts = [cue["root"]["layout"] for cue in scenario["cues"]]
    found = [layout if isinstance(layout, str) else layout["position"]["y"] for layout in layouts]
    height = 0.11
    expected = [0.5 + sign * height * n for n in (1, 2, 3) for sign in (1, -1)]
    assert found[0] == "define.middle"
    assert found[1:7] == pytest.approx(expected, abs=0.003)
    assert found[7:] == ["define.middle"] * 4
    assert [warning.split("stands ")[1] for warning in report.warnings if "stands" in warning] == ["clear of it"] * 3


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (SRT, []),
        (STAMPED, []),
        (
            "1\n00:00:05,000 --> 00:00:03,000\nturned\n\n2\n00:00:07,000 --> 00:00:07,000\nnone\n\n"
            "3\n00:00:09,000 --> 00:00:10,000\n<i></i>\n",
            ["caption at 9 s: has no text that can be shown, and was left out",
             "caption at 5 s: ends at 3 s, before it begins, and was taken to be shown until 6 s",
             "caption at 7 s: ends as it begins, and was taken to be shown until 8 s"],
        ),
        (ASS, ["caption at 5 s: has no text that can be shown, and was left out"]),
        (WHISPERX, ["segments[0]: 1 of 4 words have no time, and share the gaps that they stand in: 2026,"]),
        (
            "".join(f"{n}\n00:00:{n:02},000 --> 00:00:{n:02},000\nx\n\n" for n in range(1, 60)),
            [*(f"caption at {n} s: ends as it begins, and was taken to be shown until {n + 1} s" for n in (1, 2, 3)),
             "time of a caption: 56 more like this"],
        ),
    ],
    ids=["nothing", "what is said before", "times", "a drawing", "words without times", "all of them"],
)  # fmt: skip
def test_what_was_put_right_is_told(raw: Any, told: list[str]) -> None:
    report = Report("talk")
    subtitle_scenario(encoded(raw), report, WIDE, "karaoke")
    assert list(report.warnings) == told


ASS_LINE = "Dialogue: 0,{},0:00:{}.00,Default,,0,0,0,,{}\n"


@pytest.mark.parametrize(
    ("raw", "number"),
    [
        ("1\n00:00:01,000 --> 00:00:02,000\nHello\n\n2\n{} --> 00:00:04,000\nlost\nit\n\n"
         "3\n00:00:05,000 --> 00:00:06,000\nWorld\n", 6),
        ("1\n00:00:01,000 --> 00:00:02,000\nHello\n2\n{} --> 00:00:04,000\nlost", 5),
        ("WEBVTT\n\n00:01.000 --> 00:02.000\nHello\n\n{} --> 00:04.000\nlost\n\n0:5.0 --> 0:6.0\nWorld\n", 6),
        ("[V4+ Styles]\nFormat: Name, Fontname\nStyle: Default,Arial\n\n[Events]\n"
         "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
         + ASS_LINE.format("0:00:01.00", "02", "Hello") + ASS_LINE.format("{}", "04", "lost")
         + ASS_LINE.format("0:00:05.00", "06", "World"), 8),
    ],
    ids=["SubRip", "SubRip without an empty line", "WebVTT", "ASS"],
)  # fmt: skip
@pytest.mark.parametrize("broken", ["00:00:0x,000", "0:1O", "3:04:"])
def test_a_caption_whose_times_cannot_be_read_is_left_out_and_told(raw: str, number: int, broken: str) -> None:
    report = Report("talk")
    scenario = subtitle_scenario(raw.replace("{}", broken).encode(), report, WIDE, "karaoke")
    said = [word for words in words_of(scenario) for word, _ in words]
    assert said == ["Hello", "World"][: 2 if "World" in raw else 1]
    (told,) = report.warnings
    assert told.startswith(f"line {number}: has times that cannot be read, `")
    assert broken in told


@pytest.mark.parametrize(("size", "colour"), [("big", "&H0000FFFF"), ("20", "yellow")])
def test_a_style_that_cannot_be_read_is_left_out_and_told(size: str, colour: str) -> None:
    style = f"Style: Bad,Arial,{size},{f'{colour},' * 4}1,0,0,0,100,100,0,0,1,1,0,8,10,10,10,1\n"
    report = Report("talk")
    lines = ASS.replace("\n[Events]", f"{style}\n[Events]").replace("04.00,Top", "04.00,Bad")
    scenario = subtitle_scenario(lines.encode(), report, WIDE, "karaoke")
    assert [word for words in words_of(scenario) for word, _ in words] == ["Hel", "lo", "you", "two", "lines"]
    number = lines[: lines.index(style)].count("\n") + 1
    assert report.warnings[0].startswith(f"line {number}: cannot be read, `Style: Bad,Arial,")


@pytest.mark.parametrize("number", ["2\n", ""])
def test_a_caption_without_readable_times_takes_none_of_those_that_follow_it_at_once(number: str) -> None:
    lines = f"{CUE}Hello\n{number}00:00:0x,000 --> 00:00:04,000\nlost\n3\n00:00:05,000 --> 00:00:06,000\nWorld\n"
    scenario = subtitle_scenario(lines.encode(), Report("talk"), WIDE, "karaoke")
    assert [word for words in words_of(scenario) for word, _ in words] == ["Hello", "World"]


@pytest.mark.parametrize(
    "raw",
    [
        CUE + "Hello\n\n" + "00:00:0x --> 00:00:04\n" * 100_000,
        CUE + "Hello\n\n" + " " * 1_000_000 + "-->\n",
        "[V4+ Styles]\n\n[Events]\n" + ASS_LINE.format("0:00:01.00", "02", "Hello") + "Dialogue: 0,x\n" * 20_000,
        "[V4+ Styles]\n"
        + "Style: a,b\nStyle: a,b,c\n" * 10_000
        + "[Events]\n"
        + ASS_LINE.format("0:00:01.00", "02", "Hello"),
    ],
    ids=["lines of no times", "a line of spaces", "ASS", "styles"],
)
def test_many_times_that_cannot_be_read_take_no_long_time(raw: str) -> None:
    found: list[Any] = []

    def read() -> None:
        found.append(subtitle_scenario(raw.encode(), Report("talk"), WIDE, "karaoke"))

    assert least_seconds(read, 4) < 4
    assert next(word for words in words_of(found[0]) for word, _ in words) == "Hello"


def test_an_arrow_that_somebody_says_is_said() -> None:
    report = Report("talk")
    scenario = subtitle_scenario(f"{CUE}from --> to 12:30\n".encode(), report, WIDE, "karaoke")
    assert [word for word, _ in words_of(scenario)[0]] == ["from", "-->", "to", "12:30"]
    assert report.warnings == ()


@pytest.mark.parametrize(
    "raw",
    [
        b'{"cues": []}',
        b'{"version": "2.0", "cues": [{"text": "00:00:01,000 --> 00:00:02,000"}]}',
        b"[]",
        b"",
        b"{",
        b"[1]",
    ],
)
def test_a_scenario_is_no_transcript(raw: bytes) -> None:
    assert not is_subtitles(raw)
    assert as_scenario(raw, Report("s"), WIDE, "karaoke") is raw


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (
            {"results": [{"alternatives": [{"words": [{"word": "a", "startTime": {"seconds": 10**400}}]}]}]},
            "holds no words. words[0].start",
        ),
        ({"segments": [1]}, "segments[0]: must be an object"),
        ({"segments": [{"text": "a"}]}, "holds no words. segments[0]: has no time"),
        ({"segments": []}, "holds no words"),
        ({"transcription": [{"text": "a", "offsets": {"from": "x"}}]}, "no words. transcription[0].offsets.from"),
        ({"results": {"items": [None]}}, "results.items[0]: must be an object"),
        ("WEBVTT\n\n", "holds no captions"),
        ("1\n00:00:01,000 --> 00:00:02,000\n\n", "holds no captions"),
    ],
    ids=str,
)
def test_what_cannot_be_read_is_refused_with_its_place(raw: Any, message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        subtitle_scenario(encoded(raw), Report("talk"), WIDE, "karaoke")
    assert caught.value.message.startswith("talk")
    assert message in caught.value.message


def _segments(*segments: Any) -> dict[str, Any]:
    return {"segments": [{"text": "before", "start": 0, "end": 1}, *segments]}


@pytest.mark.parametrize(
    ("raw", "shown", "told"),
    [
        (_segments({"text": "a", "start": 2, "end": 1e308}), [("a", 2)], "segments[1].end: '1e+308' is no time"),
        (_segments({"text": "a", "start": 2, "end": 10**400}), [("a", 2)], "segments[1].end: '1000"),
        (_segments({"text": "a", "start": "soon", "end": 3}), [("a", 1)], "segments[1].start: 'soon' is no time"),
        (_segments({"text": "a", "start": "soon"}), [], "segments[1]: has no time, and was left out with its words"),
        (
            _segments({"start": 2, "end": 3, "words": [{"word": "a", "start": True}]}),
            [("a", 2)],
            "segments[1].words[0].start: 'True' is no time",
        ),
        (
            {"words": [{"word": "before", "start": 0, "end": 1}, {"word": "a", "start": 2, "end": 10**400}]},
            [("a", 2)],
            "words[1].end: '1000",
        ),
    ],
    ids=str,
)
def test_a_time_of_a_transcript_that_is_none_costs_no_other_caption(raw: Any, shown: Any, told: str) -> None:
    report = Report("talk")
    scenario = subtitle_scenario(encoded(raw), report, WIDE, "karaoke")
    spoken = [(word, start) for words in words_of(scenario) for word, (start, _) in words]
    assert spoken == [("before", 0), *shown]
    assert any(told in line for line in report.warnings)


@pytest.mark.parametrize("picture", [WIDE, UPRIGHT, Picture(1080, 1080), Picture(640, 360)])
@pytest.mark.parametrize("look", ["plain", "karaoke", "pop", "loud"])
def test_every_look_is_a_valid_scenario_in_two_lines_at_a_time(picture: Picture, look: Any) -> None:
    long = " ".join(f"word{index}" for index in range(60))
    raw = f"1\n00:00:01,000 --> 00:00:31,000\n{long}\n".encode()
    scenario = prepare(
        subtitle_scenario(raw, Report("talk"), picture, look),
        duration=40,
        known_plugins={"cwi-color": {}, "cwi-bouncing": {}, "cwi-loud": {}},
        unknown_plugins="fail",
        picture=picture,
    )
    assert scenario.warnings == ()
    spans = [(cue.start, cue.end) for cue in scenario.cues]
    assert spans[0][0] == 1
    assert spans[-1][1] == 31
    assert all(before[1] == after[0] for before, after in pairwise(spans))
    for cue in scenario.data["cues"]:
        lines = cue["root"]["children"][0]["children"]
        assert len(lines[0]["text"].split("\n") if look == "plain" else lines) <= 2


def test_lines_stay_as_their_author_broke_them_where_they_fit() -> None:
    raw = b"1\n00:00:01,000 --> 00:00:03,000\nshort\nand then a longer line of words\n"
    scenario = subtitle_scenario(raw, Report("talk"), WIDE, "plain")
    (text,) = scenario["cues"][0]["root"]["children"][0]["children"]
    assert text["text"] == "short\nand then a longer line of words"


def test_lines_of_a_transcript_stay_too() -> None:
    raw = encoded({"events": [{"tStartMs": 1000, "dDurationMs": 2000, "segs": [{"utf8": "as people\nwrite"}]}]})
    assert lines_of(subtitle_scenario(raw, Report("talk"), WIDE, "plain")) == [[["as people\nwrite"]]]


def test_lines_with_times_of_words_stay_too_and_what_is_written_together_stays_so() -> None:
    cue = "こん<00:01.400>にち<00:01.800><c>は</c>\nand <00:02.200>so <00:02.400>on"
    scenario = subtitle_scenario(f"WEBVTT\n\n00:01.000 --> 00:03.000\n{cue}\n".encode(), Report("x"), WIDE, "karaoke")
    assert lines_of(scenario) == [[["こん", "にち", "は"], ["and ", "so ", "on"]]]


def of_tokens(*tokens: tuple[bytes, int, int], text: str = "") -> bytes:
    """Return a transcript of whisper.cpp, whose tokens are bytes, from and to so many milliseconds."""
    form = b'{"text": "%b", "offsets": {"from": %d, "to": %d}, "p": 0.9}'
    entry = b'{"text": "%b", "offsets": {"from": 0, "to": 3000}, "tokens": [%b]}'
    return b'{"transcription": [' + entry % (text.encode(), b",".join(form % token for token in tokens)) + b"]}"


def test_letters_that_whisper_cpp_splits_over_tokens_are_put_together() -> None:
    last = " 꿱!".encode()
    tokens = [(" 안".encode(), 0, 300), ("녕".encode(), 300, 600), (last[:2], 600, 900), (last[2:3], 900, 1200)]
    tokens.append((last[3:], 1200, 1500))
    report = Report("talk")
    (cue,) = subtitle_scenario(of_tokens(*tokens, text=" 안녕 꿱!"), report, WIDE, "karaoke")["cues"]
    words = [(node["text"], node["baseTime"]) for node in cue["root"]["children"][0]["children"][0]["children"]]
    assert words == [("안녕 ", [0, 0.6]), ("꿱!", [0.6, 1.5])]
    each = b",".join(b'{"text": "%b", "offsets": {"from": %d, "to": %d}}' % token for token in tokens)
    apart = subtitle_scenario(b'{"transcription": [' + each + b"]}", report, WIDE, "karaoke")
    assert lines_of(apart) == [[["안", "녕 ", "꿱", "!"]]]
    assert report.findings == ()


@pytest.mark.parametrize("broken", [b" \xea", b" \xc2", b" \xff", b" \\ud800"])
def test_a_letter_that_is_broken_in_a_token_is_broken_alone(broken: bytes) -> None:
    tokens = [(word, place * 100, place * 100 + 100) for place, word in enumerate((b" a", broken, b" bb", b" cc"))]
    tokens += [(" 안".encode()[:-1], 400, 500), ("안".encode()[-1:], 500, 600)]
    (cue,) = subtitle_scenario(of_tokens(*tokens, text=" a \ufffd bb cc 안"), Report("talk"), WIDE, "karaoke")["cues"]
    words = [(node["text"], node["baseTime"]) for node in cue["root"]["children"][0]["children"][0]["children"]]
    assert words == [
        ("a ", [0, 0.1]), ("\ufffd ", [0.1, 0.2]), ("bb ", [0.2, 0.3]), ("cc ", [0.3, 0.4]), ("안", [0.4, 0.6]),
    ]  # fmt: skip


def test_letters_that_whisper_cpp_splits_over_entries_are_put_together() -> None:
    said = "안녕".encode()
    first, second = b" hello there " + said[:4], said[4:] + b" you now"
    form = b'{"offsets": {"from": %d, "to": %d}, "text": "%b"%b}'

    def read(*tokens: bytes) -> list[list[list[str]]]:
        entries = [form % (0, 300, first, tokens[0]), form % (300, 600, second, tokens[1])]
        report = Report("talk")
        scenario = subtitle_scenario(b'{"transcription": [%b]}' % b",".join(entries), report, WIDE, "karaoke")
        assert report.findings == ()
        return lines_of(scenario)

    whole = [[["hello ", "there ", "안녕"]], [["you ", "now"]]]
    assert read(b"", b"") == whole
    token = b'{"text": "%b", "offsets": {"from": %d, "to": %d}}'
    firsts = (b" hello", 0, 100), (b" there", 100, 200), (b" " + said[:4], 200, 300), (b"[_TT_15]", 300, 300)
    seconds = (b"[_BEG_]", 300, 300), (said[4:], 300, 400), (b" you", 400, 500), (b" now", 500, 600)
    assert read(*(b', "tokens": [%b]' % b",".join(token % one for one in part) for part in (firsts, seconds))) == whole


def test_letters_that_never_end_cost_no_more_than_they_are_long() -> None:
    count = 50_000
    raw = of_tokens(*[(b"\x95\x88 \xec", place, place + 1) for place in range(count)], text="안 " * count)
    found: list[Any] = []
    assert least_seconds(lambda: found.extend(read_transcript(raw, Report("talk"))), 10) < 10
    assert len(found[0].words) == count


def test_letters_that_are_lost_in_tokens_are_those_of_the_text() -> None:
    lost = "\ufffd".encode()
    report = Report("talk")
    raw = of_tokens((" 안".encode(), 0, 300), (b" " + lost, 300, 600), (lost, 600, 900), text=" 안 꿱")
    assert lines_of(subtitle_scenario(raw, report, WIDE, "karaoke")) == [[["안 ", "꿱"]]]
    assert report.findings == ()
    raw = of_tokens(("今".encode(), 0, 300), ("日".encode() + lost, 300, 600), (lost, 600, 900), text="今日は")
    assert lines_of(subtitle_scenario(raw, report, WIDE, "karaoke")) == [[["今日は"]]]
    assert [finding.kind for finding in report.findings] == ["word time"]


def test_json_that_is_no_utf_8_is_a_transcript_of_whisper_cpp_or_none() -> None:
    assert not is_subtitles(b'{"segments": [{"start": 0, "end": 1, "text": "\xea"}]}')


def test_channels_of_amazon_transcribe_are_speakers() -> None:
    said = [("Hello", "0.1", "0.5", "ch_0"), ("Hey", "0.6", "0.9", "ch_1")]
    items = [{"type": "pronunciation", "start_time": start, "end_time": end, "channel_label": channel,
              "alternatives": [{"content": word}]} for word, start, end, channel in said]  # fmt: skip
    cues = subtitle_scenario(encoded({"results": {"items": items}}), Report("talk"), WIDE, "plain")["cues"]
    assert [cue["speaker"] for cue in cues] == ["ch_0", "ch_1"]


def test_right_to_left_words_stand_in_their_order() -> None:
    raw = "1\n00:00:01,000 --> 00:00:03,000\nنزور Seoul Tower سنة 2026!\n".encode()
    scenario = subtitle_scenario(raw, Report("talk"), WIDE, "karaoke")
    (line,) = scenario["cues"][0]["root"]["children"][0]["children"]
    assert [word["text"] for word in line["children"]] == ["\u200f2026!", "سنة ", " Seoul ", "Tower", "نزور "]
    assert [word["baseTime"][0] for word in line["children"]][-1] == 1
    assert prepare(scenario, duration=5, known_plugins={"cwi-color": {}}).warnings == ()


@pytest.mark.parametrize(
    ("said", "words", "plain"),
    [
        ("אני אוהב\niPhone Pro מאוד!", ["מאוד!", " iPhone ", "Pro"], "אני אוהב\n\u200fiPhone Pro מאוד!"),
        ("אני אוהב iPhone\n15 Pro מאוד!", ["מאוד!", " 15 ", "Pro"], "אני אוהב iPhone\n\u200f\u200e15 Pro מאוד!"),
    ],
    ids=["whatever it begins with", "a number goes with the words before it"],
)
def test_a_line_runs_as_its_caption_does(said: str, words: list[str], plain: str) -> None:
    raw = f"{CUE}{said}\n".encode()
    karaoke, still = (subtitle_scenario(raw, Report("talk"), WIDE, look)["cues"][0] for look in ("karaoke", "plain"))
    _, line = karaoke["root"]["children"][0]["children"]
    assert [word["text"] for word in line["children"]] == words
    (text,) = still["root"]["children"][0]["children"]
    assert text["text"] == plain


def test_a_page_runs_as_its_caption_does_whatever_it_begins_with() -> None:
    raw = f"{CUE}שלום {'iPhone ' * 60}\n".encode()
    *_, last = subtitle_scenario(raw, Report("talk"), WIDE, "plain")["cues"]
    (text,) = last["root"]["children"][0]["children"]
    assert all(line.startswith("\u200fiPhone") for line in text["text"].split("\n"))


def test_a_number_after_a_left_to_right_word_stands_right_of_it() -> None:
    raw = "1\n00:00:01,000 --> 00:00:03,000\nקניתי iPhone 15 ב 999 דולר\n".encode()
    scenario = subtitle_scenario(raw, Report("talk"), WIDE, "karaoke")
    (line,) = scenario["cues"][0]["root"]["children"][0]["children"]
    said = [word["text"].strip(" \u200f") for word in line["children"]]
    assert said == ["דולר", "999", "ב", "iPhone", "15", "קניתי"]


def test_words_that_run_against_the_line_stand_in_their_order() -> None:
    raw = f"{CUE}say שלום עולם 15 to you\n".encode()
    (line,) = subtitle_scenario(raw, Report("talk"), WIDE, "pop")["cues"][0]["root"]["children"][0]["children"]
    texts = ["say ", "\u200f15", "עולם ", " שלום ", "to ", "you"]
    assert [node["text"] for node in line["children"]] == texts


@pytest.mark.parametrize(
    ("said", "nodes"),
    [
        ("שלום <u>עולם</u> טוב", [" טוב", "עולם", "שלום "]),
        ("קניתי <u>iPhone</u> 15 היום", [" היום", "iPhone", " 15", "קניתי "]),
        ("<u>שלום 15</u> טוב", [" טוב", "\u200f15", "שלום "]),
    ],
)
def test_the_space_beside_an_underlined_word_is_not_underlined(said: str, nodes: list[str]) -> None:
    (line,) = subtitle_scenario(f"{CUE}{said}\n".encode(), Report("talk"), WIDE, "plain")["cues"][0]["root"][
        "children"
    ][0]["children"]
    assert [node["text"] for node in line["children"]] == nodes


def test_more_than_two_lines_of_different_sayers_stay_lines() -> None:
    raw = "1\n00:00:00,000 --> 00:00:04,000\n- Who is it?\n- Me.\n- And who are you?\n[door]\n"
    cues = subtitle_scenario(raw.encode(), Report("talk"), WIDE, "plain")["cues"]
    texts = [cue["root"]["children"][0]["children"][0]["text"] for cue in cues]
    assert [text.replace("\u200e", "") for text in texts] == ["- Who is it?\n- Me.", "- And who are you?\n[door]"]
    joined = raw.replace("- ", "").replace("[door]", "door")
    (cue,) = subtitle_scenario(joined.encode(), Report("talk"), WIDE, "plain")["cues"]
    assert cue["root"]["children"][0]["children"][0]["text"] == "Who is it? Me. And who are you? door"


def test_a_syllable_that_is_sung_after_its_line_ends_with_it() -> None:
    report = Report("talk")
    scenario = subtitle_scenario(styled("{\\k50}a {\\k100}b {\\k50}c").encode(), report, WIDE, "karaoke")
    (line,) = scenario["cues"][0]["root"]["children"][0]["children"]
    assert [word["baseTime"] for word in line["children"]] == [[7, 7.5], [7.5, 8], [8, 8]]
    assert not prepare(scenario, duration=9, known_plugins={"cwi-color": {}}).warnings


def test_times_that_end_in_frames_are_told() -> None:
    report = Report("talk")
    raw = "1\n00:00:01:12 --> 00:00:02:00\na\n\n2\n00:00:03:05 --> 00:00:04:24\nb\n"
    cues = subtitle_scenario(raw.encode(), report, WIDE, "plain")["cues"]
    assert [cue["root"]["displayTime"] for cue in cues] == [[1.48, 2], [3.2, 4.96]]
    assert report.warnings == ("talk: times end in frames, which were taken to be 25 a second",)
