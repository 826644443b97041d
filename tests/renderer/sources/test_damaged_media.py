"""Media that is cut, overwritten or lies: facts that can be rendered, or a code and a sentence; never a hang."""

from __future__ import annotations

import asyncio
import random
import time
from fractions import Fraction
from pathlib import Path

import pytest

from captions import render_job, scenario
from clips import Clip, counter, derived, ffmpeg, frames
from ecg_api.failures import FailureCode
from ecg_api.options import Options
from ecg_api.plan import AudioFacts
from ecg_renderer.errors import RenderError, SourceInvalid
from ecg_renderer.media import counting, damage
from ecg_renderer.media import probe as probing
from ecg_renderer.media.damage import damage_words, damaged_pictures
from ecg_renderer.media.endings import early_end
from ecg_renderer.media.process import run_ffmpeg
from ecg_renderer.planning import output_grid
from encodes import probe
from plan_facts import a_source
from renders import rendered
from sources import SOURCES, VP8, X264, cut, cut_off, damaged, joined, marked, planned

MOST_SECONDS = 60  # of one file, on a busy machine


def whole(kind: str) -> bytes:
    makers = {
        "mp4": lambda: cut(".mp4", "-movflags", "+faststart"),
        "ts": lambda: cut(".ts"),
        "mkv": lambda: cut(".mkv"),
        "webm": lambda: joined(".webm", marked(1, 1, suffix=".webm", coding=VP8, audio="libopus"), live=True),
        "flv": lambda: marked(1, 1, suffix=".flv"),
        "ogv": lambda: marked(1, 1, suffix=".ogv", coding=("-c:v", "libtheora"), audio="libvorbis"),
        "gif": SOURCES["gif"],
        "avi": lambda: marked(1, 1, suffix=".avi", coding=("-c:v", "mpeg4"), audio="pcm_s16le"),
    }
    return makers[kind]().read_bytes()


def spoilt(content: bytes, seed: int) -> bytes:
    """Return `content` cut, zeroed, or with wrong bytes in its headers, as `seed` says."""
    chance = random.Random(seed)
    spoilt = bytearray(content)
    way = seed % 3
    if way == 0:
        return content[: chance.randrange(200, len(content))]
    if way == 1:
        for _ in range(4):
            start = chance.randrange(len(content) // 4, len(content) - 600)
            spoilt[start : start + 500] = bytes(500)
    else:
        for _ in range(12):
            spoilt[chance.randrange(min(3000, len(content)))] = chance.randrange(256)
    return bytes(spoilt)


@pytest.mark.parametrize("kind", ["mp4", "ts", "mkv", "webm", "flv", "ogv", "gif", "avi"])
@pytest.mark.parametrize("seed", [0, 4, 202])
def test_it_is_refused_with_a_sentence_or_rendered_with_the_frames_that_were_planned(
    kind: str, seed: int, tmp_path: Path
) -> None:
    path, output = tmp_path / f"spoilt.{kind}", tmp_path / "out.mp4"
    path.write_bytes(spoilt(whole(kind), seed))
    began = time.monotonic()
    try:
        result = rendered(render_job(path, scenario([]), output), tmp_path)
    except RenderError as error:
        assert error.code is FailureCode.INVALID_VIDEO_FORMAT
        assert error.hint
        assert "\n" not in error.message
        assert not output.exists()
    else:
        assert 0 < result.frames == len(frames(output)) < 1000
    assert time.monotonic() - began < MOST_SECONDS


def test_a_file_that_lasts_less_long_than_its_header_says_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.flv"
    path.write_bytes(whole("flv")[:12_000])
    with pytest.raises(SourceInvalid, match=r"is incomplete: it breaks off after \d+ frames, 0.\d of 1.\d seconds in"):
        probe(path)


def test_a_header_that_counts_a_second_video_which_lasts_longer_says_nothing_of_the_first() -> None:
    tracks = ("-map", "1:v", "-map", "0:v", "-c", "copy")
    facts = probe(derived(counter(Clip(frames=20)), tracks, ".mkv", before=("-i", str(counter(Clip(frames=90))))))
    assert [facts.frames, facts.video_tracks] == [20, 2]


def test_sound_that_takes_too_long_to_read_is_believed_to_be_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    async def endless(*words: object, **more: object) -> None:
        raise TimeoutError

    sound = AudioFacts(index=1, codec="aac", channels=2, sample_rate=48000, start_seconds="0/1")
    facts = a_source(container="matroska,webm", audio=[sound])
    report = {"streams": [{"codec_type": "audio"}], "format": {"duration": "12"}}
    monkeypatch.setattr(counting, "read", endless)
    end = asyncio.run(counting.sound_end("clip.mkv", report, facts, counted=True))
    assert end == 12
    probing._check_length(report, {}, facts, end)
    probing._check_length(report, {}, a_source(container="matroska,webm", unreadable_audio=[1]), None)
    with pytest.raises(SourceInvalid, match=r"10\.0 of 12\.0 seconds in"):
        probing._check_length(report, {}, facts, None)


def test_sound_of_which_nothing_decodes_is_left_out(tmp_path: Path) -> None:
    source, output = marked(1, 1, suffix=".ogv", coding=("-c:v", "libtheora"), audio="libvorbis"), tmp_path / "out.mp4"
    headers = derived(source, ("-c", "copy", "-bsf:a", "noise=drop=gte(n\\,0)"), ".mkv")
    warnings = rendered(render_job(headers, scenario([]), output), tmp_path).warnings
    assert warnings[-1] == "Nothing can be read of the source's sound in stream 1; it is left out."
    assert len(frames(output)) == 30


def test_packets_of_which_no_picture_comes_are_lost_also_the_first_and_at_the_end_of_the_file_the_last() -> None:
    reader = damage._LogReader(10, counting=False)
    packets = b"".join(
        b"demuxer -> ist_index:0 type:video next_dts:0 pkt_pts:%d pkt_dts:0\n" % tick for tick in range(5)
    )
    reader.take(packets + b"decoder -> ist_index:0 type:video frame_pts:2 best_effort_ts:2 keyframe:1\n")
    assert reader.lost(a_source()) == {0, 1}
    reader.at_end = True
    assert reader.lost(a_source()) == {0, 1, 3, 4}


AV1 = ("-c:v", "libsvtav1", "-preset", "12")


@pytest.mark.parametrize(("coding", "kept", "pictures"), [(AV1, 0, 3), (X264, 0.3, 3), (X264, 0, 3)])
def test_pictures_that_a_decoder_skips_or_fills_in_silence_are_found(
    coding: tuple[str, ...], kept: float, pictures: int
) -> None:
    path = damaged(coding, kept)
    assert asyncio.run(run_ffmpeg(["-i", str(path), "-f", "null", "-"])).damaged
    times = asyncio.run(damaged_pictures(probe(path), str(path), Fraction(0), Fraction(2)))
    assert len(times) == pictures
    assert 1.1 < min(times) < max(times) < 1.4


def test_a_last_picture_that_is_held_for_years_is_refused() -> None:
    with pytest.raises(SourceInvalid, match="more than can be rendered"):
        output_grid(a_source(held_seconds=4e6, duration_seconds=4e6 + 10), Options())


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ([1.0], "1 picture of the source is damaged or missing, at 1.00 s;"),
        ([1.0, 1.5, 9.0], "3 pictures of the source are damaged or missing, at 1.00 to 1.50 s, 9.00 s;"),
        ([2.0 * number for number in range(9)], "9 pictures of the source are damaged or missing, at 0.00 s, 2.00 s, "),
    ],
)
def test_damage_is_told_with_its_times(times: list[float], words: str) -> None:
    assert damage_words(times).startswith(words)


def mxf() -> Path:
    return marked(1, 1, "25", suffix=".mxf", coding=("-c:v", "mpeg2video"), audio="pcm_s16le")


CERTAIN = {
    "gif": (SOURCES["gif"], 0.6, "ends in the middle of a picture, 1.1 seconds in"),
    "apng": (lambda: marked(1, None, "10", suffix=".apng", coding=()), 0.6, "ends in the middle of a picture, 0.6"),
    "y4m": (lambda: marked(1, None, suffix=".y4m", coding=()), 0.995, "ends in the middle of a picture, 1.0 seconds"),
    "ivf": (lambda: marked(1, None, suffix=".ivf", coding=VP8), 0.995, "ends in the middle of a picture, 1.0 seconds"),
    "asf": (lambda: marked(1, 1, suffix=".asf", coding=("-c:v", "wmv2"), audio="wmav2"), 0.9, "middle of its pictures"),
    "mxf": (mxf, 0.4, r"breaks off after \d frames, 0.\d of 1.0 seconds in"),
    "avi": (lambda: marked(1, None, suffix=".avi", coding=("-c:v", "mpeg4")), 0.6, r"breaks off after \d+ of 30 f"),
}  # fmt: skip


@pytest.mark.parametrize("kind", CERTAIN)
def test_a_file_that_lacks_what_its_container_promises_is_refused_with_what_helps(kind: str, tmp_path: Path) -> None:
    make, share, words = CERTAIN[kind]
    path = cut_off(make(), share)
    with pytest.raises(SourceInvalid, match=f"is incomplete: it .*{words}") as refused:
        probe(path)
    command = refused.value.hint.partition("if that is all there is: ffmpeg ")[2]
    made = tmp_path / "whole.mp4"
    ffmpeg(*command.replace("SOURCE", str(path)).replace("whole.mp4", str(made)).split())
    assert not planned(made).facts.early_end


POSSIBLE = {
    "mpg": (lambda: marked(1, 1, suffix=".mpg", coding=("-c:v", "mpeg2video"), audio="mp2"), 0.9, "of a packet, 1.00"),
    "nut": (lambda: marked(1, 1, suffix=".nut"), 0.999, "without NUT's index"),
    "ogv": (lambda: marked(1, None, suffix=".ogv", coding=("-c:v", "libtheora")), 0.99, "in the middle of an Ogg page"),
    "flv": (lambda: marked(1, 1, suffix=".flv"), 0.99, "in the middle of a tag"),
    "mp4": (lambda: cut(".mp4", "-movflags", "+faststart"), 0.999, "in the middle of its pictures or sound"),
    "avi": (lambda: marked(1, 1, suffix=".avi", coding=("-c:v", "mpeg4")), 0.999, "in the middle of its pictures"),
}  # fmt: skip


@pytest.mark.parametrize("kind", POSSIBLE)
def test_a_file_that_may_be_whole_is_rendered_and_told_of(kind: str) -> None:
    make, share, words = POSSIBLE[kind]
    warnings = planned(cut_off(make(), share)).warnings
    assert "The source's file ends " in warnings
    assert words in warnings


def packet(flags: int, payload: bytes) -> bytes:
    return b"\x47" + bytes([flags << 6 | 1, 0, 0x10]) + payload.ljust(184, b"\xff")


def asf(flags: bytes) -> bytes:
    properties = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365") + bytes(72) + flags + bytes(15)
    header = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c") + (30 + len(properties)).to_bytes(8, "little") + bytes(6)
    data = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c") + (60).to_bytes(8, "little") + bytes(36)
    return header + properties + data


def ivf(rest: bytes) -> bytes:
    return b"DKIF".ljust(32, b"\0") + b"\4\0\0\0\1".ljust(12, b"\0") + b"pict" + rest


GIF = b"GIF89a1234\0\0\0,123456789\2"
PNG = b"12345678\0\0\0\x08acTL\0\0\0\1" + bytes(8)
FC, FD = bytes(4) + b"fcTL" + bytes(4), b"\0\0\0\x20fdAT"
FLV = b"FLV".ljust(13) + b"\x09\0\0\5".ljust(11) + b"video"
PICTURE = "in the middle of a picture"
NO_END, NO_CHUNK = "without the mark that ends a GIF", "without the chunk that ends a PNG"
ENDS: list[tuple[str, bytes, str | None]] = [
    ("mpegts", packet(1, b"\0\0\1\xc0" + (300).to_bytes(2, "big")) * 3, "in the middle of a packet"),
    ("mpegts", packet(1, b"\0\0\1\xc0" + (100).to_bytes(2, "big")) * 3, None),
    ("mpegts", packet(1, b"\0\0\1\xe0\0\0") * 3, None),
    ("mpegts", bytes(1000), None),
    ("mpegts", (bytes(4) + packet(1, b"\0\0\1\xe0\0\0")) * 3, None),
    ("mpegts", (bytes(4) + packet(1, b"\0\0\1\xe0\0\0")) * 3 + bytes(4) + b"\x47ab", "in the middle of a packet"),
    ("ogg", b"OggS" + bytes(22) + b"\1\5hello", "without a page that is marked as the last"),
    ("ogg", b"OggS\0\4" + bytes(20) + b"\1\5hello", None),
    ("apng", b"12345678" + bytes(4) + b"IEND" + bytes(4), None),
    ("apng", b"12345678\0\0\0\x08acTL\xff\xff\xff\xff" + bytes(12) + b"IEND" + bytes(4), None),
    ("apng", b"12345678\0\0\0\x08acTL\0\0\0\2" + bytes(12) + b"IEND" + bytes(4), "after 0 of 2 pictures"),
    ("gif", b"GIF89a1234\0\0\0\x21\xf9\4abcd\0;rest", None),
    ("gif", b"GIF89a1234\x80\0\0rgbrgb;", None),
    ("gif", b"GIF89a1234\0\0\0????", "at something that is no GIF any more"),
    ("gif", b"GIF8", NO_END),
    ("gif", GIF + b"\4pict\0\0\0", None),
    ("gif", GIF + b"\4pict\0", NO_END),
    ("gif", GIF + b"\4pict", NO_END),
    ("gif", GIF + b"\4pi", NO_END),  # the last two bytes may hold an end code alone
    ("gif", GIF + b"\4p", PICTURE),
    ("gif", GIF + b"\4pict\0\x21\xfe\x20comm", NO_END),
    ("apng", PNG + FC + FD + bytes(36), NO_CHUNK),
    ("apng", PNG + FC + FD + bytes(24), NO_CHUNK),
    ("apng", PNG + FC + FD + bytes(20), PICTURE),
    ("apng", PNG, "after 0 of 1 pictures"),
    ("mov,mp4,m4a,3gp,3g2,mj2", b"\0\0\0\1mdat\0\0\0\0\0\0\1\0....", "in the middle of its pictures or sound"),
    ("mov,mp4,m4a,3gp,3g2,mj2", b"\0\0\0\0mdat\0\0\0\0\0\0\1\0....", None),
    ("avi", b"RIFF\xff\xff\xff\xffAVI LIST....", None),
    ("avi", b"RIFF\x10\0\0\0AVI LIST", None),  # its own head of eight bytes was counted
    ("avi", b"RIFF\x12\0\0\0AVI LIST", "in the middle of its pictures or sound"),
    ("ogg", bytes(99), None),
    ("ogg", b"OggS\0\4" + bytes(20) + b"\1\5hello" + b"TAG".ljust(128), None),
    ("yuv4mpegpipe", b"YUV4 FRAME\npi", PICTURE),
    ("yuv4mpegpipe", b"YUV4 \0\0\0\0\0\0\0", None),
    ("dv", b"12345\x1f\7\0", PICTURE),
    ("dv", b"12345\n\n\n", None),
    ("mpeg", b"\0\0\1\xba\x44" + bytes(9) + b"\0\0\1\xe0\0\4abcd\0\0\1\xb9", None),
    ("flv", FLV[:-1], "in the middle of a tag"),
    ("flv", FLV, None),
    ("flv", FLV + bytes(4) + b"\x09", None),
    ("flv", FLV + bytes(40), None),
    ("nut", b"nut/multimedia container\0", "without NUT's index"),
    ("asf", asf(bytes(4))[:-1], "in the middle of its pictures or sound"),
    ("asf", asf(bytes(4)) + b"index", None),
    ("asf", asf(b"\1\0\0\0")[:-1], None),  # live
    ("ivf", ivf(b""), None),
    ("ivf", ivf(b"\n"), None),
    ("ivf", ivf(bytes(128)), None),
    ("ivf", ivf(b"TAG".ljust(128)), None),
    ("ivf", ivf(b"\4\0\0\0\2".ljust(12, b"\0") + b"pic"), PICTURE),
]


@pytest.mark.parametrize(("container", "content", "how"), ENDS)
def test_the_end_of_a_file_is_read_by_its_kind(container: str, content: bytes, how: str | None, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    end = asyncio.run(early_end(str(path), container, len(content), 5))
    assert (end and end.how) == how


def test_no_end_is_too_odd_to_be_read(tmp_path: Path) -> None:
    chance, path = random.Random(5), tmp_path / "file"
    for container, content, _ in ENDS * 8:
        spoilt = bytearray(content[: chance.randrange(len(content) + 1)] + chance.randbytes(chance.choice((0, 0, 90))))
        for place in chance.sample(range(len(spoilt)), min(len(spoilt), 3)):
            spoilt[place] = chance.randrange(256)
        path.write_bytes(spoilt)
        asyncio.run(early_end(str(path), container, len(spoilt), 5))
