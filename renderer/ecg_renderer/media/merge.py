"""Join finished cells to the result: their packets are copied, the sound comes once from the source.

1. see that every cell has the same header        3. join, add sound, index to the front
2. the header once, then what every cell holds    4. read the result back
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
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
from ecg_renderer.errors import FfmpegError, FfmpegStopped, ServiceUnreachable, plain_failures
from ecg_renderer.media.arguments import Merge, merge_arguments
from ecg_renderer.media.codecs import Track, encoded, kept_tracks
from ecg_renderer.media.counting import heard_streams, opus_run_ups
from ecg_renderer.media.placing import output_start
from ecg_renderer.media.process import Finished, is_remote, run_ffmpeg, says_away, says_broken_off, says_given_up
from ecg_renderer.media.verify import (
    HEADER,
    Verified,
    boxes,
    check_result,
    disable_subtitles,
    header_of,
)

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
