"""Lyrics and MicroDVD become captions with the times, lines and looks that they have there."""

from __future__ import annotations

import pytest

from ecg_renderer.errors import ScenarioError
from ecg_renderer.scenario import Picture, Report
from ecg_renderer.subtitles import as_scenario
from ecg_renderer.subtitles.captions import Caption
from ecg_renderer.subtitles.decoding import decoded
from ecg_renderer.subtitles.files import format_of, read_file

LRC = """[ar:Somebody]
[00:01.00]First line
[00:03.50][00:09.00]Chorus
[00:05.00]
[00:06.00] <00:06.00> one <00:06.50> two <00:07.25>
[00:08.00]
"""
MICRODVD = "{1}{1}25\n{25}{50}Hello|there\n{75}{100}{y:i}leaning|{c:$0000ff}upright\n{125}{}open\n"


def read(text: str, kind: str) -> list[Caption]:
    assert format_of(text.encode()) == kind
    return read_file(text, kind, Report("talk"))


def said(captions: list[Caption]) -> list[tuple[float, float, str]]:
    return [(one.start, one.end, " ".join(word.text for word in one.words)) for one in captions]


def told(text: str, kind: str) -> list[str]:
    report = Report("talk")
    read_file(text, kind, report)
    return [f"{finding.path} {finding.problem}" for finding in report.findings]


def test_lyrics_last_until_the_next_line_and_words_have_their_times() -> None:
    captions = read(LRC, "lrc")
    assert said(captions) == [
        (1.0, 3.5, "First line"),
        (3.5, 5.0, "Chorus"),
        (6.0, 8.0, "one two"),
        (9.0, 13.0, "Chorus"),
    ]
    assert [(word.start, word.end) for word in captions[2].words] == [(6.0, 6.5), (6.5, 7.25)]


def test_an_offset_moves_lyrics_to_an_earlier_time() -> None:
    assert said(read("[offset:+500]\n[00:02.00]a <00:02.50>b\n[00:03.00]", "lrc")) == [(1.5, 2.5, "a b")]


def test_frames_of_microdvd_are_those_of_the_rate_in_its_first_line() -> None:
    captions = read(MICRODVD, "microdvd")
    assert said(captions)[:2] == [(1.0, 2.0, "Hello there"), (3.0, 4.0, "leaning upright")]
    assert captions[0].line_starts == (1,)
    assert [word.face.italic for word in captions[1].words] == [True, False]
    assert captions[2].start == 5.0 < captions[2].end


@pytest.mark.parametrize(
    ("text", "told", "hint"),
    [
        ("{25}{50}Hello\n", "does not say how many", "{1}{1}25"),
        ("<tt><body><p begin='x'>a</p></body></tt>", 'no captions. line 1: has begin="x", which is no', "right file"),
        ("<tt><body><p begin='1s'>a</body></tt>", "mismatched tag", "Export"),
        ("<tt><body/></tt>", "holds no captions", "right file"),
        ("<!DOCTYPE tt><tt><body/></tt>", "defines entities", "DOCTYPE"),
        ('<!DOCTYPE tt [<!ENTITY a "b">]>\n<tt><body/></tt>', "defines entities", "DOCTYPE"),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_to_do(text: str, told: str, hint: str) -> None:
    with pytest.raises(ScenarioError, match=told) as caught:
        as_scenario(text.encode(), Report("talk"), Picture(1920, 1080), "karaoke")
    assert hint in caught.value.hint


@pytest.mark.parametrize("text", ["<html><body/></html>", "{not json", "[1, 2]", "[note] text", "plain"])
def test_what_is_none_of_them_is_not_taken_for_one(text: str) -> None:
    assert format_of(text.encode()) == ""


# --- lyrics and MicroDVD --------------------------------------------------------------------------


def test_two_lines_of_lyrics_at_one_time_last_until_the_next_later_one() -> None:
    text = "[00:01.00]original\n[00:01.00]translation\n[00:03.00]next"
    assert said(read(text, "lrc"))[:2] == [(1.0, 3.0, "original"), (1.0, 3.0, "translation")]


def test_lines_of_lyrics_without_a_time_are_told_by_their_numbers() -> None:
    text = "[ar:Somebody]\n\nBegins late\n[00:01.00]said\n[length: 03:20]\nand more"
    assert told(text, "lrc") == [f"line {number} begins with no time, and was left out" for number in (3, 6)]


def test_times_within_a_line_of_lyrics_are_those_of_its_words() -> None:
    [caption] = read("[00:01.00]one [00:01.50]two [00:02.00]three\n[00:03.00]", "lrc")
    assert [(word.text, word.start, word.end) for word in caption.words] == [
        ("one", 1.0, 1.5),
        ("two", 1.5, 2.0),
        ("three", 2.0, 3.0),
    ]
    assert len(read("[00:01.00] [00:05.00]again\n[00:07.00]", "lrc")) == 2


def test_words_of_lyrics_stay_within_their_line_one_after_the_other() -> None:
    [caption] = read("[00:02.00]<00:01.00>a <00:02.80>b <00:02.30>c <00:09.00>d\n[00:03.00]", "lrc")
    assert [(word.start, word.end) for word in caption.words] == [(2.0, 2.8), (2.8, 2.8), (2.8, 3.0), (3.0, 3.0)]


def test_a_line_of_lyrics_with_times_of_words_and_no_words_is_told_as_empty() -> None:
    text = "[00:01.00]<00:01.00><00:01.50>\n[00:02.00]said\n"
    assert told(text, "lrc") == ["caption at 1 s has no text that can be shown, and was left out"]


def test_lyrics_with_line_ends_of_old_macs_are_read() -> None:
    raw = b"[ar:Somebody]\r[00:01.00]one\r[00:02.00]two"
    assert format_of(raw) == "lrc"
    assert len(read_file(decoded(raw, Report("talk")), "lrc", Report("talk"))) == 2


@pytest.mark.parametrize("head", ["", "{DEFAULT}{C:$00ffff}\n", "\n{default}\r\n "])
def test_microdvd_has_a_rate_of_any_number_of_decimals_and_maybe_a_line_before_it(head: str) -> None:
    captions = read(head.replace("\r", "") + "{1}{1}23.976024\n{24}{48}C:\\New <00:01.500> text\n", "microdvd")
    assert captions[0].start == pytest.approx(24 / 23.976024)
    assert captions[0].words[0].text == "C:\\New"
    assert len(captions[0].words) == 3
