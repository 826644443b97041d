"""Many segments make the same video as one; the source's sound comes through untouched and in time."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import mean

import av
import imageio_ffmpeg
import pytest

from clips import Clip, counter, derived, ffmpeg, packets, read_counters
from ecg_renderer.errors import FfmpegError, SourceInvalid
from ecg_renderer.media import merge as merging
from ecg_renderer.media.arguments import Merge, merge_arguments
from ecg_renderer.media.codecs import Track
from ecg_renderer.media.merge import check_cell, header_of
from encodes import Render, probe
from sources import VP8, marked, marks

NTSC = Clip(rate="30000/1001")


def audio_packets(path: Path) -> list[tuple[float, bytes]]:
    """Return every packet of sound with its time in seconds."""
    return [(float(packet.pts * packet.time_base), bytes(packet)) for packet in packets(path, audio=0)]


def codecs(path: Path) -> list[str]:
    """Return the codecs of all streams."""
    with av.open(str(path)) as container:
        return [stream.codec_context.name for stream in container.streams if stream.type in {"video", "audio"}]


def decoded_sound(path: Path) -> str:
    return hashlib.md5(ffmpeg("-i", str(path), "-map", "0:a", "-f", "s16le", "-")).hexdigest()


def decoded_pictures(*paths: Path) -> list[str]:
    """Return a hash of each decoded frame."""
    lines = [
        line for path in paths for line in ffmpeg("-i", str(path), "-map", "0:v", "-f", "framemd5", "-").splitlines()
    ]
    return [line.decode().split(",")[-1].strip() for line in lines if not line.startswith(b"#")]


def late(which: str) -> Path:
    """Return a video whose picture, or sound, begins 0.2 s after the other."""
    base = counter(NTSC)
    maps = ("-map", "0:v", "-map", "1:a") if which == "picture" else ("-map", "1:v", "-map", "0:a")
    return derived(base, ("-c", "copy", *maps), ".mp4", before=("-itsoffset", "0.2", "-i", str(base)))


@pytest.mark.parametrize("container", ["mp4", "mov"])
@pytest.mark.parametrize("count", [1, 4])
def test_sound_is_copied_bit_for_bit(count: int, container: str, tmp_path: Path) -> None:
    render = Render(counter(NTSC), tmp_path)
    path, merged = render.merged(render.segments(count), container)
    assert audio_packets(path) == audio_packets(render.path)
    assert decoded_sound(path) == decoded_sound(render.path)
    assert merged.warnings == ()
    assert codecs(path) == ["h264", "aac"]


def test_joined_segments_decode_to_the_frames_of_the_segments(tmp_path: Path) -> None:
    render = Render(counter(NTSC), tmp_path)
    segments = render.segments(4)
    path, _ = render.merged(segments)
    assert decoded_pictures(path) == decoded_pictures(*segments)


def test_packets_are_as_large_as_the_queue_takes_them_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []

    def noted(job: Merge, tracks: list[Track]) -> list[str]:
        told.append(job.packet_bytes)
        return merge_arguments(job, tracks)

    monkeypatch.setattr(merging, "merge_arguments", noted)
    render = Render(counter(NTSC), tmp_path)
    path, _ = render.merged(render.segments(2))
    with av.open(str(path)) as container:
        sizes = [packet.size for packet in container.demux(video=0) if packet.size]
    assert mean(sizes) < told[0] < 2 * mean(sizes)


STARTS: dict[str, Callable[[], Path]] = {
    "together": lambda: counter(NTSC),
    "picture late": lambda: late("picture"),
    "sound late": lambda: late("sound"),
    "ts, both at 1.4 s": lambda: derived(counter(NTSC), ("-c", "copy"), ".ts"),
    "edit list": lambda: derived(counter(NTSC), ("-c", "copy"), ".mp4", before=("-ss", "0.5")),
}


@pytest.mark.parametrize("name", STARTS)
def test_sound_and_picture_keep_their_distance(name: str, tmp_path: Path) -> None:
    render = Render(STARTS[name](), tmp_path)
    path, _ = render.merged(render.segments(3))
    before, after = render.source, probe(path)
    assert decoded_sound(path) == decoded_sound(render.path)
    distance = before.start - before.audio[0].start
    assert float(after.start - after.audio[0].start) == pytest.approx(float(distance), abs=0.0001)
    assert min(after.start, after.audio[0].start) == 0


def test_no_drift_over_many_seams(tmp_path: Path) -> None:
    render = Render(counter(replace(NTSC, frames=90)), tmp_path)
    path, merged = render.merged(render.segments(15))
    assert merged.verified.frames == 90
    facts = probe(path)
    assert (facts.rate, facts.variable_rate, facts.frames) == ("30000/1001", False, 90)
    assert [numbers.source for numbers in read_counters(path)] == list(range(90))


def test_titles_chapters_and_languages_are_kept(tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text(";FFMETADATA1\ntitle=A film\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1000\ntitle=One\n")
    told = ("-map", "0", "-map", "0:a", "-map_metadata", "1", "-c", "copy")
    languages = ("-metadata:s:a:0", "language=kor", "-metadata:s:a:1", "language=eng")
    path = derived(counter(NTSC), (*told, *languages), ".mp4", before=("-i", str(counter(NTSC)), "-i", str(notes)))
    path = _retold(path, notes, tmp_path)
    result, _ = Render(path, tmp_path).merged(Render(path, tmp_path).segments(2))
    command = ["ffprobe", "-v", "error", "-show_entries", "format_tags=title:chapter_tags=title:stream_tags=language"]
    said = subprocess.run([*command, "-of", "flat", str(result)], check=True, stdout=subprocess.PIPE, text=True).stdout
    for words in ('title="A film"', 'title="One"', 'language="kor"', 'language="eng"'):
        assert words in said
    assert codecs(result) == ["h264", "aac", "aac"]


def _retold(path: Path, notes: Path, folder: Path) -> Path:
    told = folder / "told.mp4"
    ffmpeg(
        "-i",
        str(path),
        "-i",
        str(notes),
        "-map",
        "0",
        "-map_metadata",
        "1",
        "-map_chapters",
        "1",
        "-c",
        "copy",
        str(told),
    )
    return told


def test_a_silent_video_stays_silent(tmp_path: Path) -> None:
    render = Render(counter(replace(NTSC, audio=None)), tmp_path)
    path, _ = render.merged(render.segments(2))
    assert codecs(path) == ["h264"]


def test_webm_is_vp9_with_opus(tmp_path: Path) -> None:
    render = Render(counter(replace(NTSC, frames=20)), tmp_path, options={"encoder": "vp9"}, captions=[(0, 3)])
    path, _ = render.merged(render.segments(2), "webm")
    assert codecs(path) == ["vp9", "opus"]
    assert [(numbers.source, numbers.caption) for numbers in read_counters(path)] == [(index, 3) for index in range(20)]
    assert probe(path).container == "matroska,webm"


def test_opus_stays_opus_in_webm(tmp_path: Path) -> None:
    source = derived(counter(replace(NTSC, frames=20)), ("-c:v", "copy", "-c:a", "libopus"), ".mkv")
    render = Render(source, tmp_path, options={"encoder": "vp9"})
    path, merged = render.merged(render.segments(1), "webm")
    assert merged.warnings == ()
    assert decoded_sound(path) == decoded_sound(source)


@pytest.mark.parametrize("coding", ["aac", "libopus", "libvorbis"])
@pytest.mark.parametrize("program", ["installed", "newest"])
def test_sound_in_webm_is_as_far_from_the_pictures_as_in_the_source(
    coding: str, program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = marked(1, 1, suffix=".mp4", audio=coding)
    if program == "newest":
        monkeypatch.setenv("ECG_FFMPEG", imageio_ffmpeg.get_ffmpeg_exe())
    render = Render(source, tmp_path, options={"encoder": "vp9"})
    path, _ = render.merged(render.segments(1), "webm")
    apart = [
        [flash - beep for flash, beep in zip(found.flashes, found.beeps, strict=True)]
        for found in map(marks, (source, path))
    ]
    assert apart[1] == pytest.approx(apart[0], abs=0.002)


def test_copied_opus_without_a_run_up_stays_where_it_is(tmp_path: Path) -> None:
    """As browsers record it."""
    recorded = marked(1, 1, suffix=".webm", coding=VP8, audio="libopus").read_bytes()
    head, delay = recorded.index(b"OpusHead") + 10, recorded.index(b"\x56\xaa\x83") + 3
    source = tmp_path / "recorded.webm"
    content = bytearray(recorded)
    content[head : head + 2], content[delay : delay + 3] = bytes(2), bytes(3)
    source.write_bytes(content)
    render = Render(source, tmp_path, options={"encoder": "vp9"})
    path, _ = render.merged(render.segments(1), "webm")
    assert marks(path).beeps == pytest.approx(marks(source).beeps, abs=0.001)
    assert marks(path).flashes == pytest.approx(marks(source).flashes, abs=0.001)


def test_cells_that_were_encoded_otherwise_are_not_joined(tmp_path: Path) -> None:
    render = Render(counter(NTSC), tmp_path)
    first = render.segment(0, 30)
    render.options["preset"] = "slow"
    second = render.segment(30, 60)
    with pytest.raises(FfmpegError, match=r"30-60\.mp4 was encoded otherwise than 0-30\.mp4"):
        render.merged([first, second])


def test_a_result_that_lacks_frames_is_found(tmp_path: Path) -> None:
    render = Render(counter(NTSC), tmp_path)
    first, _ = render.segments(2)
    with pytest.raises(FfmpegError, match=r"result has 30 frames instead of 60"):
        render.merged([first])


@pytest.mark.parametrize("encoder", ["x264", "x265", "svt-av1", "vp9"])
def test_cells_of_one_process_and_one_that_was_made_alone_join_with_exact_steps(encoder: str, tmp_path: Path) -> None:
    render = Render(counter(NTSC), tmp_path, options={"encoder": encoder, "quality": 60}, captions=[(0, 3), (30, 5)])
    cells = render.cells(15)
    again = render.segment(30, 45)

    path, _ = render.merged([*cells[:2], again, cells[3]])

    shown = [(numbers.source, numbers.caption) for numbers in read_counters(path)]
    assert shown == [(frame, 3 if frame < 30 else 5) for frame in range(60)]
    assert probe(path).variable_rate is False
    assert all(header_of(cell) == header_of(again) for cell in cells)


def test_bytes_of_a_cell_after_its_fragments_are_passed_over(tmp_path: Path) -> None:
    render = Render(counter(NTSC), tmp_path)
    cells = render.cells(20)
    for cell in cells:
        with cell.open("ab") as file:
            file.write((16).to_bytes(4) + b"freeSEALSEAL")
    path, _ = render.merged(cells)
    assert [numbers.source for numbers in read_counters(path)] == list(range(60))


def test_a_truncated_source_is_refused_by_the_count_even_if_its_headers_pass(tmp_path: Path) -> None:
    whole = derived(counter(NTSC), ("-c", "copy", "-movflags", "+faststart"), ".mp4")
    short = tmp_path / "short.mp4"
    short.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(SourceInvalid):
        probe(short)
    render = Render(whole, tmp_path)
    render.path = short
    segment = render.segment(0, 60)
    with pytest.raises(FfmpegError, match=r"frames instead of 60"):
        check_cell(segment, render.target, 0, 60)
