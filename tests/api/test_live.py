"""Playlists of a render that goes on: they only grow, name the bytes of stored pieces, and end when the job does."""

from __future__ import annotations

import itertools
import re
from fractions import Fraction

import pytest

from ecg_api.live import LiveStream, Track, codec_of, header_of, playlists, with_end

KEYS = [f"{number:064x}" for number in range(4)]
VIDEO, SOUND = "live/video.m3u8", "live/sound.m3u8"
HEADER = b"\0\0\0\x08ftyp\0\0\0\x18moov" + b"avcC\x01\x64\x00\x28" + bytes(8)


def a_stream(*, silent: bool = False) -> LiveStream:
    """Return a stream of three pieces of ten seconds and one of four."""
    return LiveStream(
        rate="30/1",
        frames=1020,
        cell_frames=300,
        width=1920,
        height=1080,
        video=[f"{key}-x264.mp4" for key in KEYS],
        sound=[] if silent else [f"{key}-aac.mp4" for key in KEYS],
    )


def track(pieces: int, header: bytes = HEADER) -> Track:
    return Track(header, tuple(1000 + number for number in range(pieces)))


def texts(video: int, sound: int, *, ended: bool = False, silent: bool = False) -> dict[str, str]:
    return playlists(a_stream(silent=silent), track(video), track(sound), ended=ended)


def test_a_list_only_grows_and_its_head_never_changes() -> None:
    grown = [texts(pieces, pieces)[VIDEO] for pieces in range(1, 5)]
    assert all(after.startswith(before) for before, after in itertools.pairwise(grown))
    head = grown[0].partition("#EXTINF")[0].splitlines()
    wanted = ["#EXT-X-TARGETDURATION:10", "#EXT-X-PLAYLIST-TYPE:EVENT", "#EXT-X-INDEPENDENT-SEGMENTS"]
    assert {*wanted, "#EXT-X-START:TIME-OFFSET=0,PRECISE=YES"} <= set(head)


def test_pieces_are_named_by_their_bytes_behind_the_header_of_the_first() -> None:
    text = texts(4, 4)[VIDEO]
    size = len(HEADER)
    assert f'#EXT-X-MAP:URI="{KEYS[0]}-x264.mp4",BYTERANGE="{size}@0"' in text
    assert re.findall(r"BYTERANGE:(\d+)@(\d+)\n(\S+)", text) == [
        (str(1000 + number - size), str(size), f"{key}-x264.mp4") for number, key in enumerate(KEYS)
    ]
    lengths = [Fraction(found) for found in re.findall(r"#EXTINF:([0-9.]+),", text)]
    assert lengths == [10, 10, 10, 4]


def test_no_rendition_lists_what_the_other_lacks() -> None:
    assert texts(0, 4) == texts(4, 0) == {}
    for found in (texts(3, 2), texts(2, 3)):
        assert {found[path].count("#EXTINF") for path in (VIDEO, SOUND)} == {2}


def test_a_silent_source_has_no_sound() -> None:
    found = texts(2, 0, silent=True)
    assert found.keys() == {"live.m3u8", VIDEO}
    assert "AUDIO" not in found["live.m3u8"]


def test_the_master_says_how_long_all_of_it_will_be_and_what_it_takes_to_play() -> None:
    master = texts(1, 1)["live.m3u8"]
    assert '#EXT-X-SESSION-DATA:DATA-ID="dev.ecg.render.duration",VALUE="34.000"' in master
    assert 'CODECS="avc1.640028,mp4a.40.2",RESOLUTION=1920x1080,FRAME-RATE=30.000,AUDIO="sound"' in master
    assert master.endswith("\nlive/video.m3u8\n")
    assert "#EXT-X-START" not in master  # FFmpeg would take it for a list of pieces


@pytest.mark.parametrize("pieces", [1, 4])
def test_only_a_list_that_has_ended_says_so(pieces: int) -> None:
    going, ended = texts(pieces, pieces)[VIDEO], texts(pieces, pieces, ended=True)[VIDEO]
    assert ended == going + "#EXT-X-ENDLIST\n"
    assert with_end(ended, ended=True) == with_end(going, ended=True) == ended
    assert with_end(ended, ended=False) == going


def test_addresses_are_those_that_are_asked_for() -> None:
    found = playlists(a_stream(), track(2), track(2), ended=False, address=lambda name: f"https://s3/{name}?signed")
    assert f'URI="https://s3/{KEYS[0]}-x264.mp4?signed"' in found[VIDEO]
    assert f"\nhttps://s3/{KEYS[1]}-x264.mp4?signed\n" in found[VIDEO]


def test_a_header_is_all_before_the_media_or_nothing() -> None:
    assert header_of(HEADER + b"\0\0\0\x10moof") == HEADER
    assert header_of(HEADER[:-1]) == header_of(b"") == header_of(b"\0\0\0\0moov") == b""
    assert (codec_of(HEADER), codec_of(b"hvcC")) == ("avc1.640028", "")
