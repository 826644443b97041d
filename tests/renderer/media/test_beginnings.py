"""Files that begin with something else than the video: read as if it were not there, or told what it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from ecg_renderer.errors import SourceInvalid
from ecg_renderer.media.damage import tag_length, what_begins
from encodes import probe
from sources import CODECS, SOURCES, cut, cut_off, marked

TAG = b"ID3\3\0\0\0\0\1\x48" + bytes(200)
FORM = b'------Form7\r\nContent-Disposition: form-data; name="file"\r\n\r\n'


def behind(before: bytes, path: Path, folder: Path) -> Path:
    target = folder / path.name
    target.write_bytes(before + path.read_bytes())
    return target


@pytest.mark.parametrize("suffix", [".mkv", ".avi", ".flv", ".ts", ".ivf", ".gif"])
def test_what_ffmpeg_passes_over_is_passed_over_at_the_end_too(suffix: str, tmp_path: Path) -> None:
    made = {".ivf": lambda: marked(1, None, suffix=".ivf", coding=CODECS["vp8 in ivf"][1]), ".gif": SOURCES["gif"]}
    path = made.get(suffix, lambda: cut(suffix))()
    plain, tagged = probe(path), probe(behind(TAG, path, tmp_path))
    assert (tagged.frames, tagged.rate, tagged.early_end) == (plain.frames, plain.rate, None)


def test_a_tagged_file_that_breaks_off_is_refused(tmp_path: Path) -> None:
    path = cut_off(marked(1, None, suffix=".ivf", coding=CODECS["vp8 in ivf"][1]), 0.9)
    with pytest.raises(SourceInvalid, match="it ends in the middle of a picture"):
        probe(behind(TAG, path, tmp_path))


@pytest.mark.parametrize(
    ("before", "suffix", "said"),
    [
        (TAG, ".mp4", r"begins with 210 bytes of a tag \(ID3\); only behind them is a video \(MP4\)"),
        (FORM, ".mp4", rf"begins with {len(FORM)} bytes of something else; only behind them is a video \(MP4\)"),
        (FORM, ".mkv", r"only behind them is a video \(Matroska or WebM\)"),
        (b"\xef\xbb\xbf", ".avi", r"begins with 3 bytes of something else; only behind them is a video \(AVI\)"),
        (bytes(512), ".flv", r"begins with 512 bytes of something else; only behind them is a video \(FLV\)"),
    ],
)
def test_a_video_behind_something_else_is_refused_and_cut_out_as_told(
    before: bytes, suffix: str, said: str, tmp_path: Path
) -> None:
    path = cut(suffix)
    with pytest.raises(SourceInvalid, match=said) as refused:
        probe(behind(before, path, tmp_path))
    assert f"tail -c +{len(before) + 1} SOURCE" in (refused.value.hint or "")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<!doctype html><html>", "is a web page, not a video"),
        (b'<?xml version="1.0"?>\n<Error>', "is an XML document, not a video"),
        (b'{"error": 403}', "is a JSON document, not a video"),
        ("없는 주소".encode(), "is a text, not a video"),
        (b"\0\0\0\x18stypmsdh", r"is a part of a stream \(HLS, DASH\), without its head"),
        (b"PK\3\4....", "is a ZIP archive, not a video"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nj.ts\n#EXT-X-ENDLIST\n", "is a playlist"),
        (b"1\n00:00:00,000 --> 00:00:01,000\nHi\n", "is a file of subtitles, not a video"),
    ],
)
def test_what_is_no_video_is_called_by_its_name(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "talk.mp4"
    path.write_bytes(content)
    with pytest.raises(SourceInvalid, match=rf"talk\.mp4 {said}"):
        probe(path)


def test_the_head_of_a_segmented_film_is_called_one(tmp_path: Path) -> None:
    whole = cut(".mp4", "-movflags", "dash+cmaf+frag_keyframe").read_bytes()
    path = tmp_path / "init.mp4"
    path.write_bytes(whole[: whole.index(b"moof") - 4])
    with pytest.raises(SourceInvalid, match=r"init\.mp4 is the head of a segmented film \(HLS, DASH\)") as said:
        probe(path)
    assert "cat HEAD" in (said.value.hint or "")


def test_chance_bytes_are_nothing() -> None:
    assert what_begins(b"") is None
    assert what_begins(bytes(range(256)) * 9) is None
    heads = (b"", b"ID3", b"ID3\3\0\0\xff\0\0\0", b"ID3\4\0\x10\0\0\0\1.")
    assert [tag_length(head) for head in heads] == [0, 0, 0, 21]
