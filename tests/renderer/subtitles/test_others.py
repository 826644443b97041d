"""TTML, lyrics and MicroDVD become captions with the times, lines and looks that they have there."""

from __future__ import annotations

import time

import pytest

from ecg_renderer.errors import ScenarioError
from ecg_renderer.scenario import Picture, Report
from ecg_renderer.subtitles import as_scenario
from ecg_renderer.subtitles.captions import Caption
from ecg_renderer.subtitles.decoding import decoded
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


# --- TTML -----------------------------------------------------------------------------------------


def ttml(body: str, root: str = "") -> str:
    names = 'xmlns:tts="http://www.w3.org/ns/ttml#styling" xmlns:ttm="http://www.w3.org/ns/ttml#metadata"'
    return f'<tt xmlns="http://www.w3.org/ns/ttml" {names} {root}>\n<body>\n{body}</body></tt>'


def told(text: str, kind: str) -> list[str]:
    report = Report("talk")
    read_file(text, kind, report)
    return [f"{finding.path} {finding.problem}" for finding in report.findings]


def test_times_of_ttml_count_from_what_they_stand_in_and_end_with_it() -> None:
    body = '<div begin="10s" end="20s"><p begin="1s" end="3s">Hello</p><p>inherited</p><p begin="8s" dur="5s">cut</p>'
    spans = '<p><span begin="2s" end="4s">of</span> <span begin="5s" dur="1s">spans</span></p></div>'
    captions = read(ttml(body + spans), "ttml")
    assert sorted(said(captions)) == [
        (10.0, 20.0, "inherited"),
        (11.0, 13.0, "Hello"),
        (12.0, 16.0, "of spans"),
        (18.0, 20.0, "cut"),
    ]


def test_paragraphs_of_ttml_that_nobody_sees_are_told_with_their_lines() -> None:
    body = '<p begin="1s" end="2s">a</p>\n<p>never</p>\n<div end="5s"><p begin="6s" end="7s">late</p></div><p> </p>'
    assert told(ttml(body), "ttml") == [
        "line 4 the paragraph says no time, and was left out",
        "line 5 the paragraph lies outside of the times of what it stands in, and was left out",
    ]


def test_a_paragraph_in_a_paragraph_is_a_part_of_it_however_deep_they_nest() -> None:
    depth = 20_000
    text = ttml("<p begin='1s' end='2s'>a " + "<p>b " * depth + "</p>" * depth + "</p>")
    began = time.process_time()
    [caption] = read(text, "ttml")
    assert len(caption.words) == depth + 1
    assert time.process_time() - began < 10


def test_colours_in_colours_cost_no_more_than_they_are_long() -> None:
    depth = 50_000
    text = ttml("<p begin='1s' end='2s'>" + "<span tts:color='red'>" * depth + "a" + "</span>" * depth + "</p>")
    began = time.process_time()
    [caption] = read(text, "ttml")
    assert caption.colour
    assert time.process_time() - began < 4


@pytest.mark.parametrize(
    ("root", "at", "wrong"),
    [
        ('frameRate="0"', "1f", 'line 1: frameRate is "0"'),
        ('tickRate="0"', "1t", 'line 1: tickRate is "0"'),
        ('frameRateMultiplier="0 1"', "1f", 'line 1: frameRateMultiplier is "0"'),
        ('frameRateMultiplier="1"', "1f", "line 1: frameRateMultiplier is"),
        ('frameRate="nan"', "1f", 'line 1: frameRate is "nan"'),
        ('tickRate="inf"', "1t", 'line 1: tickRate is "inf"'),
        ('frameRate="1e-300" frameRateMultiplier="1e-300 1e300"', "1f", 'line 3: begin="1f" is no time'),
        ("", f"{'9' * 400}s", 'line 3: begin="9+" is no time'),
        ("", f"{'9' * 400}:00:00", 'line 3: begin="9+" is no time'),
        ("", "soon", 'line 3: begin="soon" is no time'),
    ],
)
def test_rates_and_times_of_ttml_that_are_none_are_refused_with_their_line(root: str, at: str, wrong: str) -> None:
    with pytest.raises(ScenarioError, match=wrong):
        read(ttml(f'<p begin="{at}" end="2s">a</p>', root), "ttml")


@pytest.mark.parametrize(
    ("root", "seconds"),
    [('frameRate="25"', 4.0), ('frameRate="25" subFrameRate="2"', 2.0), ("", 100.0), ('tickRate="50"', 2.0)],
)
def test_a_tick_is_a_frame_where_only_frames_have_a_rate(root: str, seconds: float) -> None:
    [caption] = read(ttml('<p begin="100t" end="200s">a</p>', root), "ttml")
    assert caption.start == seconds


def test_metadata_is_not_said_and_a_backslash_is_one() -> None:
    body = '<p begin="1s" end="2s"><ttm:desc>never <p>said</p></ttm:desc>C:\\New C:\\new {\\an8}<br/>two</p>'
    [caption] = read(ttml(body), "ttml")
    assert [word.text for word in caption.words] == ["C:\\New", "C:\\new", "{\\an8}", "two"]
    assert (caption.line_starts, caption.place) == ((3,), "bottom")


@pytest.mark.parametrize(
    "head",
    [
        '<?xml version="1.0"?>\n<?xml-stylesheet type="text/xsl" href="a>b.xsl"?>\n',
        "<!-- 00:00:01,000 --> \n",
    ],
)
def test_what_stands_before_ttml_does_not_hide_it(head: str) -> None:
    assert said(read(head + ttml('<p begin="1s" end="2s">a</p>'), "ttml")) == [(1.0, 2.0, "a")]


@pytest.mark.parametrize(
    "quoted", ["<!-- 00:00:01,000 --> 00:00:02,000 -->", "<!--\n[Events]\n-->", "<!-- <!DOCTYPE -->"], ids=str
)
def test_ttml_that_quotes_other_files_is_still_ttml(quoted: str) -> None:
    assert said(read(ttml(f'{quoted}<p begin="1s" end="2s">a</p>'), "ttml")) == [(1.0, 2.0, "a")]


def test_ttml_in_the_encoding_that_it_declares_is_no_guess() -> None:
    line = "Zażółć gęślą jaźń"
    text = '<?xml version="1.0" encoding="ISO-8859-2"?>' + ttml(f'<p begin="1s" end="2s">{line}</p>')
    report = Report("talk")
    raw = text.encode("iso-8859-2")
    assert said(read_file(decoded(raw, report), format_of(raw), report)) == [(1.0, 2.0, line)]
    assert report.findings == ()


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
