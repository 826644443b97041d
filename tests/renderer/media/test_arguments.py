"""What FFmpeg is told where no decoded picture can show it: the filters that are left out, limits, names, GPUs."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from ecg_api.plan import SeekPoint
from ecg_renderer.media.arguments import (
    CellFiles,
    Merge,
    Overlay,
    Pictures,
    merge_arguments,
    movie_timescale,
    segment_arguments,
)
from ecg_renderer.media.codecs import constant_rate_factor
from ecg_renderer.media.filters import decimal
from ecg_renderer.media.placing import seek_before
from ecg_renderer.model import Box, Boxes
from ecg_renderer.planning import output_colour
from plan_facts import a_source, a_target

NTSC = "30000/1001"
GRID = "[0:V:0]fps=fps=30/1:round=near:start_time=0.000000[s0];[s0]setpts=N+32[s1]"
TAGS = "setparams=colorspace=bt709:range=tv"
FILES = CellFiles(Path("/out"), 0, 300)


def pictures(source: dict[str, Any] | None = None, *, start: int = 0, end: int = 100, **changes: Any) -> Pictures:
    facts = a_source(**(source or {}))
    url, overlay = changes.pop("url", "/in/clip.mp4"), changes.pop("overlay", None)
    encoder = changes.get("encoder", "x264")
    colour = dict(output_colour(facts, encoder))
    target = a_target(**{"rate": facts.rate, "frames": facts.frames} | colour | changes)
    seek = seek_before(facts, start, target.exact_rate)
    return Pictures(facts, url, target, start, end, seek, overlay)


def arguments(*given: Any, **changes: Any) -> list[str]:
    return segment_arguments(pictures(*given, **changes), FILES)


def option(words: list[str], name: str) -> str:
    return words[words.index(f"-{name}") + 1]


GRAPHS = {
    "the same rate and size need no filter but the grid": ({}, {}, GRID),
    "a clock that the rate does not divide gets a finer one": (
        {"time_base": "1/1000"},
        {"rate": NTSC},
        "[0:V:0]settb=1/30000[s0];[s0]fps=fps=30000/1001:round=near:start_time=0.000000[s1];[s1]setpts=N+32[s2]",
    ),
    "a late start is taken off in whole ticks": (
        {"start_seconds": "22001/15000", "rate": NTSC},
        {},
        "[0:V:0]setpts=PTS-132006[s0];[s0]fps=fps=30000/1001:round=near:start_time=0.000000[s1];[s1]setpts=N+32[s2]",
    ),
    "the end of the source is held for what a decoder may keep back": (
        {},
        {"end": 300},
        f"{GRID};[s1]tpad=stop=15:stop_mode=clone[s2]",
    ),
    "another shape is covered by scaling and cropping": (
        {},
        {"width": 1080, "height": 1920},
        f"{GRID};[s1]scale=h=1920:w=3414[s2];[s2]crop=1080:1920:1166:0[s3];[s3]setsar=1[s4]",
    ),
    "or contained between black bars": (
        {},
        {"width": 1080, "height": 1920, "fit": "contain"},
        f"{GRID};[s1]scale=h=608:w=1080[s2];[s2]pad=1080:1920:0:656[s3];[s3]setsar=1[s4]",
    ),
    "FFmpeg has turned the picture already": (
        {"coded_width": 1080, "coded_height": 1920, "rotation": 90},
        {},
        GRID,
    ),
    "an odd size gets one more row, not a blur": (
        {"height": 1079, "coded_height": 1079},
        {},
        f"{GRID};[s1]pad=1920:1080:0:0[s2];[s2]fillborders=bottom=2:mode=smear:right=0[s3]",
    ),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_the_graph_has_only_filters_that_are_needed(name: str) -> None:
    source, changes, expected = GRAPHS[name]
    last = len(expected.split(";")) - 1
    graph = option(arguments({"transfer": "bt709"} | source, **changes), "filter_complex")
    assert graph == f"{expected};[s{last}]{TAGS}[s{last + 1}]"


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
    words = arguments(source, start=start, end=start + 10)
    assert (option(words, "ss") if "-ss" in words else None) == expected


def test_the_gpu_decodes_and_encodes_at_constant_quality() -> None:
    words = arguments(overlay=Overlay(Box(320, 840, 1280, 160), "pipe:0"), encoder="nvenc", preset="medium")
    expected = {"hwaccel": "cuda", "c:v": "h264_nvenc", "preset": "p4", "rc": "vbr", "cq": "26", "b:v": "0"}
    assert {name: option(words, name) for name in expected} == expected


def test_parts_that_are_captured_apart_are_cut_out_of_one_picture_and_laid_over_one_by_one() -> None:
    area = Boxes((Box(320, 20, 1280, 160), Box(200, 840, 1400, 200)))
    graph = option(arguments(overlay=Overlay(area, "pipe:0")), "filter_complex")
    assert "split=2" in graph
    assert {"crop=1280:160:0:0", "crop=1400:200:0:160"} <= set(re.findall(r"crop=[0-9:]+", graph))
    assert re.findall(r"x=(\d+):y=(\d+)", graph) == [("320", "20"), ("200", "840")]


def test_ten_bits_go_to_the_gpu_in_the_layout_that_it_takes() -> None:
    words = arguments({"pixel_format": "yuv420p10le", "bit_depth": 10}, encoder="hevc-nvenc")
    assert (option(words, "pix_fmt"), option(words, "tag:v")) == ("p010le", "hvc1")


@pytest.mark.parametrize(("quality", "crf"), [(10, 34), (30, 30), (60, 23), (80, 18), (90, 16), (100, 14)])
def test_quality_is_a_constant_rate_factor(quality: int, crf: int) -> None:
    assert constant_rate_factor(quality) == crf


@pytest.mark.parametrize(
    ("preset", "nvenc"), [("ultrafast", "p1"), ("veryfast", "p2"), ("medium", "p4"), ("slow", "p5"), ("veryslow", "p7")]
)
def test_presets_have_their_match_in_nvenc(preset: str, nvenc: str) -> None:
    assert option(arguments(encoder="nvenc", preset=preset), "preset") == nvenc


def test_every_cell_begins_with_a_key_frame_and_ends_where_the_next_begins() -> None:
    words = segment_arguments(pictures(start=600, end=1300), CellFiles(Path("/out/50%"), 2, 300))
    assert option(words, "segment_frames") == "300,600"
    assert option(words, "force_key_frames") == "expr:not(mod(n,300))"
    assert option(words, "segment_start_number") == "2"
    assert "file:/out/50%%/cell-%d.mp4" in words


def test_a_source_from_the_web_is_certified_and_given_up_after_a_while() -> None:
    words = arguments(url="https://example.org/a.mp4?signature=x")
    assert option(words, "protocol_whitelist") == "https,tls,tcp,httpproxy"
    assert option(words, "tls_verify") == "1"
    assert option(words, "rw_timeout") == "30000000"
    assert option(words, "timeout") == "30000000"
    assert option(words, "i") == "https://example.org/a.mp4?signature=x"


@pytest.mark.parametrize("name", ["-rf.mp4", "a:b.mp4", "50%.mp4"])
def test_no_file_name_is_taken_for_something_else(name: str) -> None:
    assert option(arguments(url=f"/in/{name}"), "i") == f"file:/in/{name}"


SOUND = {"index": 1, "codec": "aac", "channels": 2, "sample_rate": 48000, "start_seconds": "7/5"}


def test_the_result_begins_with_the_first_picture_or_sound() -> None:
    job = Merge(
        a_target(rate=25), a_source(start_seconds="22/15", audio=[SOUND]), "/in/a.mp4", Path("/out/x.mp4"), 1000
    )
    words = merge_arguments(job, {})
    # Cells are timed 32 frames, 1.28 s, late.
    assert (option(words, "itsoffset"), option(words, "output_ts_offset")) == ("0.186667", "-1.400000")


@pytest.mark.parametrize(("packet_bytes", "least", "most"), [(20_000, 64, 256), (1 << 20, 8, 64), (1 << 28, 8, 8)])
def test_pieces_are_joined_neither_at_the_pace_of_naps_nor_in_memory(packet_bytes: int, least: int, most: int) -> None:
    """After so many packets from a pipe FFmpeg may sleep for 10 ms: with its own 8, ten minutes take ten seconds."""
    job = Merge(a_target(), a_source(), "/in/a.mp4", Path("/out/x.mp4"), packet_bytes)
    words = merge_arguments(job, [])
    assert least <= int(option(words[: words.index("-i")], "thread_queue_size")) <= most


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
