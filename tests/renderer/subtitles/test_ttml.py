"""TTML becomes captions with the times, lines, looks and places that its own rules give them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cpu_time import least_seconds
from ecg_renderer.errors import ScenarioError
from ecg_renderer.scenario import Report
from ecg_renderer.subtitles.captions import Caption
from ecg_renderer.subtitles.decoding import decoded
from ecg_renderer.subtitles.faces import PLAIN, Face
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


def ttml(body: str, root: str = "", head: str = "") -> str:
    names = 'xmlns:tts="http://www.w3.org/ns/ttml#styling" xmlns:ttm="http://www.w3.org/ns/ttml#metadata"'
    head = f"<head>{head}</head>" if head else ""
    return f'<tt xmlns="http://www.w3.org/ns/ttml" {names} {root}>{head}\n<body>\n{body}</body></tt>'


def styled(styling: str, layout: str = "") -> str:
    return f"<styling>{styling}</styling><layout>{layout}</layout>"


def read(text: str) -> list[Caption]:
    assert format_of(text.encode()) == "ttml"
    return read_file(text, "ttml", Report("talk"))


def said(captions: list[Caption]) -> list[tuple[float, float, str]]:
    return [(one.start, one.end, " ".join(word.text for word in one.words)) for one in captions]


def told(text: str) -> list[str]:
    report = Report("talk")
    read_file(text, "ttml", report)
    return [f"{finding.path} {finding.problem}" for finding in report.findings]


def faces(caption: Caption) -> list[Face]:
    return [replace(word.face, colour=word.face.colour or caption.colour) for word in caption.words]


def test_ttml_is_read_with_every_way_to_write_a_time() -> None:
    captions = read(TTML)
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


def test_times_of_ttml_count_from_what_they_stand_in_and_end_with_it() -> None:
    body = '<div begin="10s" end="20s"><p begin="1s" end="3s">Hello</p><p>inherited</p><p begin="8s" dur="5s">cut</p>'
    spans = '<p><span begin="2s" end="4s">of</span> <span begin="5s" dur="1s">spans</span></p></div>'
    captions = read(ttml(body + spans))
    assert sorted(said(captions)) == [
        (10.0, 20.0, "inherited"),
        (11.0, 13.0, "Hello"),
        (12.0, 14.0, "of"),
        (15.0, 16.0, "spans"),
        (18.0, 20.0, "cut"),
    ]


def test_paragraphs_of_ttml_that_nobody_sees_are_told_with_their_lines() -> None:
    body = '<p begin="1s" end="2s">a</p>\n<p>never</p>\n<div end="5s"><p begin="6s" end="7s">late</p></div><p> </p>'
    assert told(ttml(body)) == [
        "line 4 the paragraph says no time, and was left out",
        "line 5 the paragraph lies outside of the times of what it stands in, and was left out",
    ]


def test_a_paragraph_in_a_paragraph_is_a_part_of_it_however_deep_they_nest() -> None:
    depth = 20_000
    text = ttml("<p begin='1s' end='2s'>a " + "<p>b " * depth + "</p>" * depth + "</p>")
    found: list[Any] = []
    assert least_seconds(lambda: found.extend(read(text)), 10) < 10
    assert len(found[0].words) == depth + 1


def test_colours_in_colours_cost_no_more_than_they_are_long() -> None:
    depth = 50_000
    text = ttml("<p begin='1s' end='2s'>" + "<span tts:color='red'>" * depth + "a" + "</span>" * depth + "</p>")
    found: list[Any] = []
    assert least_seconds(lambda: found.extend(read(text)), 4) < 4
    assert found[0].colour


@pytest.mark.parametrize(
    ("root", "at", "wrong"),
    [
        ('frameRate="0"', "1f", 'line 1: frameRate is "0"'),
        ('tickRate="0"', "1t", 'line 1: tickRate is "0"'),
        ('frameRateMultiplier="0 1"', "1f", 'line 1: frameRateMultiplier is "0"'),
        ('frameRateMultiplier="1"', "1f", "line 1: frameRateMultiplier is"),
        ('frameRate="nan"', "1f", 'line 1: frameRate is "nan"'),
        ('tickRate="inf"', "1t", 'line 1: tickRate is "inf"'),
    ],
)
def test_rates_of_ttml_that_are_none_are_refused_with_their_line(root: str, at: str, wrong: str) -> None:
    with pytest.raises(ScenarioError, match=wrong):
        read(ttml(f'<p begin="{at}" end="2s">a</p>', root))


@pytest.mark.parametrize(
    ("root", "seconds"),
    [('frameRate="25"', 4.0), ('frameRate="25" subFrameRate="2"', 2.0), ("", 100.0), ('tickRate="50"', 2.0)],
)
def test_a_tick_is_a_frame_where_only_frames_have_a_rate(root: str, seconds: float) -> None:
    [caption] = read(ttml('<p begin="100t" end="200s">a</p>', root))
    assert caption.start == seconds


def test_metadata_is_not_said_and_a_backslash_is_one() -> None:
    body = '<p begin="1s" end="2s"><ttm:desc>never <p>said</p></ttm:desc>C:\\New C:\\new {\\an8}<br/>two</p>'
    [caption] = read(ttml(body))
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
    assert said(read(head + ttml('<p begin="1s" end="2s">a</p>'))) == [(1.0, 2.0, "a")]


@pytest.mark.parametrize(
    "quoted", ["<!-- 00:00:01,000 --> 00:00:02,000 -->", "<!--\n[Events]\n-->", "<!-- <!DOCTYPE -->"], ids=str
)
def test_ttml_that_quotes_other_files_is_still_ttml(quoted: str) -> None:
    assert said(read(ttml(f'{quoted}<p begin="1s" end="2s">a</p>'))) == [(1.0, 2.0, "a")]


def test_ttml_in_the_encoding_that_it_declares_is_no_guess() -> None:
    line = "Zażółć gęślą jaźń"
    text = '<?xml version="1.0" encoding="ISO-8859-2"?>' + ttml(f'<p begin="1s" end="2s">{line}</p>')
    report = Report("talk")
    raw = text.encode("iso-8859-2")
    assert said(read_file(decoded(raw, report), format_of(raw), report)) == [(1.0, 2.0, line)]
    assert report.findings == ()


# --- sequences ------------------------------------------------------------------------------------


def test_what_stands_in_a_sequence_begins_when_the_one_before_it_ends() -> None:
    body = """<div timeContainer="seq" begin="10s"><p dur="2s">one</p><p begin="1s" dur="2s">two</p>
    <p begin="500ms" end="2s">three</p><metadata/><div><p begin="1s" end="2s">in</p><p end="3s">it</p></div>
    <p dur="1s">last</p></div><p begin="1s" end="2s">beside</p>"""
    assert said(read(ttml(body))) == [
        (1.0, 2.0, "beside"),
        (10.0, 12.0, "one"),
        (13.0, 15.0, "two"),
        (15.5, 17.0, "three"),
        (17.0, 20.0, "it"),
        (18.0, 19.0, "in"),
        (20.0, 21.0, "last"),
    ]


def test_a_sequence_is_over_with_what_it_stands_in_and_after_what_has_no_end() -> None:
    body = """<div timeContainer="seq" dur="4s"><p dur="3s">one</p>
<p dur="3s">cut</p>
<p dur="1s">late</p></div>
<div timeContainer="seq" begin="20s"><p dur="1s">first</p><p>without an end</p>
<p dur="1s">never</p></div>"""
    captions = read(ttml(body))
    assert said(captions)[:3] == [(0.0, 3.0, "one"), (3.0, 4.0, "cut"), (20.0, 21.0, "first")]
    assert [(one.start, len(one.words)) for one in captions[3:]] == [(21.0, 3)]
    assert told(ttml(body))[:2] == [
        "line 5 the paragraph lies outside of the times of what it stands in, and was left out",
        "line 7 the paragraph follows one that has no end, and was left out",
    ]


def test_sequences_stand_in_sequences() -> None:
    inner = '<div timeContainer="seq"><p dur="1s">a</p><p dur="1s">b</p></div>'
    body = f'<div timeContainer="seq">{inner}{inner}<div begin="1s" dur="5s">{inner}</div><p dur="1s">end</p></div>'
    assert [start for start, _, _ in said(read(ttml(body)))] == [0.0, 1.0, 2.0, 3.0, 5.0, 6.0, 10.0]


def test_spans_of_a_sequence_are_seen_one_after_the_other() -> None:
    body = (
        '<p timeContainer="seq" begin="5s"><span dur="1s">Where to?</span> <span begin="1s" dur="2s">Home.</span></p>'
    )
    assert said(read(ttml(body))) == [(5.0, 6.0, "Where to?"), (7.0, 9.0, "Home.")]


# --- words with times of their own ----------------------------------------------------------------


def times(caption: Caption) -> list[tuple[str, float, float]]:
    return [(word.text, word.start, word.end) for word in caption.words]


def test_spans_that_stay_are_one_caption_with_the_times_of_its_words() -> None:
    body = """<p begin="10s" end="14s"><span>I</span> <span begin="1s">paint</span>
    <span begin="2s" tts:color="lime">this<br/>on</span></p>"""
    [caption] = read(ttml(body))
    assert times(caption) == [
        ("I", 10.0, 11.0),
        ("paint", 11.0, 12.0),
        ("this", 12.0, pytest.approx(13.25)),
        ("on", pytest.approx(13.25), 14.0),
    ]
    assert caption.line_starts == (3,)
    assert [face.colour for face in faces(caption)] == ["", "", "lime", "lime"]


def test_spans_of_one_word_in_a_paragraph_with_times_are_the_times_of_its_words() -> None:
    body = """<p begin="10s" end="14s"><span begin="0s" end="500ms">Sing</span>
    <span begin="1s" end="1.5s">hal</span><span begin="1.5s" end="2s">lelujah</span></p>"""
    [caption] = read(ttml(body))
    assert (caption.start, caption.end) == (10.0, 14.0)
    assert times(caption) == [("Sing", 10.0, 10.5), ("hal", 11.0, 11.5), ("lelujah", 11.5, 12.0)]
    assert [word.joined for word in caption.words] == [False, False, True]


def test_a_span_that_is_never_seen_is_told() -> None:
    body = (
        '<p begin="10s" end="14s"><span begin="1s" end="2s">seen by all</span> <span begin="10s">by nobody</span></p>'
    )
    assert said(read(ttml(body))) == [(11.0, 12.0, "seen by all")]
    assert told(ttml(body)) == [
        "line 3 a part of the paragraph lies outside of the times of what it stands in, and was left out"
    ]


# --- styles ---------------------------------------------------------------------------------------


def test_styles_by_reference_lie_below_what_an_element_says_and_later_ones_above_earlier() -> None:
    styling = """<style xml:id="warm" tts:color="#ff8800" tts:fontStyle="italic"/>
    <style xml:id="cold" style="strong warm" tts:color="#0088ff"/><style xml:id="strong" tts:fontWeight="bold"/>
    <style xml:id="plain" tts:fontStyle="normal" tts:textDecoration="underline"/>"""
    body = """<p begin="1s" end="2s" style="warm">a <span style="cold">b</span> <span style="cold plain">c</span>
    <span style="warm" tts:color="#00ff00">d</span> <span tts:textDecoration="noUnderline lineThrough">e</span></p>"""
    [caption] = read(ttml(body, head=styled(styling)))
    assert faces(caption) == [
        Face("#ff8800", italic=True),
        Face("#0088ff", bold=True, italic=True),
        Face("#0088ff", bold=True, underline=True),
        Face("#00ff00", italic=True),
        Face("#ff8800", italic=True),
    ]


def test_styles_are_inherited_from_region_body_div_and_paragraph() -> None:
    head = styled(
        '<initial tts:fontWeight="bold"/><style xml:id="up" tts:color="#ff0000"/>'
        '<style xml:id="in" tts:color="#00ff00"/>',
        '<region xml:id="r" style="up"><style style="in"/><style tts:fontStyle="italic"/></region>'
        '<region xml:id="own" tts:color="#ffff00"><style style="in"/></region>',
    )
    body = """<div><p begin="1s" end="2s" region="r">a</p><p begin="2s" end="3s" region="own">b</p></div>
    <div region="r" tts:color="#00ffff" tts:fontWeight="normal">
    <p begin="3s" end="4s">c <span tts:color="white">d</span></p></div>"""
    first, second, third = map(faces, read(ttml(body, head=head)))
    assert first == [Face("#00ff00", bold=True, italic=True)]
    assert second == [Face("#ffff00", bold=True)]
    assert third == [Face("#00ffff", italic=True), Face("", italic=True)]


@pytest.mark.parametrize(
    ("styling", "wrong"),
    [
        ('<style xml:id="a" style="a"/>', 'line 3: the style "a" refers to itself'),
        (
            '<style xml:id="a" style="b"/><style xml:id="b" style="c"/><style xml:id="c" style="b"/>',
            '"b" refers to itself',
        ),
        (
            "".join(f'<style xml:id="{n}" style="{n + 1}"/>' for n in range(5000)) + '<style xml:id="a" style="0"/>',
            "chain",
        ),
    ],
)
def test_styles_that_refer_to_themselves_are_refused(styling: str, wrong: str) -> None:
    with pytest.raises(ScenarioError, match=wrong):
        read(ttml('<p begin="1s" end="2s" style="a">a</p>', head=styled(styling)))


def test_styles_and_regions_that_are_not_there_are_told_once() -> None:
    body = '<p begin="1s" end="2s" style="s1" region="r1">a</p><p begin="2s" end="3s" style="s1" region="r1">b</p>'
    assert told(ttml(body)) == [
        'line 3 refers to a style "s1", which is not there',
        'line 3 refers to a region "r1", which is not there',
    ]


def test_styles_of_styles_cost_no_more_than_they_are_long() -> None:
    count = 30_000
    styling = "".join(f'<style xml:id="a{n}" style="{"a0 " * 20 if n else ""}" tts:color="red"/>' for n in range(count))
    every = " ".join(f"a{n}" for n in range(count))
    text = ttml(f'<p begin="1s" end="2s" style="{every}">a</p>', head=styled(styling))
    found: list[Any] = []
    assert least_seconds(lambda: found.extend(read(text)), 10) < 10
    assert found[0].colour == "red"


@pytest.mark.parametrize(
    ("root", "look"),
    [
        (f'tts:extent="{"1" * 20_000}x"', 'tts:origin="0px 1px"'),
        (f'tts:extent="1px {"1" * 20_000} "', 'tts:origin="0px 1px"'),
        ("", f'tts:origin="0% {"1" * 20_000}x"'),
        ("", f'tts:origin="0% {"1" * 20_000}.{"1" * 20_000}"'),
        ("", f'tts:origin="0% {" " * 2_000_000}1%"'),
        ("", f'tts:color="{"r" * 2_000_000}"'),
    ],
    ids=["extent", "extent in two", "origin", "origin with a fraction", "spaces", "colour"],
)
def test_lengths_cost_no_more_than_they_are_long(root: str, look: str) -> None:
    paragraphs = "".join(f'<p begin="{second}s" dur="1s">a</p>' for second in range(1000))
    text = ttml(f"<div {look}>{paragraphs}</div>", root)
    found: list[Any] = []
    assert least_seconds(lambda: found.append(read(text)), 3) < 3
    assert len(found[0]) == 1000


@pytest.mark.parametrize(
    ("root", "at"),
    [
        *(("", at) for at in ("1" * 309 + "s", "9" * 308 + "s", "9" * 306 + ":00:00", "9" * 400 + "s", "20000000000s")),
        ("", "soon"),
        ('frameRate="1e-300" frameRateMultiplier="1e-300 1e300"', "1f"),
    ],
)
def test_what_is_shown_at_no_time_is_left_out_and_told_by_its_line(root: str, at: str) -> None:
    report = Report("talk")
    text = f'<p begin="1s" dur="1s">one</p><p begin="{at}" dur="1s">a <span begin="1s">b</span></p>'
    captions = read_file(ttml(text + '<p begin="3s" dur="1s">two</p>', root), "ttml", report)
    assert said(captions) == [(1.0, 2.0, "one"), (3.0, 4.0, "two")]
    [line] = report.warnings
    assert line.startswith(f'line 3: has begin="{at[:40]}", which is no time: what stands in it was left out')


def test_a_span_and_a_region_at_no_time_cost_nothing_else() -> None:
    report = Report("talk")
    region = '<layout><region xml:id="r" begin="soon"/></layout>'
    text = '<p begin="1s" dur="1s" region="r">one <span begin="soon">b</span> two</p>'
    captions = read_file(ttml(text, head=region), "ttml", report)
    assert said(captions) == [(1.0, 2.0, "one two")]
    assert [line.split(": ")[-1].split(",")[0] for line in report.warnings] == [
        "the region is taken to be there all the time",
        "what stands in it was left out with its words",
    ]


def test_times_since_1970_are_times() -> None:
    assert said(read(ttml('<p begin="447902:11:12" dur="1s">a</p>'))) == [(1612447872.0, 1612447873.0, "a")]


def test_what_is_hidden_or_stands_beside_the_text_is_not_said() -> None:
    styling = '<style xml:id="rt" tts:ruby="text"/>'
    body = """<p begin="1s" end="2s"><span tts:ruby="container"><span tts:ruby="base">漢字</span><span
    style="rt">かんじ</span></span> <span tts:display="none">no <br/>no</span>read<span tts:visibility="hidden"> no
    <span tts:visibility="visible">this</span></span></p>"""
    [caption] = read(ttml(body, head=styled(styling)))
    assert [word.text for word in caption.words] == ["漢字", "read", "this"]


@pytest.mark.parametrize(
    ("region", "place"),
    [
        ('tts:origin="10% 80%" tts:extent="80% 15%" tts:displayAlign="after"', "bottom"),
        ('tts:origin="10% 5%" tts:extent="80% 15%"', "top"),
        ('tts:origin="0% 0%" tts:extent="100% 100%" tts:displayAlign="center"', "middle"),
        ('tts:origin="10% 10%" tts:extent="80% 80%" tts:displayAlign="after"', "bottom"),
        ('tts:displayAlign="before"', "top"),
        ('tts:displayAlign="after"', "bottom"),
        ('tts:origin="100px 40px" tts:extent="600px 100px"', "top"),
        ('tts:origin="2c 12c" tts:extent="28c 3c"', "bottom"),
        ('tts:origin="2c 7c" tts:extent="28c 3c"', "middle"),
        ('tts:position="center bottom" tts:extent="80% 20%"', "bottom"),
        ('tts:position="center" tts:extent="80% 20%" tts:displayAlign="center"', "middle"),
        ('tts:position="50% 0%" tts:extent="80% 20%" tts:displayAlign="after"', "top"),
        ('tts:origin="auto" tts:extent="wide" tts:textAlign="center" tts:displayAlign="after"', "bottom"),
        ('tts:textAlign="center"', "bottom"),
        ('tts:origin="nowhere" tts:displayAlign="before"', "top"),
    ],
)
def test_captions_stand_where_their_region_does(region: str, place: str) -> None:
    head = styled("", f'<region xml:id="r" {region}/>')
    body = '<div region="r"><p begin="1s" end="2s">a</p></div>'
    [caption] = read(ttml(body, root='tts:extent="720px 576px"', head=head))
    assert caption.place == place


def test_a_place_in_pixels_of_a_picture_whose_size_nobody_says_is_below() -> None:
    head = styled("", '<region xml:id="r" tts:origin="100px 600px" tts:extent="900px 100px"/>')
    [caption] = read(ttml('<p begin="1s" end="2s" region="r">a</p>', head=head))
    assert caption.place == "bottom"


def test_colours_with_alpha_are_of_ttml() -> None:
    [caption] = read(ttml('<p begin="1s" end="2s" tts:color="rgba(255, 136, 0, 255)">a</p>'))
    assert caption.colour == "#ff8800ff"


def test_who_speaks_is_named_in_the_head() -> None:
    head = """<metadata><ttm:agent xml:id="a1" type="person"><ttm:name type="full">Mo<!-- --> Lee</ttm:name>
    <ttm:actor agent="x"/></ttm:agent><ttm:title>none</ttm:title></metadata>"""
    body = '<p begin="1s" end="2s" ttm:agent="a1">a</p><div ttm:agent="a2"><p begin="2s" end="3s">b</p></div>'
    captions = read(ttml(body, head=head))
    assert [caption.speaker for caption in captions] == ["Mo Lee", "a2"]


def test_a_preserved_line_end_is_one() -> None:
    body = '<p begin="1s" end="2s" xml:space="preserve">one\ntwo <span xml:space="default">three\nfour</span></p>'
    [caption] = read(ttml(body))
    assert caption.line_starts == (1,)


# --- tapes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("root", "at", "seconds"),
    [
        ('timeBase="smpte" frameRate="24" frameRateMultiplier="1000 1001"', "01:00:00:00", 3603.6),
        (
            'timeBase="smpte" frameRate="30" frameRateMultiplier="1000 1001" dropMode="dropNTSC"',
            "01:00:00:00",
            3599.9964,
        ),
        ('timeBase="smpte" frameRate="30" frameRateMultiplier="1000 1001" dropMode="dropNTSC"', "00:01:00:02", 60.06),
        ('timeBase="smpte" frameRate="30" frameRateMultiplier="1000 1001" dropMode="dropPAL"', "00:02:00:04", 120.12),
        ('timeBase="media" frameRate="24" frameRateMultiplier="1000 1001"', "01:00:00:12", 3600.5005),
        ('frameRate="25" subFrameRate="4"', "00:00:01:12.2", 1.5),
    ],
)
def test_time_codes_count_frames_and_media_times_seconds(root: str, at: str, seconds: float) -> None:
    [caption] = read(ttml(f'<p begin="{at}" dur="1s">a</p>', root))
    assert caption.start == pytest.approx(seconds, abs=1e-6)


def test_bare_numbers_are_read_as_seconds_and_told() -> None:
    body = '<p begin="12.5" end="14">a</p>'
    assert said(read(ttml(body))) == [(12.5, 14.0, "a")]
    assert told(ttml(body)) == ['line 3 begin="12.5" has no unit: this and all like it were read as seconds']


def test_captions_are_seen_while_their_region_is_there() -> None:
    layout = '<region xml:id="late" begin="2s" end="8s"/><region xml:id="short" begin="1s" dur="2s"/>'
    body = """<div region="late"><p begin="1s" end="4s">a</p><p begin="5s" end="9s">b <span begin="2s">c</span></p>
    <p begin="8s" end="9s">d</p></div><p region="short" begin="2s">e</p><p region="short" begin="0s" end="1s">f</p>"""
    head = styled("", layout)
    assert said(read(ttml(body, head=head))) == [(2.0, 4.0, "a"), (2.0, 3.0, "e"), (5.0, 8.0, "b c")]
    wrong = "the paragraph lies outside of the times of its region, and was left out"
    assert [line for line in told(ttml(body, head=head)) if "region" in line] == [f"line 4 {wrong}"] * 2


def test_a_look_that_changes_by_itself_is_told() -> None:
    body = '<p begin="1s" end="2s">a<set begin="0.5s" tts:color="red"/><animate tts:opacity="0;1"/></p>'
    assert said(read(ttml(body))) == [(1.0, 2.0, "a")]
    assert [line.split(",")[0] for line in told(ttml(body))] == [
        "line 3 changes what it stands in by <set>",
        "line 3 changes what it stands in by <animate>",
    ]


def test_captions_that_are_pictures_are_refused_as_such() -> None:
    body = '<div xmlns:smpte="urn:smpte" begin="1s" end="2s" smpte:backgroundImage="a.png"/>'
    with pytest.raises(ScenarioError, match="has its captions as pictures"):
        read(ttml(body))


def test_times_of_day_are_refused() -> None:
    with pytest.raises(ScenarioError, match="those of a day"):
        read(ttml('<p begin="12:00:00" dur="1s">a</p>', 'timeBase="clock"'))


# --- files as others write them -------------------------------------------------------------------

BROADCAST = """<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<tt:tt xmlns:tt="http://www.w3.org/ns/ttml" xmlns:ttp="http://www.w3.org/ns/ttml#parameter"
 xmlns:tts="http://www.w3.org/ns/ttml#styling" xmlns:ebuttm="urn:ebu:tt:metadata" xmlns:ebutts="urn:ebu:tt:style"
 ttp:cellResolution="50 30" ttp:timeBase="media" xml:lang="de">
 <tt:head>
  <tt:metadata><ebuttm:documentMetadata><ebuttm:documentEbuttVersion>v1.0</ebuttm:documentEbuttVersion>
  </ebuttm:documentMetadata></tt:metadata>
  <tt:styling>
   <tt:style xml:id="defaultStyle" tts:fontFamily="Verdana,Arial" tts:fontSize="160%" tts:lineHeight="125%"/>
   <tt:style xml:id="textWhite" tts:color="#ffffff" tts:backgroundColor="#000000c2"/>
   <tt:style xml:id="textYellow" tts:color="#ffff00" tts:backgroundColor="#000000c2"/>
   <tt:style xml:id="textCenter" tts:textAlign="center"/>
  </tt:styling>
  <tt:layout>
   <tt:region xml:id="bottom" tts:displayAlign="after" tts:origin="10% 10%" tts:extent="80% 80%"/>
   <tt:region xml:id="top" tts:displayAlign="before" tts:origin="10% 10%" tts:extent="80% 80%"/>
  </tt:layout>
 </tt:head>
 <tt:body>
  <tt:div style="defaultStyle">
   <tt:p xml:id="sub1" style="textCenter" region="bottom" begin="00:00:00.560" end="00:00:02.480">
    <tt:span style="textYellow">Guten Abend,</tt:span><tt:br/>
    <tt:span style="textYellow">meine Damen.</tt:span></tt:p>
   <tt:p xml:id="sub2" style="textCenter" region="top" begin="00:00:02.480" end="00:00:04.000">
    <tt:span style="textWhite">Und jetzt:</tt:span> <tt:span style="textYellow">Wetter</tt:span></tt:p>
  </tt:div>
 </tt:body>
</tt:tt>"""

STREAMED = """<?xml version="1.0" encoding="utf-8"?>
<tt xmlns="http://www.w3.org/ns/ttml" xmlns:ttm="http://www.w3.org/ns/ttml#metadata" xml:lang="ja" ttp:version="2"
 xmlns:ttp="http://www.w3.org/ns/ttml#parameter" xmlns:tts="http://www.w3.org/ns/ttml#styling"
 ttp:tickRate="10000000" ttp:timeBase="media" tts:extent="1280px 720px">
<head><styling><initial tts:backgroundColor="transparent"/>
<style xml:id="style0" tts:fontStyle="italic" style="style1"/><style xml:id="style1" tts:color="white"/>
<style xml:id="ruby" tts:ruby="container" tts:rubyPosition="outside"/><style xml:id="rt" tts:ruby="text"/>
<style xml:id="rb" tts:ruby="base"/></styling>
<layout><region tts:displayAlign="before" tts:extent="80.00% 80.00%" tts:origin="10.00% 10.00%" xml:id="region0"/>
<region tts:displayAlign="after" tts:extent="80.00% 80.00%" tts:position="center bottom" xml:id="region1"/></layout>
</head><body style="style1"><div xml:space="preserve"><p begin="5005000t" end="20020000t" region="region0"
 xml:id="subtitle0"><span style="style0">東京</span><br/>へ</p><p begin="25025000t" end="40040000t" region="region1"
 xml:id="subtitle1"><span style="ruby"><span style="rb">鯛</span><span style="rt">たい</span></span>だ</p></div></body>
</tt>"""

FLASH = """<?xml version="1.0" encoding="UTF-8"?>
<tt xml:lang="en" xmlns="http://www.w3.org/2006/10/ttaf1" xmlns:tts="http://www.w3.org/2006/10/ttaf1#styling">
  <head><styling><style id="b1" tts:color="#FFcc00" tts:fontSize="12"/><style id="2" style="b1" tts:fontWeight="bold"/>
  </styling></head>
  <body><div xml:lang="en" style="b1">
    <p begin="0:00:01.50" dur="00:00:02.00">Old &quot;Flash&quot; players<br />read this</p>
    <p begin="00:00:04.00" end="00:00:05.00" style="2">and that</p>
  </div></body>
</tt>"""

WEB = """<?xml version="1.0" encoding="utf-8" ?>
<tt xml:lang="en" xmlns="http://www.w3.org/ns/ttml" xmlns:ttm="http://www.w3.org/ns/ttml#metadata"
 xmlns:tts="http://www.w3.org/ns/ttml#styling" xmlns:ttp="http://www.w3.org/ns/ttml#parameter"
 ttp:profile="http://www.w3.org/TR/profile/sdp-us" ><head><styling>
<style xml:id="s1" tts:textAlign="center" tts:extent="90% 90%" tts:origin="5% 5%" tts:displayAlign="after"/>
<style xml:id="s2" tts:fontSize=".72c" tts:backgroundColor="black" tts:color="white"/></styling>
<layout><region xml:id="r1" style="s1"/></layout></head>
<body region="r1"><div><p begin="00:00:00.080" end="00:00:01.920" style="s2">it&#39;s me</p></div></body></tt>"""


def test_files_of_broadcasters_are_read() -> None:
    first, second = read(BROADCAST)
    assert said([first, second]) == [(0.56, 2.48, "Guten Abend, meine Damen."), (2.48, 4.0, "Und jetzt: Wetter")]
    assert (first.place, first.colour, first.line_starts) == ("bottom", "#ffff00", (2,))
    assert (second.place, [face.colour for face in faces(second)]) == ("top", ["", "", "#ffff00"])
    assert told(BROADCAST) == []


def test_files_of_streaming_services_are_read() -> None:
    first, second = read(STREAMED)
    assert said([first, second]) == [(0.5005, 2.002, "東京 へ"), (2.5025, 4.004, "鯛だ")]
    assert (first.place, second.place) == ("top", "bottom")
    assert faces(first) == [Face(italic=True), PLAIN]
    assert told(STREAMED) == []


def test_files_of_old_web_players_are_read() -> None:
    first, second = read(FLASH)
    assert said([first, second]) == [(1.5, 3.5, 'Old "Flash" players read this'), (4.0, 5.0, "and that")]
    assert faces(second) == [Face("#ffcc00", bold=True)] * 2
    assert first.colour == "#ffcc00"


def test_files_of_video_sites_are_read() -> None:
    [caption] = read(WEB)
    assert said([caption]) == [(0.08, 1.92, "it's me")]
    assert (caption.place, faces(caption)) == ("bottom", [PLAIN] * 2)
