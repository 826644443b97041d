"""TTML, lyrics and MicroDVD become captions with the times, lines and looks that they have there."""

from __future__ import annotations

import pytest

from ecg_renderer.errors import ScenarioError
from ecg_renderer.scenario import Picture, Report
from ecg_renderer.subtitles import as_scenario
from ecg_renderer.subtitles.captions import Caption
from ecg_renderer.subtitles.files import format_of, read_file

TTML = """<?xml version="1.0" encoding="UTF-8"?>
<!-- made by hand -->
<tt xmlns="http://www.w3.org/ns/ttml" xmlns:tts="http://www.w3.org/ns/ttml#styling"
    xmlns:ttp="http://www.w3.org/ns/ttml#parameter" ttp:frameRate="25" ttp:tickRate="10000000">
<body><div>
<p begin="00:00:01.000" end="00:00:02.500">Hello &amp; <span tts:fontStyle="italic">world</span><br/>second line</p>
<p begin="3s" dur="1.5s">a &lt;b&gt; c</p>
<p begin="00:00:05:12" end="00:00:06:00">frames</p>
<p begin="175f" end="7500ms">count</p>
<p begin="80000000t" end="90000000t">ticks</p>
<p><span begin="10s" end="11s">later</span></p>
<p>never</p>
</div></body></tt>"""
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


def test_ttml_is_read_with_every_way_to_write_a_time() -> None:
    captions = read(TTML, "ttml")
    assert said(captions) == [
        (1.0, 2.5, "Hello & world second line"),
        (3.0, 4.5, "a <b> c"),
        (5.48, 6.0, "frames"),
        (7.0, 7.5, "count"),
        (8.0, 9.0, "ticks"),
        (10.0, 11.0, "later"),
    ]
    assert captions[0].line_starts == (3,)
    assert [word.face.italic for word in captions[0].words] == [False, False, True, False, False]


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
        ("<tt><body><p begin='x'>a</p></body></tt>", "is no time", "Export"),
        ("<tt><body><p begin='1s'>a</body></tt>", "mismatched tag", "Export"),
        ("<tt><body/></tt>", "holds no captions", "right file"),
        ("<!DOCTYPE tt><tt><body/></tt>", "defines entities", "DOCTYPE"),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_to_do(text: str, told: str, hint: str) -> None:
    with pytest.raises(ScenarioError, match=told) as caught:
        as_scenario(text.encode(), Report("talk"), Picture(1920, 1080), "karaoke")
    assert hint in caught.value.hint


@pytest.mark.parametrize("text", ["<html><body/></html>", "{not json", "[1, 2]", "[note] text", "plain"])
def test_what_is_none_of_them_is_not_taken_for_one(text: str) -> None:
    assert format_of(text.encode()) == ""
