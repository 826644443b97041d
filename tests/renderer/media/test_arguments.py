"""What FFmpeg is told, as lists."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from ecg_api.plan import SeekPoint
from ecg_renderer.errors import OptionsError
from ecg_renderer.media.arguments import (
    Merge,
    Overlay,
    SegmentEncode,
    merge_arguments,
    movie_timescale,
    segment_arguments,
    still_arguments,
)
from ecg_renderer.media.codecs import x264_crf
from ecg_renderer.media.filters import decimal
from ecg_renderer.model import Box
from plan_facts import a_source

NTSC = Fraction(30000, 1001)
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mpegts,mpeg,avi,flv,asf,ogg,mxf,nut,gif"
OPENED = ["-format_whitelist", FORMATS, "-protocol_whitelist", "file"]
CAPTIONS = ["-f", "nut", "-analyzeduration", "0", "-probesize", "32", "-protocol_whitelist", "file,pipe"]
TAGS = "setparams=colorspace=bt709:range=tv"
OVERLAY = "overlay=alpha=straight:eof_action=repeat:eval=init:format=yuv420:x=320:y=840"


def a_job(source: dict[str, Any] | None = None, **changes: Any) -> SegmentEncode:
    facts = a_source(**(source or {}))
    job: dict[str, Any] = {
        "source": facts,
        "url": "/in/clip.mp4",
        "start": 0,
        "end": 100,
        "rate": facts.exact_rate,
        "width": 1920,
        "height": 1080,
        "quality": 60,
        "preset": "veryfast",
        "encoder": "x264",
        "output": Path("/out/0.mp4"),
    }
    return SegmentEncode(**job | changes)


def graph(job: SegmentEncode) -> str:
    arguments = segment_arguments(job)
    return arguments[arguments.index("-filter_complex") + 1]


def option(arguments: list[str], name: str) -> str:
    return arguments[arguments.index(f"-{name}") + 1]


def test_a_segment_from_the_start_decodes_overlays_and_encodes_in_one_pass() -> None:
    overlay = Overlay(Box(320, 840, 1280, 160), "pipe:0")
    assert segment_arguments(a_job({"transfer": "bt709"}, overlay=overlay)) == [
        *(*OPENED, "-i", "file:/in/clip.mp4"),
        *(*CAPTIONS, "-i", "pipe:0"),
        "-filter_complex",
        f"[0:V:0]fps=fps=30/1:round=near:start_time=0.000000[s0];"
        f"[s0]{TAGS}[s1];[1:v:0]{TAGS}[s2];[s1][s2]{OVERLAY}[s3]",
        *("-map", "[s3]", "-f", "mp4", "-c:v", "libx264", "-color_range", "tv", "-crf", "23"),
        *("-fps_mode", "passthrough", "-frames:v", "100", "-map_metadata", "-1"),
        *("-movie_timescale", "90000", "-pix_fmt", "yuv420p", "-preset", "veryfast", "-threads", "4"),
        *("file:/out/0.mp4", "-copyts"),
    ]


def test_nvenc_decodes_on_the_gpu_and_encodes_at_constant_quality() -> None:
    overlay = Overlay(Box(320, 840, 1280, 160), "pipe:0")
    job = a_job({"transfer": "bt709"}, overlay=overlay, encoder="nvenc", preset="medium", start=100, end=200)
    assert segment_arguments(job) == [
        *("-format_whitelist", FORMATS, "-hwaccel", "cuda", "-noaccurate_seek", "-protocol_whitelist", "file"),
        *("-seek_timestamp", "1", "-ss", "2.750000", "-i", "file:/in/clip.mp4"),
        *(*CAPTIONS, "-i", "pipe:0"),
        "-filter_complex",
        f"[0:V:0]fps=fps=30/1:round=near:start_time=3.333333[s0];[s0]setpts=N[s1];"
        f"[s1]{TAGS}[s2];[1:v:0]{TAGS}[s3];[s2][s3]{OVERLAY}[s4]",
        *("-map", "[s4]", "-f", "mp4", "-b:v", "0", "-bf", "0", "-c:v", "h264_nvenc", "-color_range", "tv"),
        *("-cq", "26", "-forced-idr", "1", "-fps_mode", "passthrough", "-frames:v", "100", "-g", "60"),
        *("-map_metadata", "-1", "-movie_timescale", "90000", "-pix_fmt", "yuv420p", "-preset", "p4"),
        *("-profile:v", "high", "-rc", "vbr", "-spatial-aq", "1", "-strict_gop", "1", "-tune", "hq"),
        *("file:/out/0.mp4", "-copyts"),
    ]


def test_webm_is_encoded_to_vp9_whose_segments_are_mp4_for_its_exact_clock() -> None:
    arguments = segment_arguments(a_job(encoder="vp9"))
    assert option(arguments, "c:v") == "libvpx-vp9"
    assert [option(arguments, name) for name in ("crf", "b:v", "deadline", "cpu-used", "row-mt", "f")] == [
        *("31", "0", "good", "4", "1", "mp4"),
    ]


@pytest.mark.parametrize(("quality", "crf"), [(10, 34), (30, 30), (60, 23), (80, 18), (90, 16), (100, 14)])
def test_quality_is_a_constant_rate_factor(quality: int, crf: int) -> None:
    assert x264_crf(quality) == crf


@pytest.mark.parametrize(
    ("preset", "nvenc"), [("ultrafast", "p1"), ("veryfast", "p2"), ("medium", "p4"), ("slow", "p5"), ("veryslow", "p7")]
)
def test_presets_have_their_match_in_nvenc(preset: str, nvenc: str) -> None:
    assert option(segment_arguments(a_job(encoder="nvenc", preset=preset)), "preset") == nvenc


def test_nvenc_refuses_ten_bits_it_could_only_drop() -> None:
    with pytest.raises(OptionsError, match="8 bits only, and the source has 10"):
        segment_arguments(a_job({"pixel_format": "yuv420p10le", "bit_depth": 10}, encoder="nvenc"))


GRAPHS = {
    "the same rate and size need no filter but the grid": (
        {},
        {},
        "[0:V:0]fps=fps=30/1:round=near:start_time=0.000000[s0]",
    ),
    "a clock that the rate does not divide gets a finer one": (
        {"time_base": "1/1000"},
        {"rate": NTSC},
        "[0:V:0]settb=1/30000[s0];[s0]fps=fps=30000/1001:round=near:start_time=0.000000[s1]",
    ),
    "a late start is taken off in whole ticks": (
        {"start_seconds": "22001/15000", "rate": NTSC},
        {},
        "[0:V:0]setpts=PTS-132006[s0];[s0]fps=fps=30000/1001:round=near:start_time=0.000000[s1]",
    ),
    "the end of the source is held for what a decoder may keep back": (
        {},
        {"end": 300},
        "[0:V:0]fps=fps=30/1:round=near:start_time=0.000000[s0];[s0]tpad=stop=2:stop_mode=clone[s1]",
    ),
    "another shape is covered by scaling and cropping": (
        {},
        {"width": 1080, "height": 1920},
        "[0:V:0]fps=fps=30/1:round=near:start_time=0.000000[s0];[s0]scale=h=1920:w=3414[s1];"
        "[s1]crop=1080:1920:1166:0[s2];[s2]setsar=1[s3]",
    ),
    "or contained between black bars": (
        {},
        {"width": 1080, "height": 1920, "fit": "contain"},
        "[0:V:0]fps=fps=30/1:round=near:start_time=0.000000[s0];[s0]scale=h=608:w=1080[s1];"
        "[s1]pad=1080:1920:0:656[s2];[s2]setsar=1[s3]",
    ),
    "pixels that are not square are stretched": (
        {"coded_width": 1440, "sample_aspect": "4/3"},
        {},
        "[0:V:0]fps=fps=30/1:round=near:start_time=0.000000[s0];[s0]scale=h=1080:w=1920[s1];[s1]setsar=1[s2]",
    ),
    "FFmpeg has turned the picture already": (
        {"coded_width": 1080, "coded_height": 1920, "rotation": 90},
        {},
        "[0:V:0]fps=fps=30/1:round=near:start_time=0.000000[s0]",
    ),
    "an odd size gets one more row, not a blur": (
        {"height": 1079, "coded_height": 1079},
        {},
        "[0:V:0]fps=fps=30/1:round=near:start_time=0.000000[s0];[s0]pad=1920:1080:0:0[s1];"
        "[s1]fillborders=bottom=2:mode=smear:right=0[s2]",
    ),
    "RGB is converted with the matrix that is then tagged": (
        {"pixel_format": "gbrp"},
        {},
        "[0:V:0]fps=fps=30/1:round=near:start_time=0.000000[s0];[s0]scale=out_color_matrix=bt709:out_range=tv[s1];"
        "[s1]format=yuv420p[s2]",
    ),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_the_graph_has_only_filters_that_are_needed(name: str) -> None:
    source, changes, expected = GRAPHS[name]
    source = {"transfer": "bt709"} | source
    last = len(expected.split(";")) - 1
    assert graph(a_job(source, **changes)) == f"{expected};[s{last}]{TAGS}[s{last + 1}]"


POINTS = [SeekPoint(2.0, 2.0), SeekPoint(25 / 6, 4.0)]
SEEKS = {
    "the beginning": ({}, 0, None),
    "before what an index may leave out": ({}, 100, "2.750000"),
    "on the file's own clock": ({"start_seconds": "7/5"}, 100, "4.150000"),
    "earlier where seeking may miss the key frame": ({"container": "mpegts"}, 600, "9.983333"),
    "at a key frame that packets told": ({"seek_points": POINTS}, 130, "4.166667"),
    "at the one before, if not all was right by then": ({"seek_points": POINTS}, 120, "2.000000"),
    "from the beginning before the first": ({"seek_points": POINTS}, 40, None),
    "or from the beginning": ({"container": "mpegts"}, 100, None),
}


@pytest.mark.parametrize("name", SEEKS)
def test_reading_begins_at(name: str) -> None:
    source, start, expected = SEEKS[name]
    arguments = segment_arguments(a_job(source, start=start, end=start + 10))
    assert (option(arguments, "ss") if "-ss" in arguments else None) == expected


COLOURS = {
    "HD without tags is BT.709": ({}, ["bt709", "bt709", "bt709", "tv"]),
    "SD without tags is BT.601": ({"matrix": "bt601"}, ["smpte170m", "smpte170m", "smpte170m", "tv"]),
    "tags of the source pass on by themselves": (
        {"matrix": "bt2020", "transfer": "smpte2084"},
        [None, None, None, "tv"],
    ),
    "the full range stays": ({"transfer": "bt709", "full_range": True}, [None, None, None, "pc"]),
}


@pytest.mark.parametrize("name", COLOURS)
def test_colour_tags(name: str) -> None:
    source, expected = COLOURS[name]
    arguments = segment_arguments(a_job(source))
    names = ("colorspace", "color_primaries", "color_trc", "color_range")
    assert [option(arguments, name) if f"-{name}" in arguments else None for name in names] == expected


@pytest.mark.parametrize(
    ("source", "overlay", "encoded"),
    [
        ({}, "yuv420", "yuv420p"),
        ({"full_range": True}, "yuv420", "yuvj420p"),
        ({"pixel_format": "yuv422p10le", "bit_depth": 10}, "yuv420p10", "yuv420p10le"),
    ],
)
def test_bits_and_range_of_the_source_are_kept(source: dict[str, Any], overlay: str, encoded: str) -> None:
    job = a_job(source, overlay=Overlay(Box(0, 0, 64, 64), "captions.nut"))
    assert f":format={overlay}:" in graph(job)
    assert option(segment_arguments(job), "pix_fmt") == encoded


def test_a_source_from_the_web_is_certified_and_given_up_after_a_while() -> None:
    arguments = segment_arguments(a_job(url="https://example.org/a.mp4?signature=x"))
    assert option(arguments, "protocol_whitelist") == "https,tls,tcp,httpproxy"
    assert option(arguments, "tls_verify") == "1"
    assert option(arguments, "rw_timeout") == "30000000"
    assert option(arguments, "timeout") == "30000000"
    assert option(arguments, "i") == "https://example.org/a.mp4?signature=x"


@pytest.mark.parametrize("name", ["-rf.mp4", "a:b.mp4", "50%.mp4"])
def test_no_file_name_is_taken_for_something_else(name: str) -> None:
    arguments = segment_arguments(a_job(url=f"/in/{name}"))
    assert option(arguments, "i") == f"file:/in/{name}"


def test_a_still_is_one_frame_in_the_right_colours() -> None:
    arguments = still_arguments(a_job({"matrix": "bt601"}, start=30, output=Path("/out/x.png")))
    assert option(arguments, "filter_complex") == (
        "[0:V:0]fps=fps=30/1:round=near:start_time=1.000000[s0];[s0]setpts=N[s1];"
        "[s1]setparams=color_primaries=smpte170m:color_trc=smpte170m:colorspace=smpte170m:range=tv[s2];"
        "[s2]scale=in_color_matrix=bt601:in_range=tv:out_range=pc[s3];[s3]format=rgb24[s4]"
    )
    assert arguments[-2:] == ["file:/out/x.png", "-copyts"]
    assert option(arguments, "frames:v") == "1"


def a_merge(count: int, **source: Any) -> Merge:
    return Merge(Path("/parts/list"), count, a_source(**source), "/in/clip.mp4", NTSC, "mp4", Path("/out/x.mp4"))


SOUND = [{"index": 1, "codec": "aac", "channels": 2, "sample_rate": 48000, "start_seconds": "0/1"}]


def test_many_segments_are_joined_from_a_list() -> None:
    assert merge_arguments(a_merge(3, audio=SOUND), {1: {"c": "copy"}}) == [
        *("-copyts", "-f", "concat", "-safe", "0", "-auto_convert", "0", "-protocol_whitelist", "file"),
        *("-i", "file:/parts/list", "-protocol_whitelist", "file", "-format_whitelist", FORMATS),
        *("-i", "file:/in/clip.mp4", "-map", "0:v:0", "-map", "1:1", "-map_metadata", "1", "-map_chapters", "1"),
        *("-c:v", "copy", "-movflags", "+faststart", "-movie_timescale", "90000", "-c:a:0", "copy"),
        *("-f", "mp4", "file:/out/x.mp4"),
    ]


def test_one_segment_is_opened_itself() -> None:
    assert "concat" not in merge_arguments(a_merge(1), {})


def test_the_result_begins_with_the_first_picture_or_sound() -> None:
    arguments = merge_arguments(a_merge(1, start_seconds="22/15", audio=[SOUND[0] | {"start_seconds": "7/5"}]), {})
    assert (option(arguments, "itsoffset"), option(arguments, "output_ts_offset")) == ("1.466667", "-1.400000")


@pytest.mark.parametrize("rate", ["24000/1001", "24", "25", "30000/1001", "30", "50", "60000/1001", "60", "15/2"])
def test_a_whole_number_of_frames_is_a_whole_number_of_movie_ticks(rate: str) -> None:
    assert (movie_timescale(Fraction(rate)) / Fraction(rate)).denominator == 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (Fraction(1, 3), "0.333333"),
        (Fraction(2, 3), "0.666667"),
        (Fraction(-7, 5), "-1.400000"),
        (Fraction(5), "5.000000"),
    ],
)
def test_seconds_are_written_in_whole_microseconds(seconds: Fraction, text: str) -> None:
    assert decimal(seconds) == text
