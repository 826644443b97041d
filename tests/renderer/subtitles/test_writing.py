"""Subtitles made of scenarios: other programs read in them what the captions say, when, and who says it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pysubs2
import pytest
import webvtt

from captions import scenario, talk
from ecg_renderer.scenario import Picture, Report, Scenario, prepare
from ecg_renderer.served import known_plugins
from ecg_renderer.subtitles import subtitle_scenario
from ecg_renderer.subtitles.spoken import LINE_COLUMNS, columns, hard_to_read, spoken_of, wrapped, written_subtitles

PICTURE = Picture(1920, 1080)
LONG = "A sentence that is far too long for one line of subtitles on any screen, and for two"


def prepared(data: dict[str, Any] | bytes) -> Scenario:
    return prepare(data, duration=60, known_plugins=known_plugins())


def line(index: int, text: str, start: float, end: float, y: float = 0.9, **cue: object) -> dict[str, Any]:
    words = {"id": f"text-{index}", "eType": "text", "text": text, "displayTime": [start, end]}
    root = {
        "id": f"root-{index}",
        "eType": "group",
        "displayTime": [start, end],
        "layout": {"anchor": "bc", "position": {"x": 0.5, "y": y}},
        "children": [words],
    }
    return {"id": f"cue-{index}", "track": "caption", "domLifetime": [start, end], "root": root, **cue}


def test_word_timed_captions_become_lines_for_every_reader(tmp_path: Path) -> None:
    said = prepared(talk(1.6))
    expected = ["every word moves in", "its own time and"]

    srt = pysubs2.SSAFile.from_string(written_subtitles(said, "srt"), format_="srt")
    assert [(event.start, event.end, event.plaintext) for event in srt] == [
        (0, 800, expected[0]),
        (800, 1600, expected[1]),
    ]
    vtt = webvtt.from_string(written_subtitles(said, "vtt"))
    assert [(caption.start, caption.text, caption.voice) for caption in vtt] == [
        ("00:00:00.000", expected[0], "anna"),
        ("00:00:00.800", expected[1], "anna"),
    ]
    for suffix in ("srt", "vtt", "ass"):
        path = tmp_path / f"words.{suffix}"
        path.write_text(written_subtitles(said, suffix), encoding="utf-8")
        command = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "srt", "-"]
        read = subprocess.run(command, capture_output=True, text=True, check=True)
        assert read.stderr == ""
        assert read.stdout.count("-->") == 2


def test_ass_has_the_times_and_colours_of_words() -> None:
    ass = pysubs2.SSAFile.from_string(written_subtitles(prepared(talk(0.8)), "ass", PICTURE), format_="ass")
    (event,) = ass.events
    assert event.name == "anna"
    assert event.plaintext == "every word moves in"
    # Four words of 0.2 s each, in the palette's colour: #ffcc00, with blue first as ASS writes it. "moves" has a plugin
    # that colours nothing but says who speaks.
    assert event.text.count("\\k20") == 4
    assert "\\c&H00CCFF&" in event.text
    assert (ass.info["PlayResX"], ass.info["PlayResY"]) == ("1920", "1080")


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645 world 123", None),
        ("\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd!", None),
        ("\u05e7\u05e0\u05d9\u05ea\u05d9 iPhone 15 Pro \u05d1 999 \u05d3\u05d5\u05dc\u05e8", None),
        ("{\\k50}Ka{\\k50}ra{\\k50}oke {\\k50}now", "Karaoke now"),
        (
            "{\\k30}\u05e9\u05dc{\\k30}\u05d5\u05dd {\\k30}Ka{\\k30}ra {\\k30}now {\\k30}\u05e2\u05d5\u05dc\u05dd",
            "\u05e9\u05dc\u05d5\u05dd Kara now \u05e2\u05d5\u05dc\u05dd",
        ),
    ],
    ids=["arabic", "hebrew", "a number after a name", "syllables", "hebrew syllables"],
)
def test_words_of_any_script_come_back_in_the_order_of_their_reading(text: str, read: str | None) -> None:
    file = pysubs2.SSAFile()
    file.events.append(pysubs2.SSAEvent(start=0, end=2000, text=text))
    said = prepared(subtitle_scenario(file.to_string("ass").encode(), Report("talk.ass"), PICTURE, "karaoke"))
    assert written_subtitles(said, "srt").splitlines()[2] == (read or text)
    (event,) = pysubs2.SSAFile.from_string(written_subtitles(said, "ass"))
    assert event.plaintext == (read or text)


@pytest.mark.parametrize("look", ["plain", "pop"])
@pytest.mark.parametrize(
    "said",
    [
        "אני אוהב <i>את</i> הסרט הזה",
        "<b>مرحبا</b> بكم <i>في هذا</i> البرنامج",
        "שלום <u>עולם</u> טוב",
        "קניתי <u>iPhone</u> 15 היום",
        "<u>שלום</u> עולם <u>טוב Tower</u> x",
        "a <b>word</b> <u>in</u> English",
        "hello <i>שלום</i> world",
        "say <u>שלום</u> עולם 15 <b>to</b> you",
    ],
)
def test_words_with_tags_come_back_in_the_order_of_their_reading(said: str, look: Any) -> None:
    raw = f"1\n00:00:00,000 --> 00:00:02,000\n{said}\n".encode()
    found = prepared(subtitle_scenario(raw, Report("talk.srt"), PICTURE, look))
    read = re.sub("<.*?>", "", said)
    assert written_subtitles(found, "srt").splitlines()[2] == read
    assert written_subtitles(found, "vtt").splitlines()[4] == read
    (event,) = pysubs2.SSAFile.from_string(written_subtitles(found, "ass"))
    assert event.plaintext == read


def test_the_colour_of_a_word_ends_with_it() -> None:
    raw = b'1\n00:00:00,000 --> 00:00:02,000\na <font color="#ff0000">b</font> c\n'
    said = written_subtitles(prepared(subtitle_scenario(raw, Report("talk.srt"), PICTURE, "plain")), "ass")
    assert re.sub(r"\\k\d+", "", said.splitlines()[-1].split(",,")[-1]) == "{}a {\\c&H0000FF&}b {\\c}c"


@pytest.mark.parametrize("gap", [0, 0.01])
def test_nodes_of_a_row_from_right_to_left_are_parted_where_they_are_on_the_picture(gap: float) -> None:
    cue = line(0, "", 0, 3)
    cue["root"]["layout"]["childrenLayout"] = {"gap": gap}
    # As they stand from left to right; the user's nodes run so, and a space at the end is on the right.
    cue["root"]["children"] = [
        {"id": f"w{start}", "eType": "text", "text": text, "baseTime": [start, start + 1]}
        for start, text in ((2, "\u05e2\u05d5\u05dc\u05dd "), (1, "\u05d5\u05dd"), (0, "\u05e9\u05dc"))
    ]
    between = " " if gap else ""
    assert [spoken.text_lines for spoken in spoken_of(prepared(scenario([cue])))] == [
        [f"\u05e9\u05dc{between}\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd"]
    ]


def test_a_file_of_subtitles_comes_back_as_it_went_in() -> None:
    text = "1\n00:00:01,000 --> 00:00:02,500\nFirst & last\n\n2\n00:00:03,000 --> 00:00:04,000\nTwo\nlines\n"
    for look in ("plain", "karaoke", "pop", "loud"):
        data = subtitle_scenario(text.encode(), Report("a.srt"), PICTURE, look)
        assert [event.text.split("\n")[0] for event in spoken_lines(data)]
        again = pysubs2.SSAFile.from_string(written_subtitles(prepared(data), "srt"), format_="srt")
        assert [(event.start, event.end) for event in again] == [(1000, 2500), (3000, 4000)]
        assert [event.plaintext.replace("\n", " ") for event in again] == ["First & last", "Two lines"]


def spoken_lines(data: dict[str, Any]) -> Any:
    return pysubs2.SSAFile.from_string(written_subtitles(prepared(data), "ass"), format_="ass")


def test_hostile_text_cannot_become_markup() -> None:
    said = prepared(scenario([line(0, "{\\pos(1,1)} <b>--> </v> & \\N", 0, 2, speaker="A>B, C\nD")]))
    vtt = webvtt.from_string(written_subtitles(said, "vtt"))
    assert len(vtt) == 1
    assert "<b>" not in written_subtitles(said, "vtt")
    (event,) = pysubs2.SSAFile.from_string(written_subtitles(said, "ass"), format_="ass").events
    assert "{\\pos" not in event.text
    srt = pysubs2.SSAFile.from_string(written_subtitles(said, "srt"), format_="srt")
    assert [event.plaintext for event in srt] == ["\uff5b\\pos(1,1)} \u2039b>→ \u2039/v> & \u29f5N"]


def test_a_text_of_several_lines_is_one_cue_whatever_parts_them() -> None:
    text = "one\r\ntwo\u2028three\x85\n\n4\n"
    said = prepared(scenario([line(0, text, 0, 2), line(1, "next", 2, 3)]))
    (first, second) = webvtt.from_string(written_subtitles(said, "vtt"))
    assert (first.text, second.text) == ("one\ntwo\nthree\n4", "next")
    for written in ("srt", "ass"):
        texts = [event.plaintext for event in pysubs2.SSAFile.from_string(written_subtitles(said, written))]
        assert texts == ["one\ntwo\nthree\n4", "next"]


@pytest.mark.parametrize(("y", "vtt", "ass"), [(0.1, " line:5%", "\\an8"), (0.5, " line:50%,center", "\\an5")])
def test_places_other_than_the_bottom_are_kept(y: float, vtt: str, ass: str) -> None:
    said = prepared(scenario([line(0, "Up here", 0, 2, y)]))
    assert vtt in written_subtitles(said, "vtt")
    assert ass in written_subtitles(said, "ass")


def test_a_silent_scenario_makes_files_that_are_read_all_the_same() -> None:
    said = prepared(scenario([]))
    assert written_subtitles(said, "srt") == ""
    assert webvtt.from_string(written_subtitles(said, "vtt")).captions == []


def test_long_lines_are_broken_between_words_into_equal_parts() -> None:
    parts = wrapped([LONG])
    assert " ".join(parts) == LONG
    assert max(map(columns, parts)) <= LINE_COLUMNS
    assert wrapped(["x" * 60]) == ["x" * 60]
    assert columns("한국어 text") == 11
    assert columns("👩\u200d👩\u200d👧 ที่") == 4


def test_what_people_cannot_read_is_found() -> None:
    found = hard_to_read(
        spoken_of(
            prepared(
                scenario(
                    [
                        line(0, f"{LONG}. {LONG}.", 0, 20),
                        line(1, "So many words in so little time, who reads them", 21, 22),
                        line(2, "One", 23, 25),
                        line(3, "Other", 24, 26),
                        line(4, "x" * 50, 30, 40),
                        line(5, "Elsewhere", 30, 40, 0.1),
                    ]
                )
            )
        )
    )
    kinds = [(finding.kind, finding.path) for finding in found]
    assert kinds == [
        ("long subtitle lines", "cues[0]"),
        ("read too fast", "cues[1]"),
        ("long subtitle lines", "cues[4]"),
        ("subtitles at one time", "cues[3]"),
    ]
