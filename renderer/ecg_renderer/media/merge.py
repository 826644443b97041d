"""Join finished cells to the result, and believe no file before it was read back.

1. see that every cell has the same header        3. join, add sound, index to the front
2. the header once, then what every cell holds    4. read the result back

Packets are copied, the sound comes once from the source. FFmpeg ends with exit status 0 on sources that broke off in
the middle. Only files that we wrote ourselves are read here, so libav may do it inside this process.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

import av
from av.error import FFmpegError as LibavError

from ecg_api.plan import SourceFacts, Target
from ecg_renderer.errors import (
    FfmpegError,
    FfmpegStopped,
    RenderError,
    ResourceError,
    ServiceUnreachable,
    plain_failures,
)
from ecg_renderer.media.arguments import LEAD_FRAMES, Merge, merge_arguments
from ecg_renderer.media.codecs import Track, encoded, kept_tracks
from ecg_renderer.media.counting import heard_streams, opus_run_ups
from ecg_renderer.media.placing import output_start
from ecg_renderer.media.process import Finished, is_remote, run_ffmpeg, says_away, says_broken_off, says_given_up

_MEDIA = (b"moof", b"mdat")
_COPIED_BYTES = 1 << 20
# Samples that a decoder of Opus needs before the first one that is heard, as FFmpeg's encoder has it: 6.5 ms.
_OPUS_RUN_UP, _OPUS_RATE = 312, 48_000
# What begins at a second is read back at 993 or 994 ms; taken off twice, at 987.
_OPUS_EARLIEST_MS = 990


@dataclass(frozen=True)
class MergeResult:
    """The merged file as read back, and what could not be kept."""

    verified: Verified
    warnings: tuple[str, ...]


async def merge(
    cells: Sequence[Path],
    *,
    target: Target,
    source: SourceFacts,
    url: str,
    output: Path,
    subtitles: str = "",
) -> MergeResult:
    """Write the result of a whole job, joined of all its `cells`, to `output` (a temporary name) and verify it.

    `url` is what FFmpeg opens for the source's sound; `subtitles`, the text of an .srt file, becomes a track that
    players can switch on. Raises FfmpegError when cells do not agree or the result is
    not as planned, ResourceError when the disk is full, ServiceUnreachable when the source breaks off.
    """
    await asyncio.to_thread(_check_headers, cells)
    with TemporaryDirectory(prefix="ecg-render-") as folder:
        text = Path(folder) / "subtitles.srt" if subtitles else None
        if text:
            text.write_text(subtitles, encoding="utf-8")
        # The last cell may have fewer frames than the others; taken for as many, they are not fewer in any other.
        packet_bytes = ceil(max(cell.stat().st_size for cell in cells) * len(cells) / target.frames)
        tracks, warnings = await _joined(Merge(target, source, url, output, packet_bytes, text), cells)
    texts = [track.facts for track in tracks if track.kind == "s"]
    shown = any("default" in facts.dispositions for facts in texts)
    if (texts or subtitles) and target.format != "webm" and not shown:
        await asyncio.to_thread(disable_subtitles, output)
    rate, lead = target.exact_rate, target.lead_frames
    start = source.start - lead / rate - output_start(source, rate, lead)
    sounds = [track for track in tracks if track.kind == "a"]
    verified = await asyncio.to_thread(check_result, output, target, start=start, sounds=len(sounds))
    empty = await _without(len(sounds) - verified.sounds, sounds, source, url)
    return MergeResult(verified, (*warnings, *empty))


async def _without(empty: int, sounds: Sequence[Track], source: SourceFacts, url: str) -> list[str]:
    """Return a warning where so many of the tracks `sounds` are not in the result: those of the source hold nothing.

    FFmpeg leaves a track out of which it has not read or decoded a moment; which one that was it does not say. Raises
    ServiceUnreachable if that was because the source broke off while it was fetched.
    """
    if not empty:
        return []
    wanted = {track.facts.index for track in sounds}
    if is_remote(url) and len(wanted - await heard_streams(url, wanted)) < empty:
        raise _broken_off(source)
    of = ", ".join(str(track.facts.index) for track in sounds)
    some = f"{empty} of the source's streams {of}" if empty < len(sounds) else f"the source's sound in stream {of}"
    return [f"Nothing can be read of {some}; it is left out."]


async def _joined(job: Merge, cells: Sequence[Path]) -> tuple[list[Track], tuple[str, ...]]:
    """Write the result; return the source's tracks that it has, and warnings.

    The pictures are what was asked for: neither texts that some FFmpeg cannot write nor damaged sound shall cost them.
    A failure that has to do with neither is raised at once.
    """
    tracks = kept_tracks(job.source, job.target.format)
    sounds = [track for track in tracks if track.kind == "a"]
    anew = [encoded(track, job.target.format) for track in sounds]
    tries = [(tracks, ""), (sounds, "subtitles are left out"), (anew, "sound is encoded anew, without subtitles")]
    failure: FfmpegError | None = None
    for number, (wanted, done) in enumerate(tries):
        if number and wanted == tries[number - 1][0]:
            continue
        try:
            await _join(replace(job, sound_early=await _sound_early(job, wanted)), wanted, cells)
        except FfmpegStopped:
            raise
        except FfmpegError as error:
            if is_remote(job.url) and (says_away(error.log_tail) or says_broken_off(error.log_tail)):
                raise
            failure = failure or error
        else:
            return wanted, (f"The source's {done}, because the merge failed: {failure.message}",) if failure else ()
    assert failure
    raise failure


async def _opus_is_early() -> bool:
    """Tell whether this FFmpeg writes Opus into WebM earlier than it is, by what a decoder needs to get going.

    Version 5 does: WebM says that length of each track of Opus, for players to take it off, and FFmpeg has done so.
    """
    with TemporaryDirectory(prefix="ecg-render-") as folder:
        path = Path(folder) / "silence.webm"
        silence = ["-f", "lavfi", "-i", "anullsrc=r=48000:d=0.1", "-c:a", "libopus", "-output_ts_offset", "1"]
        with suppress(FfmpegError, LibavError):
            await run_ffmpeg([*silence, f"file:{path}"], action="trying how Opus is written")
            with av.open(str(path)) as container:
                return (next(container.demux(audio=0)).pts or 0) < _OPUS_EARLIEST_MS
    return False


async def _sound_early(job: Merge, tracks: Sequence[Track]) -> Fraction:
    """Return by how many seconds FFmpeg writes the sound of `tracks` too early.

    In whole ticks of WebM's clock, so that pictures are rounded as before. Sound that is copied has the run-up that its
    encoder gave it; browsers' recordings have none.
    """
    sounds = [track for track in tracks if track.kind == "a"]
    encoded_anew = any(track.coding["c"] == "libopus" for track in sounds)
    copied = {track.facts.index for track in sounds if track.facts.codec == "opus" and track.coding["c"] == "copy"}
    if job.target.format != "webm" or not (encoded_anew or copied) or not await _opus_is_early():
        return Fraction(0)
    run_ups = await opus_run_ups(job.url) if copied else {}
    longest = max([_OPUS_RUN_UP * encoded_anew, *(run_ups.get(index, _OPUS_RUN_UP) for index in copied)])
    return Fraction(ceil(Fraction(1000 * longest, _OPUS_RATE)), 1000)


async def _join(job: Merge, tracks: Sequence[Track], cells: Sequence[Path]) -> None:
    arguments = merge_arguments(job, tracks)
    with plain_failures():
        async with asyncio.TaskGroup() as tasks:
            reader, writer = os.pipe()
            tasks.create_task(asyncio.to_thread(_write, cells, writer))
            run = tasks.create_task(_run(arguments, reader, {job.url: job.source.uri}))
    if is_remote(job.url) and says_given_up(run.result().log):  # with exit status 0, and sound to there
        raise _broken_off(job.source)


def _broken_off(source: SourceFacts) -> ServiceUnreachable:
    return ServiceUnreachable(
        f"The sound of {source.uri} broke off while the pieces were joined.", hint="Try again later."
    )


async def _run(arguments: list[str], pipe: int, redact: dict[str, str]) -> Finished:
    try:
        return await run_ffmpeg(arguments, action="joining the pieces", stdin=pipe, redact=redact)
    finally:
        os.close(pipe)  # with our end open too, a write that FFmpeg never took would block for ever


def _write(cells: Sequence[Path], pipe: int) -> None:
    """Write all cells as one file; when FFmpeg stops reading, the rest is discarded: its end says why."""
    with suppress(BrokenPipeError), open(pipe, "wb", buffering=0) as joined:
        for number, cell in enumerate(cells):
            with cell.open("rb") as file:
                for kind, start, size in boxes(file):
                    if kind in _MEDIA or (kind in HEADER and number == 0):
                        _copy(file, start, size, joined)


def _copy(file: BinaryIO, start: int, size: int, joined: BinaryIO) -> None:
    file.seek(start)
    while size > 0:
        chunk = file.read(min(size, _COPIED_BYTES))
        if not chunk:
            return
        view = memoryview(chunk)
        while view:
            view = view[joined.write(view) :]
        size -= len(chunk)


def _check_headers(cells: Sequence[Path]) -> None:
    """Raise FfmpegError unless all cells were encoded alike."""
    first = header_of(cells[0])
    for cell in cells:
        if header_of(cell) != first:
            raise FfmpegError(
                f"{cell.name} was encoded otherwise than {cells[0].name} and cannot be joined with it.",
                hint="Empty the store of cells, so that all are rendered alike: ecg-render cells --clear.",
            )


# --- a file as it was written, read back ----------------------------------------------------------


# WebM's clock ticks once a millisecond, so its steps cannot be equal; each frame must be at its nearest tick.
# Opus begins 6.5 ms early for its decoder to get going; WebM, which has no negative times, moves everything by that.
_LARGEST_SHIFT = Fraction(10, 1000)
# With less room, a disk counts as full.
_FULL_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Verified:
    """A finished file as read back."""

    frames: int
    duration_seconds: float
    size_bytes: int
    sha256: str
    sounds: int = 0
    """How many tracks of sound it has."""


def check_cell(path: Path, target: Target, start: int, end: int) -> None:
    """Check that a cell holds frames `start` up to, not including, `end` of `target`, and stands alone.

    Raises FfmpegError that says what differs, ResourceError where that is because the disk is full.
    """
    name = f"The piece of frames {start} to {end - 1}"
    lead = (LEAD_FRAMES + start) / target.exact_rate
    try:
        with _opened(path, name) as container:
            _check_pictures(container, target, end - start, name, start=lead)
    except FfmpegError as error:
        # Writing fragments to a full disk, FFmpeg 5 says nothing and ends well.
        if shutil.disk_usage(path.parent).free < _FULL_BYTES:
            raise ResourceError(
                f"The disk is full: {name[0].lower()}{name[1:]} was cut off.",
                hint="Free some space, or keep pieces (--cells) on another disk.",
            ) from error
        raise


def check_result(path: Path, target: Target, *, start: Fraction, sounds: int) -> Verified:
    """Check a merged file and hash it.

    `start`: when its first frame is shown, in seconds, after the first sound if that comes earlier. `sounds`: the most
    audio streams that it may have. Raises FfmpegError that says what differs.
    """
    with _opened(path, "The result") as container:
        _check_pictures(container, target, target.frames, "The result", start=start)
        audio = len(container.streams.audio)
        duration = (container.duration or 0) / av.time_base
    _expect(audio <= sounds, f"The result has {audio} audio streams instead of {sounds}.")
    shortest = float((target.frames - 1) / target.exact_rate)
    _expect(duration > shortest, f"The result says it lasts {duration:.3f} seconds, less than its own pictures.")
    if target.format != "webm":
        with path.open("rb") as file:
            order = [kind for kind, _, _ in boxes(file) if kind in {b"moov", b"mdat"}]
        _expect(order[:1] == [b"moov"], "The result's table of contents is not at its start.")
    return Verified(target.frames, duration, path.stat().st_size, sha256_of(path), audio)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _opened(path: Path, name: str) -> av.container.InputContainer:
    try:
        return av.open(str(path))
    except (LibavError, OSError) as error:
        raise FfmpegError(f"{name} cannot be read back: {error.strerror or error}.") from error


def _check_pictures(
    container: av.container.InputContainer, target: Target, frames: int, name: str, *, start: Fraction
) -> None:
    _expect(len(container.streams.video) == 1, f"{name} has {len(container.streams.video)} video streams.")
    stream = container.streams.video[0]
    size = stream.codec_context.width, stream.codec_context.height
    wanted = target.width, target.height
    _expect(size == wanted, f"{name} is {size[0]}x{size[1]} pixels instead of {wanted[0]}x{wanted[1]}.")
    assert stream.time_base is not None
    try:
        times = sorted(packet.pts for packet in container.demux(stream) if packet.pts is not None)
    except LibavError as error:
        raise FfmpegError(f"{name} breaks off while it is read back: {error.strerror}.") from error
    if len(times) != frames:
        raise _wrong_count(name, len(times), frames)
    _check_times(times, stream.time_base, target.exact_rate, name, start=start)


def _wrong_count(name: str, found: int, wanted: int) -> RenderError:
    hint = "The source probably breaks off or is damaged; play it to the end to check." if found < wanted else ""
    return FfmpegError(f"{name} has {found} frames instead of {wanted}.", hint=hint, frame=min(found, wanted))


def _check_times(times: list[int], tick: Fraction, rate: Fraction, name: str, *, start: Fraction) -> None:
    """Check that frame n is shown n frames after the first, to the tick where the clock can say it."""
    step, ticks = (1 / rate / tick).as_integer_ratio()
    slack = 0 if ticks == 1 else ticks
    for index, time in enumerate(times):
        if abs((time - times[0]) * ticks - index * step) > slack:
            seconds = float((time - times[0]) * tick)
            raise FfmpegError(
                f"Frame {index} of {name[0].lower()}{name[1:]} is shown at {seconds:.6f} seconds "
                f"instead of {float(index / rate):.6f}.",
                frame=index,
            )
    shown = times[0] * tick
    _expect(
        abs(shown - start) <= max(tick, _LARGEST_SHIFT),
        f"{name} shows its first frame at {float(shown):.4f} seconds instead of {float(start):.4f}.",
    )


def _expect(condition: bool, message: str) -> None:
    if not condition:
        raise FfmpegError(message)


# --- the boxes of MP4 files -----------------------------------------------------------------------


HEADER = (b"ftyp", b"moov")
_SUBTITLES = (b"sbtl", b"text", b"subt")


def header_of(cell: Path) -> bytes:
    """Return what a decoder of a cell is set up with."""
    with cell.open("rb") as file:
        parts = [(start, size) for kind, start, size in boxes(file) if kind in HEADER]
        return b"".join(_read(file, start, size) for start, size in parts)


def _read(file: BinaryIO, start: int, size: int) -> bytes:
    file.seek(start)
    return file.read(size)


def boxes(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Yield type, position and bytes of an MP4 file's outermost boxes, in order; the last may be cut off."""
    position = 0
    while len(header := _read(file, position, 8)) == 8:
        size, kind = int.from_bytes(header[:4]), header[4:]
        if size == 1:  # the real size follows, in 64 bits
            size = int.from_bytes(file.read(8))
        if size < 8:  # up to the end of the file
            size = file.seek(0, os.SEEK_END) - position
        yield kind, position, size
        position += size


def disable_subtitles(path: Path) -> None:
    """Mark the subtitle tracks of a finished MP4 file as those that players show when they are asked to.

    FFmpeg's muxer enables the first one if none is, and players would show it above captions that are burnt in.
    """
    with path.open("r+b") as file:
        moov = next((start, size) for kind, start, size in boxes(file) if kind == b"moov")
        content = _read(file, *moov)
        for kind, track, size in _inner(content, 8, len(content)):
            if kind != b"trak":
                continue
            parts = {name: place for name, place, _ in _inner(content, track + 8, track + size)}
            media = parts[b"mdia"]
            length = int.from_bytes(content[media : media + 4])
            handler = {name: place for name, place, _ in _inner(content, media + 8, media + length)}[b"hdlr"]
            if content[handler + 16 : handler + 20] in _SUBTITLES:
                flags = parts[b"tkhd"] + 11  # the lowest of three bytes, behind size, name and version
                file.seek(moov[0] + flags)
                file.write(bytes([content[flags] & ~1]))


def _inner(content: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield type, position and bytes of the boxes between two positions; FFmpeg writes their sizes in 32 bits."""
    while start + 8 <= end:
        size = int.from_bytes(content[start : start + 4])
        if size < 8:
            return
        yield content[start + 4 : start + 8], start, size
        start += size
