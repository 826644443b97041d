"""A render that is watched: what players find in its folder, on the way and in the end."""

from __future__ import annotations

import asyncio
import itertools
import re
from pathlib import Path

import av
import pytest

import live_streams
from clips import Clip, counter
from ecg_api.live import END, FOLDER, MASTER, SOUND, VIDEO, LiveStream
from ecg_api.plan import Plan
from ecg_renderer import local
from ecg_renderer.errors import FfmpegError, ManifestError, StorageError
from ecg_renderer.event_stream import EventStream, SoundPieces, cut_sound, live_folder
from ecg_renderer.request import RunRequest
from live_streams import PIECES, decoded, watched, watched_job
from plan_facts import a_source, a_target
from renders import SETTINGS, rendered


def listed(folder: Path, name: str = VIDEO) -> list[str]:
    return re.findall(r"(?m)^[^#].*", (folder / FOLDER / name).read_text())


def test_a_player_finds_the_pictures_of_the_result_and_all_of_the_sound() -> None:
    folder = watched()
    playlist = str(folder / MASTER)
    assert decoded(playlist, "v") == decoded(str(folder.parent / "out.mp4"), "v")
    assert len(listed(folder)) == len(listed(folder, SOUND)) == PIECES
    samples = sum(frame.samples for frame in sound_of(playlist))
    assert 6.0 <= samples / 48_000 < 6.1
    assert all((folder / FOLDER / name).read_text().endswith(END) for name in (VIDEO, SOUND))


def sound_of(playlist: str) -> list[av.AudioFrame]:
    with av.open(playlist, format="hls", options={"allowed_extensions": "ALL"}) as container:
        return list(container.decode(audio=0))


def test_pieces_are_the_stored_files_and_not_copies_of_them() -> None:
    folder = watched()
    for name in listed(folder):
        assert (folder / FOLDER / name).samefile(folder.parent / "cells" / name)


def test_a_second_run_adds_to_what_players_have_and_another_video_takes_its_place(tmp_path: Path) -> None:
    job, short = watched_job(tmp_path), watched_job(tmp_path, Clip(frames=30))
    rendered(job, tmp_path, segments=PIECES)
    before = {name: (tmp_path / "watch" / FOLDER / name).stat().st_ino for name in listed(tmp_path / "watch")}
    again = rendered(job, tmp_path, segments=PIECES)
    assert again.cells_reused == PIECES
    assert before == {name: (tmp_path / "watch" / FOLDER / name).stat().st_ino for name in listed(tmp_path / "watch")}
    rendered(short, tmp_path, segments=1)
    left = {path.name for path in (tmp_path / "watch" / FOLDER).glob("*.mp4")}
    assert left == {*listed(tmp_path / "watch"), *listed(tmp_path / "watch", SOUND)}


def test_a_run_that_fails_ends_its_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: object, **__: object) -> None:
        while not (video := tmp_path / "watch" / FOLDER / VIDEO).exists():  # noqa: ASYNC110 - there is sound, too
            await asyncio.sleep(0.05)
        assert END not in video.read_text()
        raise FfmpegError("It cannot be merged.")

    monkeypatch.setattr(local, "merge", fails)
    with pytest.raises(FfmpegError):
        rendered(watched_job(tmp_path, Clip(frames=30)), tmp_path)
    assert (tmp_path / "watch" / FOLDER / VIDEO).read_text().endswith(END)


def test_the_list_of_a_run_grows_and_is_ended_by_whoever_leaves(tmp_path: Path) -> None:
    """Publish the pieces of a render that is over one by one, the sound last."""
    folder = watched()
    stream = a_stream_like(folder)
    growing = EventStream(tmp_path, stream)
    growing.open()
    for name in stream.video[:2]:
        growing.add(name, folder / FOLDER / name)
    assert not (tmp_path / MASTER).exists()
    growing.add(stream.sound[0], folder / FOLDER / stream.sound[0])
    assert (listed(tmp_path), listed(tmp_path, SOUND)) == (stream.video[:1], stream.sound[:1])
    assert END not in (tmp_path / FOLDER / VIDEO).read_text()
    growing.end()
    assert len(decoded(str(tmp_path / MASTER), "v")) == live_streams.FRAMES // PIECES

    # Another try of the same job: what was published stays, and is not ended any more.
    again = EventStream(tmp_path, stream)
    again.open()
    assert listed(tmp_path) == stream.video[:1]
    assert END not in (tmp_path / FOLDER / VIDEO).read_text()
    again.mute()
    assert listed(tmp_path) == stream.video[:2]


def a_stream_like(folder: Path) -> LiveStream:
    return LiveStream(
        rate="30/1",
        frames=live_streams.FRAMES,
        cell_frames=live_streams.FRAMES // PIECES,
        width=320,
        height=180,
        video=listed(folder),
        sound=listed(folder, SOUND),
    )


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_rendered(tmp_path: Path) -> None:
    (tmp_path / "watch").write_text("a file")
    with pytest.raises(StorageError, match=r"Cannot write the live stream to .*watch: .*not a directory"):
        rendered(watched_job(tmp_path), tmp_path)
    assert not (tmp_path / "out.mp4").exists()


def test_without_a_folder_it_lies_beside_the_output(tmp_path: Path) -> None:
    job = watched_job(tmp_path)
    bare = job.spec.live.model_copy(update={"uri": None}) if job.spec.live else None
    spec = job.spec.model_copy(update={"live": bare})
    request = RunRequest(job.model_copy(update={"spec": spec}), tmp_path, SETTINGS, tmp_path)
    assert live_folder(request) == tmp_path / "out-live"
    stored = spec.output.model_copy(update={"uri": "s3://videos/out.mp4"})
    away = job.model_copy(update={"spec": spec.model_copy(update={"output": stored})})
    with pytest.raises(ManifestError, match="names no folder"):
        live_folder(RunRequest(away, tmp_path, SETTINGS, tmp_path))


def test_sound_that_several_processes_have_cut_lies_on_one_grid_without_a_gap(tmp_path: Path) -> None:
    async def cut(cells: range) -> dict[int, Path]:
        folder = tmp_path / f"from-{cells.start}-to-{cells.stop}"
        folder.mkdir()
        pieces = SoundPieces(a_plan(), str(counter(live_streams.CLIP)), cells)
        return {number: path async for number, path in cut_sound(pieces, folder)}

    whole = asyncio.run(cut(range(3)))
    parts = asyncio.run(cut(range(1))) | asyncio.run(cut(range(1, 2))) | asyncio.run(cut(range(2, 3)))
    assert [times(whole[number]) for number in range(3)] == [times(parts[number]) for number in range(3)]
    joined = [time for number in range(3) for time in times(parts[number])]
    assert {after - before for before, after in itertools.pairwise(joined)} == {1024}


def times(path: Path) -> list[int]:
    with av.open(str(path)) as container:
        return [packet.pts for packet in container.demux(audio=0) if packet.pts is not None]


def a_plan() -> Plan:
    audio = {"index": 1, "codec": "aac", "channels": 1, "sample_rate": 44100, "start_seconds": "0/1"}
    return Plan.model_construct(
        source=a_source(frames=180, audio=[audio]), target=a_target(frames=180), cell_frames=60, cells=[], segments=[]
    )
