"""The sound of a live stream, in pieces as long as the video's cells: AAC, whatever the source has.

Encoded anew, since a player of live streams wants what sources need not have: a codec that every browser knows, one
header, and sound from beginning to end. Packets lie on one grid from time 0, so that pieces of different processes
join without a gap, and are timed on the clock of the cells.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from ecg_api.plan import Plan
from ecg_renderer.media.arguments import LEAD_FRAMES, CellFiles
from ecg_renderer.media.filters import decimal
from ecg_renderer.media.inputs import input_name, source_options
from ecg_renderer.media.process import Progress, run_ffmpeg

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
    options: dict[str, object] = dict(source_options(pieces.url, insist=True))
    if start:
        sought = max(source.start + start - _SEEK_MARGIN, Fraction(0))
        options |= {"ss": decimal(sought), "seek_timestamp": 1}
    chain = [
        f"asetpts=PTS-({decimal(source.start + first)})/TB",
        # Silence where there is no sound, from the beginning on.
        f"aresample={_RATE}:async=1:first_pts=0",
        "aformat=sample_fmts=fltp:channel_layouts=stereo",
        f"apad,atrim=end={decimal(length)}",
    ]
    muxer = "movflags=+empty_moov+default_base_moof+frag_discont:use_editlist=0:avoid_negative_ts=disabled"
    return [
        "-copyts",
        *(word for name, value in options.items() for word in (f"-{name}", str(value))),
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
