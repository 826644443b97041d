"""What becomes of every kind of source: rate, frames, what is black or held, and what is said. Nothing is rendered."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from ecg_api.options import Options
from ecg_renderer.media.placing import presentation_zero
from ecg_renderer.planning import output_grid
from plan_facts import a_source
from sources import CODECS, SOURCES, marked, planned

AT_30 = {"rate": "30", "frames": 60, "lead": 0, "start": 0.0, "said": ""}
RAISED = "so that captions move; set options.fps"
TABLE: dict[str, dict[str, Any]] = {
    "ordinary": {},
    "late picture": {"frames": 87, "lead": 27, "said": "comes after 0.90 s; until then the result is black"},
    "late picture, mkv": {"frames": 87, "lead": 27, "start": 0.021, "said": "after 0.92 s"},
    "late picture, ts": {"frames": 87, "lead": 27, "start": 0.0213, "said": "after 0.92 s"},
    "late picture between two frames": {"frames": 87, "lead": 27, "start": 0.01, "said": "after 0.91 s"},
    "a little late picture": {"start": 0.2},
    "late sound": {"frames": 87},
    "all late": {"frames": 120, "lead": 60, "said": "after 2.00 s"},
    "a part of a long recording": {"start": 0.021},
    "edit list": {"frames": 39},
    "begins within a group": {"frames": 40, "start": 0.3253},
    "ts": {"start": 0.0213},
    "held last picture": {},
    "longer sound": {},
    "longer sound, mkv": {"start": 0.021},
    "longer sound, in fragments": {"frames": 61},
    "longer sound, no lengths": {"start": 0.014},
    "a little longer sound": {"frames": 30},
    "shorter sound": {},
    "one picture": {"said": "is one picture; the result has 30 frames per second; set options.fps"},
    "one picture, silent": {"frames": 1},
    "slides": {"rate": "24", "frames": 96, "said": f"has 0.5 pictures a second; the result has 24, {RAISED}"},
    "gif": {"said": f"has 10 pictures a second; the result has 30, {RAISED}"},
    "12 a second, apng": {"rate": "24", "frames": 48, "said": "has 12 pictures a second; the result has 24, so that"},
    "gif with a held end": {"said": RAISED},
    "10 a second": {"said": RAISED},
    "12.5 a second": {"rate": "25", "frames": 50, "said": RAISED},
    "7.5 a second, ntsc": {"rate": "30000/1001", "said": RAISED},
    "15 a second": {"rate": "15", "frames": 30},
    "avi with gaps": {"rate": "24", "frames": 46, "said": "come at a variable rate"},
    "avi with gaps, piped": {"rate": "24", "frames": 46, "said": "come at a variable rate"},
    "avi with b-frames": {},
    "avi with a gap of a tick": {"frames": 61, "said": "come at a variable rate; the result has a constant 30 f"},
    "realmedia, piped": {"frames": 30},
    "interlaced": {"rate": "25", "frames": 50, "start": 0.01, "said": "its pictures are two fields each"},
    "interlaced, dv": {"rate": "25", "frames": 25, "said": "its pictures are two fields each"},
    "interlaced, mpeg-4 in avi": {"rate": "25", "frames": 25, "said": "its pictures are two fields each"},
    "telecined": {"rate": "30000/1001", "frames": 90, "said": "seems to be a film of 23.976"},
    "size changes, vp8": {"rate": "30000/1001", "frames": 90, "start": 0.014, "said": "at first and 90x160 later"},
    "size changes, h264": {"start": 0.021, "said": "160x90 at first and 90x160 later; those are fitted into the first"},
    "size changes, h264 in mp4": {"start": 0.021, "said": "160x90 at first and 90x160 later"},
    "size changes, mpeg-2": {"rate": "30000/1001", "start": 0.01, "said": "160x90 at first and 96x96 later"},
    "pixels change": {"frames": 61, "start": 0.0213, "said": "160x90 at first and 160x90 with pixels of 2:1 later"},
    "alpha, vp9": {"frames": 30, "said": "what is transparent is shown on black"},
    "alpha, prores": {"frames": 30, "said": "what is transparent is shown on black"},
    "alpha, png": {"frames": 30, "said": "what is transparent is shown on black"},
    "side by side": {"start": 0.021, "said": "pictures are stereoscopic (side by side): captions lie flat over them"},
    "turned on the way": {"start": 0.021, "said": "pictures ask to be turned by 270 degrees"},
    "turned by an odd angle, in header and pictures": {"start": 0.0},
    "colours as their primaries say": {},
    "ts that breaks off": {"start": 0.0213, "said": "file ends in the middle of a packet, 2.00 seconds in"},
    "gif without its end": {"said": "file ends without the mark that ends a GIF, 2.00 seconds in: it may have been"},
    "two video tracks": {"start": 0.021, "said": "rendered that players show (stream 0, 160x90); to render"},
    "second of two video tracks": {"frames": 60, "start": 0.021, "said": "(stream 1, 160x90), for which each segment"},
    "motion jpeg as the second of two": {"start": 0.021, "said": "(stream 1, 160x90), for which each segment"},
    "cover that no mark tells": {"start": 0.021, "said": "that players show (stream 1, 160x90)"},
    "119.88 a second": {"rate": "120000/1001", "frames": 120},
    "raw h264": {"said": "raw stream without times: its pictures are shown at 30 a second"},
    "raw mpeg-2": {"rate": "25", "frames": 50, "said": "at 25 a second"},
}  # fmt: skip


@pytest.mark.parametrize("name", TABLE)
def test_a_source_of_this_kind_is_planned(name: str) -> None:
    wanted = AT_30 | TABLE[name]
    found = planned(SOURCES[name]())
    assert (str(found.grid.rate), found.grid.frames, found.grid.lead) == (
        wanted["rate"],
        wanted["frames"],
        wanted["lead"],
    )
    assert float(found.grid.start) == pytest.approx(wanted["start"], abs=0.0001)
    assert wanted["said"] in found.warnings
    assert bool(wanted["said"]) is bool(found.warnings), found.warnings


SOUND = {".webm": "libopus", ".avi": "pcm_s16le", ".ts": "mp2", ".mpg": "mp2", ".mxf": "pcm_s16le", ".asf": "wmav2"}

SILENT = (".y4m", ".ivf")


@pytest.mark.parametrize("name", CODECS)
def test_every_codec_is_read(name: str) -> None:
    suffix, coding = CODECS[name]
    sound = None if suffix in SILENT else 1
    found = planned(marked(1, sound, suffix=suffix, coding=coding, audio=SOUND.get(suffix, "aac")))
    assert (found.grid.rate, found.grid.frames, found.facts.frames, found.warnings) == (30, 30, 30, "")


def test_a_caption_in_the_sounds_last_moments_is_seen() -> None:
    path = SOURCES["a little longer sound"]()
    assert planned(path, captions_end=1.01).grid.frames == 30  # no more than rounding
    assert planned(path, captions_end=1.3).grid.frames == 42


def test_the_rate_that_is_asked_for_is_not_raised() -> None:
    found = planned(SOURCES["10 a second"](), fps=10)
    assert (found.grid.rate, found.grid.frames, found.warnings) == (10, 20, "")


def test_fields_are_left_as_they_are_if_asked() -> None:
    assert "left as they are, as asked" in planned(SOURCES["interlaced"](), deinterlace="off").warnings


SOUNDS = [{"index": 1, "codec": "aac", "channels": 2, "sample_rate": 48000, "start_seconds": "-1/50"}]


@pytest.mark.parametrize(
    ("container", "picture", "sound", "zero"),
    [
        ("mov,mp4,m4a,3gp,3g2,mj2", "9/5", "-1/50", "0"),
        ("mov,mp4,m4a,3gp,3g2,mj2", "9/5", "1", "0"),
        ("mov,mp4,m4a,3gp,3g2,mj2", "-1/2", "0", "-1/2"),
        ("matroska,webm", "9/5", None, "0"),
        ("matroska,webm", "3600", "3599", "3599"),
        ("mpegts", "9/5", "7/5", "7/5"),
        ("mpegts", "7/5", None, "7/5"),
    ],
)
def test_presentation_time_0_is_what_a_player_calls_0(
    container: str, picture: str, sound: str | None, zero: str
) -> None:
    sounds = (
        [] if sound is None else [SOUNDS[0] | {"start_seconds": f"{Fraction(sound)}" if "/" in sound else f"{sound}/1"}]
    )
    picture = picture if "/" in picture else f"{picture}/1"
    assert presentation_zero(a_source(container=container, start_seconds=picture, audio=sounds)) == Fraction(zero)


@pytest.mark.parametrize(
    ("rate", "raised"),
    [("14", "28"), ("12", "24"), ("10", "30"), ("8", "24"), ("1", "24"), ("1/5", "24"), ("15", "15"), ("24", "24")],
)
def test_low_rates_become_multiples_of_at_least_24(rate: str, raised: str) -> None:
    grid, _ = output_grid(a_source(rate=rate, frames=10), Options())
    assert (grid.rate, grid.frames) == (Fraction(raised), 10 * Fraction(raised) / Fraction(rate))
