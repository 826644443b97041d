"""A render that is watched while it goes on: playlists in a folder, and in it what is finished.

    FOLDER/live.m3u8                     for players
    FOLDER/live/video.m3u8, sound.m3u8   the finished beginning
    FOLDER/live/KEY-ENCODER.mp4          the same files as those that are kept, where the disk can have one twice

What was published is never replaced, so that a run that goes on after a failure only adds to what players have.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from ecg_api.live import FOLDER, HEAD_BYTES, MASTER, PIECE_NAME, SOUND, VIDEO, LiveStream, Track, header_of, playlists
from ecg_api.plan import Plan
from ecg_api.renditions import live_place
from ecg_renderer.errors import ManifestError, RenderError
from ecg_renderer.media.arguments import LEAD_FRAMES, CellFiles
from ecg_renderer.media.filters import decimal
from ecg_renderer.media.process import Progress, input_name, option_words, run_ffmpeg, source_options
from ecg_renderer.preparation import PreparedJob
from ecg_renderer.request import RunRequest
from ecg_renderer.storage import CellStore, FileStorage, open_storage
from ecg_renderer.storage.base import refusal
from ecg_renderer.storage.work_store import FolderWorkStore

Publish = Callable[[int, Path], Awaitable[None]]


class EventStream:
    """The live stream in a folder. Its methods may be called from any thread; all but `end` raise a StorageError."""

    def __init__(self, folder: Path, stream: LiveStream) -> None:
        self._folder = folder
        self._files = FolderWorkStore(folder)
        self._stream = stream
        self._pieces: dict[str, tuple[bytes, int]] = {}
        self._lock = threading.Lock()

    def open(self) -> None:
        """Make the folder; what an earlier run of the same job has published stays, that of another one goes."""
        parts = self._folder / FOLDER
        try:
            parts.mkdir(parents=True, exist_ok=True)
            there = {path.name for path in parts.iterdir() if PIECE_NAME.fullmatch(path.name)}
        except OSError as error:
            raise refusal(error, "write the live stream to", self._folder) from error
        names = {*self._stream.video, *self._stream.sound}
        for name in there & names:
            self._look_at(name)
        if not self._write(ended=False):
            for name in (MASTER, f"{FOLDER}/{VIDEO}", f"{FOLDER}/{SOUND}"):
                self._files.remove(name)
        for name in there - names:
            self._files.remove(f"{FOLDER}/{name}")

    def add(self, name: str, path: Path) -> None:
        """Publish the finished piece `name`, of video or of sound; `path` must not be written to afterwards."""
        with self._lock:
            if name not in self._pieces:
                self._files.upload(path, f"{FOLDER}/{name}")
                self._look_at(name)
            self._write(ended=False)

    def mute(self) -> None:
        """Go on without sound."""
        with self._lock:
            self._stream = self._stream.model_copy(update={"sound": []})
            self._write(ended=False)

    def end(self) -> None:
        """Say that nothing more will come."""
        with self._lock:
            self._write(ended=True)

    def _look_at(self, name: str) -> None:
        path = self._folder / FOLDER / name
        try:
            with path.open("rb") as file:
                self._pieces[name] = header_of(file.read(HEAD_BYTES)), path.stat().st_size
        except OSError as error:
            raise refusal(error, "read", path) from error

    def _write(self, *, ended: bool) -> bool:
        """Write the playlists, those first that the others name; tell whether there is something to play."""
        video, sound = self._track(self._stream.video), self._track(self._stream.sound)
        texts = playlists(self._stream, video, sound, ended=ended)
        for name, text in reversed(texts.items()):
            self._files.put(name, text.encode())
        return bool(texts)

    def _track(self, names: Sequence[str]) -> Track:
        header, sizes = b"", []
        for name in names:
            if name not in self._pieces:
                break
            found, size = self._pieces[name]
            header = header or found
            sizes.append(size)
        return Track(header, tuple(sizes))


def live_folder(request: RunRequest) -> Path | None:
    """Return the folder in which a job can be watched, None if it is not to be.

    Raises ManifestError where the job leaves it to the output's folder, and there is none on this machine.
    """
    live, output = request.job.spec.live, request.job.spec.output
    if live is None:
        return None
    place = open_storage(live_place(live.uri, output.uri), request.base)
    if not isinstance(place, FileStorage):
        raise ManifestError(
            f"spec.live names no folder, and the output {open_storage(output.uri, request.base).name} is not on this "
            "machine.",
            hint="Give spec.live.uri, or --live DIR.",
        )
    return place.path


async def nobody(number: int, path: Path) -> None:
    """Publish nothing: nobody watches."""


@asynccontextmanager
async def watched(
    folder: Path, prepared: PreparedJob, scratch: Path, store: CellStore | None, warn: Callable[[str], None]
) -> AsyncIterator[Publish]:
    """Let a run be watched in `folder`: give what publishes a finished cell by its number, and add the sound.

    `scratch` is an empty folder for it, `store` keeps it. Raises a StorageError before any work is done if the folder
    cannot be written; what fails later ends the stream with a warning, not the run.
    """
    stream = EventStream(folder, prepared.live_stream)
    await asyncio.to_thread(stream.open)
    broken = False

    async def publish(name: str, path: Path) -> None:
        nonlocal broken
        if broken:
            return
        try:
            await asyncio.to_thread(stream.add, name, path)
        except RenderError as error:
            broken = True
            warn(f"The live stream ends here: {error.message}")

    async def add_sound() -> None:
        try:
            async with aclosing(sound_pieces(prepared, range(len(prepared.plan.cells)), scratch, store)) as pieces:
                async for number, path in pieces:
                    await publish(prepared.sound(number).name, path)
        except RenderError as error:
            warn(f"The live stream goes on without sound: {error.message}")
            with suppress(RenderError):
                await asyncio.to_thread(stream.mute)

    sound = asyncio.create_task(add_sound())
    try:
        yield lambda number, path: publish(prepared.cell(number).name, path)
        await sound
    finally:
        sound.cancel()
        await asyncio.gather(sound, return_exceptions=True)
        with suppress(RenderError):
            await asyncio.to_thread(stream.end)


async def sound_pieces(
    prepared: PreparedJob, cells: range, scratch: Path, store: CellStore | None
) -> AsyncGenerator[tuple[int, Path], None]:
    """Yield number and file of the sound of each of `cells`, if there is sound: as `store` has it, else cut and kept.

    Raises a RenderError.
    """
    if not prepared.source.audio:
        return
    files = CellFiles(scratch, 0, prepared.plan.cell_frames)
    wanted = {files.path(number): prepared.sound(number) for number in cells}
    found = await store.fetch(wanted) if store else {}
    missing = [number for number in cells if files.path(number) not in found]
    for number in cells:
        if number not in missing:
            yield number, files.path(number)
    if not missing:
        return
    # Apart from those that were fetched: FFmpeg would write into the store's own files.
    folder = scratch / "cut"
    folder.mkdir()
    pieces = SoundPieces(prepared.plan, prepared.source_url, range(missing[0], missing[-1] + 1))
    async with aclosing(cut_sound(pieces, folder)) as cut:
        async for number, path in cut:
            if number in missing:
                if store:
                    await store.keep(prepared.sound(number), path)
                yield number, path


# --- the sound, in pieces as long as the video's cells: AAC, whatever the source has --------------
# Encoded anew, since a player of live streams wants what sources need not have: a codec that every browser knows, one
# header, and sound from beginning to end. Packets lie on one grid from time 0, so that pieces of different processes
# join without a gap, and are timed on the clock of the cells.


_RATE, _PACKET = 48_000, 1024
# The first packet of an encoder is half silence, and the last one is cut off: so many more are made on either side.
_MARGIN_PACKETS = 4
# Sound is sought by the packet; what comes too early is trimmed.
_SEEK_MARGIN = 2


@dataclass(frozen=True)
class SoundPieces:
    """The sound of consecutive cells of a plan, from the source's first audio stream; `url` is what FFmpeg opens."""

    plan: Plan
    url: str
    cells: range


def sound_arguments(pieces: SoundPieces, files: CellFiles) -> list[str]:
    """Return FFmpeg's arguments that write the pieces: `files.path(number)` for each, and scraps beside them."""
    plan, cells = pieces.plan, pieces.cells
    borders = [Fraction(plan.cell_range(cell)[0]) / plan.target.exact_rate for cell in cells]
    start, end = borders[0], plan.cell_range(cells[-1])[1] / plan.target.exact_rate
    margin = Fraction(_MARGIN_PACKETS * _PACKET, _RATE)
    first = Fraction(start * _RATE // _PACKET * _PACKET, _RATE) - margin if start else Fraction(0)
    length = end - first + (margin if end < plan.target.duration else 0)
    lead = LEAD_FRAMES / plan.target.exact_rate
    cuts = [border + lead for border in [*borders, end] if 0 < border < plan.target.duration]
    cuts = cuts or [plan.target.duration + lead + 1]  # nothing to cut: there is no word for that
    source = plan.source
    begins = source.start - plan.target.lead_frames / plan.target.exact_rate
    options: dict[str, object] = dict(source_options(pieces.url, insist=True))
    if start:
        sought = max(begins + start - _SEEK_MARGIN, Fraction(0))
        options |= {"ss": decimal(sought), "seek_timestamp": 1}
    chain = [
        f"asetpts=PTS-({decimal(begins + first)})/TB",
        # Silence where there is no sound, from the beginning on.
        f"aresample={_RATE}:async=1:first_pts=0",
        "aformat=sample_fmts=fltp:channel_layouts=stereo",
        f"apad,atrim=end={decimal(length)}",
    ]
    muxer = "movflags=+empty_moov+default_base_moof+frag_discont:use_editlist=0:avoid_negative_ts=disabled"
    return [
        "-copyts",
        *option_words(options),
        *("-i", input_name(pieces.url)),
        *("-filter_complex", f"[0:{source.audio[0].index}]{','.join(chain)}[sound]", "-map", "[sound]"),
        *("-c:a", "aac", "-b:a", "160k", "-map_metadata", "-1", "-output_ts_offset", decimal(first + lead)),
        *("-f", "segment", "-segment_format", "mp4", "-segment_format_options", muxer),
        # What comes before the first piece is a scrap of its own.
        *("-segment_start_number", str(cells[0] - bool(start)), "-segment_times", ",".join(map(decimal, cuts))),
        files.pattern,
    ]


async def cut_sound(pieces: SoundPieces, folder: Path) -> AsyncGenerator[tuple[int, Path], None]:
    """Write the pieces into `folder`; yield number and file of each as soon as it is finished. Raises FfmpegError."""
    files = CellFiles(folder, pieces.cells[0], pieces.plan.cell_frames)
    written: asyncio.Queue[int | None] = asyncio.Queue()
    waiting = list(pieces.cells)

    def note(_: Progress | None) -> None:
        """Hand on what is complete: FFmpeg opens the next file when it has closed one."""
        while waiting and files.path(waiting[0] + 1).exists():
            written.put_nowait(waiting.pop(0))

    async def run() -> None:
        try:
            await run_ffmpeg(
                sound_arguments(pieces, files),
                action="cutting the sound of the live stream",
                on_progress=note,
                redact={pieces.url: pieces.plan.source.uri},
            )
            for number in waiting:
                written.put_nowait(number)
        finally:
            written.put_nowait(None)

    running = asyncio.create_task(run())
    try:
        while (number := await written.get()) is not None:
            yield number, files.path(number)
        await running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
