"""A segment as a stream of cells: capture -> queue -> FFmpeg, all at once, no frame on disk.

    Chromium --patches--> draw --pictures-+-> FrameQueue --> NUT on a pipe --> FFmpeg --> cell, cell, cell ...
                                          +-> CaptionCellWriter ----------------------> captions alone, cell by cell

`render` is what a whole job, a pod and everything that follows a render share. It owns the browser while it runs, and
tells a `RenderMeter` how far it is and what it took.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ecg_renderer.browser import BrowserLauncher
from ecg_renderer.capture import open_capture
from ecg_renderer.capture.patches import BoxOutgrownError, Capture, YuvaPicture, draw, sample_frames
from ecg_renderer.colour import tone_map_of
from ecg_renderer.errors import BrowserError, FfmpegError, SourceInvalid, plain_failures
from ecg_renderer.frames import CaptionCellWriter, CaptionFrame, FrameQueue, NutWriter
from ecg_renderer.looking import look_along, look_outside, told
from ecg_renderer.media.arguments import LEAD_FRAMES, CellFiles, Overlay, Pictures, segment_arguments
from ecg_renderer.media.codecs import encoder_threads
from ecg_renderer.media.damage import damage_note, damage_words, damaged_pictures, read_damage, write_damage
from ecg_renderer.media.encoder import encode
from ecg_renderer.media.merge import check_cell
from ecg_renderer.media.placing import Placing
from ecg_renderer.media.process import Progress
from ecg_renderer.metering import RenderMeter, cores
from ecg_renderer.model import Area, Box, Boxes, CaptureWay, Film, Notes, apart
from ecg_renderer.preparation import PreparedJob
from ecg_renderer.request import Settings
from ecg_renderer.scenario import Finding
from ecg_renderer.storage import Found

log = logging.getLogger(__name__)

BOX_MARGIN = 16
LEAST_GAP = 8
"""One of how many parts of the height must be free between captions for them to be captured apart."""
PIPE_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Surroundings:
    """Where a render takes place: settings of the machine, a folder for cells, browsers, remembered verdicts."""

    settings: Settings
    folder: Path
    launcher: BrowserLauncher
    verdicts: Notes


class Part(NamedTuple):
    """Consecutive cells to render, and what is made of them: the video, the captions alone, or both."""

    cells: range
    video: bool = True
    alone: bool = False


class Piece(NamedTuple):
    """A finished cell: its number and file, of the video or of the captions alone, and what was found in it."""

    number: int
    path: Path
    alone: bool = False
    found: tuple[Found, ...] = ()


async def render(
    prepared: PreparedJob, parts: Sequence[Part], here: Surroundings, meter: RenderMeter
) -> AsyncGenerator[Piece, None]:
    """Render the cells of `parts`; yield each when it is finished, captions alone before the video's of that number.

    One FFmpeg writes the cells of a part; all parts share a browser. What has been yielded was checked, and stays
    good whatever happens later. Raises a RenderError. Close it (`aclosing`) to stop.
    """
    films = [prepared.film(prepared.frames_of(part.cells)) for part in parts]
    first = next((film for film in films if film.blocks), None)
    async with AsyncExitStack() as stack:
        capture: Capture | None = None
        if first:
            with meter.starting():
                opened = open_capture(first, prepared.conversion, here.settings, here.launcher, here.verdicts)
                choice = await stack.enter_async_context(opened)
            meter.capture_by(choice)
            capture = choice.capture
        for line in await look_along(prepared, here.verdicts, capture.page if capture else None, here.launcher):
            meter.warn(line)
        try:
            for number, (part, film) in enumerate(zip(parts, films, strict=True)):
                meter.begin(number)
                if capture and film.blocks:
                    await capture.show(film)
                stream = _CellStream(prepared, film, capture if film.blocks else None, here, meter)
                async with aclosing(stream.pieces(part)) as finished:
                    async for piece in finished:
                        yield piece
        finally:
            for line in told(capture.statistics.failures if capture else ()):
                meter.warn(line)
        await _tell_damage(prepared, here, meter)


async def _tell_damage(prepared: PreparedJob, here: Surroundings, meter: RenderMeter) -> None:
    """Tell what the source's damage is, and note it for runs that find the cells in the store, unless that is known."""
    name = damage_note(prepared.source)
    known = read_damage(await here.verdicts.recall(name)) if meter.damage else set()
    if meter.damage - known:
        meter.warn(damage_words(meter.damage))
        await here.verdicts.note(name, write_damage(known | meter.damage))


class _CellStream:
    """Runs FFmpeg over cells, once or, where a caption reaches out of the box that was measured, several times."""

    def __init__(
        self, prepared: PreparedJob, film: Film, capture: Capture | None, here: Surroundings, meter: RenderMeter
    ) -> None:
        self._prepared = prepared
        self._film = film
        self._capture = capture
        self._here = here
        self._meter = meter
        self._files = CellFiles(here.folder, 0, prepared.plan.cell_frames)
        self._outside: list[Finding] = []

    async def pieces(self, part: Part) -> AsyncGenerator[Piece, None]:
        """Yield the finished cells in order.

        A caption that reaches out of the box starts the unfinished rest again, first with a box around both, then with
        the whole picture.
        """
        whole = self._film.whole
        area = await self._measure()
        grown = False
        while part.cells:
            try:
                async with aclosing(self._run(part, area)) as finished:
                    async for number, alone in finished:
                        if alone and part.video:  # the captions of a cell whose video is yet to come
                            yield Piece(number, self._files.captions_path(number), True, await self._found(number))
                            continue
                        self._meter.finished(len(self._prepared.frames_of(range(number, number + 1))))
                        path = self._files.captions_path(number) if alone else self._files.path(number)
                        yield Piece(number, path, alone, await self._found(number))
                        part = part._replace(cells=part.cells[1:])
            except BoxOutgrownError as outgrown:
                if area is None or area == whole:
                    raise BrowserError(
                        f"The captions do not fit the picture: {outgrown}.", frame=outgrown.frame
                    ) from None
                log.info("Captions reach %s at frame %d, out of %s.", outgrown.box, outgrown.frame, area)
                # Grown once already: no more guessing.
                area = whole if grown else self._area([*area.parts, outgrown.box])
                grown = True
                self._meter.begin()

    async def _found(self, number: int) -> tuple[Found, ...]:
        """Return what was found about what can be seen in a cell: whoever uses it again is told, too."""
        if self._capture is None:
            return ()
        await self._capture.note_failures()
        failures = self._capture.statistics.failures
        if not self._outside and not failures:
            return ()
        film = self._prepared.film(self._prepared.frames_of(range(number, number + 1)))
        cues = {cue["id"] for cue in film.scenario["cues"]}
        plugins = {module.key for module in film.modules.values()}
        seen = [(item.kind, item.line) for item in self._outside if item.cue in cues]
        off = [item for item in failures if (item.cue in cues if item.cue else item.plugin in plugins)]
        return (*seen, *((item.kind, item.line) for item in off))

    async def _measure(self) -> Area | None:
        if self._capture is None:
            return None
        boxes = await self._capture.measure(list(sample_frames(self._film.blocks, self._film.rate)))
        await self._look(self._capture)
        return self._area(boxes or [Box(0, 0, 2, 2)])

    def _area(self, boxes: Sequence[Box]) -> Area:
        """Return what is captured where captions reach `boxes`: one box, or several where much is free in between."""
        whole = self._film.whole
        packs = self._capture is not None and self._capture.way is CaptureWay.CANVAS
        parts = apart((_with_margin(box, whole) for box in boxes), whole.height // LEAST_GAP if packs else whole.height)
        return parts[0] if len(parts) == 1 else Boxes(tuple(parts))

    async def _look(self, capture: Capture) -> None:
        """Say what was measured outside of the picture."""
        if not capture.page:
            return
        outside = await look_outside(self._prepared, self._film, self._here.verdicts, capture.page)
        if outside is None:
            return
        await capture.lay_out()
        self._outside = outside
        for line in told(outside):
            self._meter.warn(line)

    async def _run(self, part: Part, area: Area | None) -> AsyncGenerator[tuple[int, bool], None]:
        """Yield the numbers of cells as they are finished and found good, and whether it is the captions alone."""
        written: asyncio.Queue[tuple[int, bool] | None] = asyncio.Queue()
        run = _Run(self._prepared, self._film, self._capture, area, part, self._here, self._meter, written)
        running = asyncio.create_task(run.run())
        try:
            while (finished := await written.get()) is not None:
                number, alone = finished
                frames = self._prepared.frames_of(range(number, number + 1))
                if not alone:
                    # FFmpeg's success is not believed: it ends well on a truncated source too.
                    await asyncio.to_thread(
                        check_cell, self._files.path(number), self._prepared.plan.target, frames.start, frames.end
                    )
                yield number, alone
            await running
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


class _Run:
    """One run of FFmpeg, and of what feeds it; or without a video, of what draws captions alone."""

    def __init__(
        self,
        prepared: PreparedJob,
        film: Film,
        capture: Capture | None,
        area: Area | None,
        part: Part,
        here: Surroundings,
        meter: RenderMeter,
        written: asyncio.Queue[tuple[int, bool] | None],
    ) -> None:
        self._prepared = prepared
        self._capture = capture
        self._area = area
        self._cells = list(part.cells) if part.video else []
        self._alone = list(part.cells) if part.alone else []
        self._here = here
        self._meter = meter
        self._written = written
        self._frames = prepared.frames_of(part.cells)
        self._blocks = [block for block in film.blocks if block.frames.start >= self._frames.start]
        self._files = CellFiles(here.folder, part.cells[0], prepared.plan.cell_frames)

    async def run(self) -> None:
        """Write all cells; their numbers go to `written`, and None in the end, also after a failure."""
        for cell in self._cells:  # left by a run that was given up
            self._files.path(cell).unlink(missing_ok=True)
        try:
            async with self._captions() as captions:
                if self._area is None or self._capture is None:
                    self._note_alone(await captions.finish())
                    if self._cells:
                        await self._encode(None, None)
                elif self._cells:
                    await self._stream(self._capture, self._area, captions)
                else:
                    await self._produce(None, self._capture, self._area, captions)
            self._note_written(all_of_them=True)
        finally:
            self._written.put_nowait(None)

    def _captions(self) -> CaptionCellWriter:
        paths = [self._files.captions_path(cell) for cell in self._alone]
        ranges = [self._prepared.frames_of(range(cell, cell + 1)) for cell in self._alone]
        return CaptionCellWriter(paths, ranges, self._area or Box(0, 0, 2, 2))

    async def _stream(self, capture: Capture, area: Area, captions: CaptionCellWriter) -> None:
        settings = self._here.settings
        policy = self._prepared.job.spec.options.frame_policy
        queue = FrameQueue(settings.queue_frames, settings.memory_bytes, policy)
        self._meter.queue = queue
        with plain_failures(BoxOutgrownError):
            async with asyncio.TaskGroup() as tasks:
                reader, writer = _pipe()
                tasks.create_task(self._produce(queue, capture, area, captions))
                tasks.create_task(_write(queue, NutWriter(writer, area, self._prepared.grid.rate)))
                tasks.create_task(self._encode(area, reader))

    async def _produce(
        self, queue: FrameQueue | None, capture: Capture, area: Area, captions: CaptionCellWriter
    ) -> None:
        picture = YuvaPicture(area.width, area.height, self._prepared.conversion)
        async with aclosing(
            draw(capture, self._blocks, area, picture, end=self._frames.end, on_distrust=self._meter.distrust)
        ) as frames:
            async for frame in frames:
                self._meter.distinct_frames += 1
                planes = picture.to_bytes()
                if self._alone:
                    self._note_alone(await captions.put(frame, planes))
                if queue:
                    await queue.put(CaptionFrame(LEAD_FRAMES + frame, planes))
                else:
                    self._meter.encoding(frame - self._frames.start)
        self._note_alone(await captions.finish())
        if queue:
            await queue.close()

    async def _encode(self, area: Area | None, pipe: int | None) -> None:
        plan = self._prepared.plan
        pictures = Pictures(
            source=plan.source,
            url=self._prepared.source_url,
            target=plan.target,
            start=self._frames.start,
            end=self._frames.end,
            seek=plan.cells[self._files.first].seek,
            overlay=Overlay(area, "pipe:0") if area else None,
            tone_map=await asyncio.to_thread(tone_map_of, plan.source, plan.target.colour, self._files.folder),
        )
        try:
            finished = await encode(
                segment_arguments(pictures, self._files, threads=encoder_threads(cores())),
                plan.target,
                action=f"encoding frames {pictures.start} to {pictures.end - 1}",
                stdin=pipe,
                on_progress=self._note_progress,
                redact={pictures.url: plan.source.uri},
            )
        finally:
            if pipe is not None:
                os.close(pipe)  # with our end open too, a write that FFmpeg never took would block for ever
        if finished.damaged:
            placing, rate = Placing.of(plan.source, plan.target), plan.target.exact_rate
            start, end = (
                placing.source_frame(pictures.start) / rate,
                (placing.source_frame(pictures.end - 1) + 1) / rate,
            )
            self._meter.damage |= set(await damaged_pictures(plan.source, pictures.url, start, end))
            await asyncio.to_thread(self._check_end)

    def _check_end(self) -> None:
        """Raise SourceInvalid if so much of a damaged source cannot be decoded that pictures are missing in the end."""
        plan, last = self._prepared.plan, self._frames.end
        first = plan.cell_range((last - 1) // plan.cell_frames)[0]
        try:
            check_cell(self._files.path((last - 1) // plan.cell_frames), plan.target, first, last)
        except FfmpegError as error:
            raise SourceInvalid(
                f"{plan.source.uri} is damaged: its pictures cannot be decoded up to "
                f"{float(last / plan.target.exact_rate):.1f} s ({error.message})",
                hint="Copy or download the file again, or cut off what cannot be played.",
            ) from error

    def _note_progress(self, progress: Progress) -> None:
        self._meter.encoding(min(progress.frame, len(self._frames)))
        self._note_written()

    def _note_written(self, *, all_of_them: bool = False) -> None:
        """Hand on the cells that are complete: FFmpeg opens the next file when it has closed one."""
        while self._cells and (all_of_them or (self._cells[1:] and self._files.path(self._cells[1]).exists())):
            self._written.put_nowait((self._cells.pop(0), False))

    def _note_alone(self, finished: int) -> None:
        """Hand on so many more cells of captions alone."""
        for _ in range(finished):
            self._written.put_nowait((self._alone.pop(0), True))


async def _write(queue: FrameQueue, nut: NutWriter) -> None:
    """Send queued pictures to FFmpeg; when it stops reading, the rest is discarded without a word.

    Whether it stopped too early is judged by FFmpeg's end and by the check of the cells' frames.
    """
    loop = asyncio.get_running_loop()
    # One thread, so that closing waits its turn behind a write that FFmpeg has not taken yet.
    thread = ThreadPoolExecutor(1, thread_name_prefix="ecg-nut")
    try:
        while (frame := await queue.get()) is not None:
            await loop.run_in_executor(thread, nut.write, frame)
    finally:
        thread.submit(nut.close)
        thread.shutdown(wait=False)


def _with_margin(box: Box, whole: Box) -> Box:
    left, top = max(whole.x, box.x - BOX_MARGIN), max(whole.y, box.y - BOX_MARGIN)
    right = min(whole.width, box.x + box.width + BOX_MARGIN)
    bottom = min(whole.height, box.y + box.height + BOX_MARGIN)
    return Box(left, top, right - left, bottom - top)


def _pipe() -> tuple[int, int]:
    reader, writer = os.pipe()
    with suppress(OSError):  # a smaller pipe works too, with more switches between the two processes
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return reader, writer
