"""The fast way: the page draws its stages into a canvas (page/canvas-capture.js) and hands over changed boxes.

They come through memory that is shared with the page.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import mmap
import os
import struct
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ecg_renderer.browser import Browser, BrowserLauncher, EventHandler, Json, Page
from ecg_renderer.capture.patches import HEADER, Kind, Record, parse
from ecg_renderer.capture.restarting import RestartingCapture
from ecg_renderer.colour import Conversion
from ecg_renderer.errors import BrowserError, FrameTimeout, plain_failures
from ecg_renderer.model import Area, Block, CaptureWay, Film

log = logging.getLogger(__name__)

RING_BYTES = 16 * 1024 * 1024
HELD_BYTES = 128 * 1024 * 1024
POLL_SECONDS = 0.008
CHECK_EVERY = 120
LOAD_SECONDS = 30.0


class CanvasCapture(RestartingCapture):
    """Captures through a canvas.

    Args:
        stages: how many stages share each paint event.
        frame_timeout: seconds without a sign of life after which the browser counts as hung.
        ring: use shared memory if it can be had.
    """

    way = CaptureWay.CANVAS

    def __init__(
        self,
        launcher: BrowserLauncher,
        film: Film,
        conversion: Conversion | None,
        *,
        stages: int,
        frame_timeout: float,
        ring: bool = True,
    ) -> None:
        super().__init__(film)
        self._launcher = launcher
        self._conversion = conversion
        self._stages = stages
        self._frame_timeout = frame_timeout
        self._ring_wanted = ring
        self._ring: Ring | None = None
        self._browser: Browser | None = None
        self._page: Page | None = None
        self._whole_boxes = False

    @property
    def page(self) -> Page | None:
        """The page that captions are laid out in."""
        return self._page

    async def _open(self) -> None:
        self._browser = await self._launcher.start()
        self.browser_version = self._browser.version
        self._page = await self._browser.open_page(self.film.width, self.film.height)
        with plain_failures():
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._load())
                tasks.create_task(self._open_sink())

    async def _load(self) -> None:
        assert self._browser is not None
        self._browser.fetched = self.film.served()
        await self._guard()
        config = self.film.page_config(stages=self._stages, canvas=True)
        await self._call("config => ecg.load(config)", config)

    async def _close(self) -> None:
        if self._ring:
            self._ring.close()
            self._ring = None
        self._page = None
        if self._browser:
            await self._browser.close()
            self._browser = None

    async def _call(self, script: str, argument: Any) -> Any:
        assert self._page is not None
        try:
            async with asyncio.timeout(LOAD_SECONDS):
                return await self._page.evaluate(script, argument)
        except TimeoutError as error:
            raise FrameTimeout(f"The caption page did not answer for {LOAD_SECONDS:g} s.") from error

    async def _send(self, method: str, parameters: Json | None = None) -> Json:
        assert self._page is not None
        return await self._page.send(method, parameters)

    def _on(self, event: str, handler: EventHandler) -> None:
        assert self._page is not None
        self._page.on(event, handler)

    async def _kill(self) -> None:
        if self._browser:
            await self._browser.close()

    async def _measure(self, frames: list[int]) -> list[list[float]]:
        boxes: list[list[float]] = await self._call("frames => ecg.measure(frames)", frames)
        return boxes

    async def send_whole_boxes(self) -> None:
        """Send whole boxes from now on: the patches were found not to add up."""
        self._whole_boxes = True
        await self._call("() => ecg.sendWholeBoxes()", None)

    async def _session(self, blocks: list[Block], area: Area) -> AsyncGenerator[Record, None]:
        """Let the page capture `blocks`; yield its records until the last."""
        assert self._page is not None
        config = {
            "blocks": [{"start": b.frames.start, "end": b.frames.end, "replay": replay_of(b)} for b in blocks],
            "parts": [asdict(part) for part in area.parts],
            "checkEvery": CHECK_EVERY,
            "heldBytes": HELD_BYTES,
            "wholeBoxes": self._whole_boxes,
        }
        run = asyncio.ensure_future(self._page.evaluate("config => ecg.captureCanvas(config)", config))
        source = self._from_ring(run) if self._ring else self._from_protocol(run)
        try:
            async with aclosing(source) as records:
                async for record in records:
                    if record.kind is Kind.OUTGROWN:
                        raise record.outgrown()
                    if record.kind is Kind.END:
                        break
                    if record.kind is Kind.REPLAYING:
                        continue
                    yield record
            self.statistics.add_page(await run)
            await self._note_failures()
        finally:
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)

    async def _open_sink(self) -> None:
        weights = self._conversion.as_page_config() if self._conversion else None
        if self._ring_wanted:
            assert self._browser is not None
            size = max(RING_BYTES, 8 * self.film.width * self.film.height)
            with suppress(BrowserError):
                await self._call("a => ecg.openSink(a.size, a.weights)", {"size": size, "weights": weights})
                self._ring = Ring.find(self._browser.profile, size)
        if self._ring is None:
            if self._ring_wanted:
                log.warning("No shared memory with the browser: captions go through its debugging protocol, slowly.")
            await self._call("weights => ecg.openSink(0, weights)", weights)

    async def _from_ring(self, run: asyncio.Future[Any]) -> AsyncGenerator[Record, None]:
        assert self._ring is not None
        loop = asyncio.get_running_loop()
        last_sign = loop.time()
        while True:
            for record in self._ring.records():
                yield record
                last_sign = loop.time()
            _raise_if_failed(run)
            if loop.time() - last_sign > self._frame_timeout:
                raise self._hangs()
            await asyncio.sleep(POLL_SECONDS)

    async def _from_protocol(self, run: asyncio.Future[Any]) -> AsyncGenerator[Record, None]:
        assert self._page is not None
        while True:
            taken = asyncio.ensure_future(self._page.evaluate("() => ecg.takeRecord()"))
            try:
                await asyncio.wait({taken, run}, timeout=self._frame_timeout, return_when=asyncio.FIRST_COMPLETED)
                if run.done():
                    _raise_if_failed(run)
                    # It has been taken, though its answer may come after that of the whole run.
                    await asyncio.wait({taken}, timeout=self._frame_timeout)
                if not taken.done():
                    raise self._hangs()
                yield parse(np.frombuffer(base64.b64decode(taken.result()), np.uint8))
            finally:
                taken.cancel()
                await asyncio.gather(taken, return_exceptions=True)

    def _hangs(self) -> FrameTimeout:
        return FrameTimeout(f"No caption picture for {self._frame_timeout:g} s: the browser hangs.")


def replay_of(block: Block) -> list[tuple[int, int]]:
    """Return the ranges of frames to seek before a block, as the page takes them."""
    return [(frames.start, frames.end) for frames in block.replay]


def _raise_if_failed(run: asyncio.Future[Any]) -> None:
    if run.done() and not run.cancelled():
        error = run.exception()
        if error is not None:
            raise BrowserError(f"While capturing: {error}") from error


# --- memory shared with the page ------------------------------------------------------------------


CONTROL_BYTES = 4096
MAGIC = 0x52474345
VERSION = 1
_POSITION = struct.Struct("<Q")
_WRITTEN_AT = 16
_ACKNOWLEDGED_AT = 24


class Ring:
    """The reader's end of the ring: a file that page/ring-worker.js writes, mapped here.

    The page writes into its origin's private file system. The browser's profile lies on a memory file system, so the
    file behind it is plain memory. Where the browser keeps that file is its own business: it is found by size and by
    the magic number in it, and where it cannot be found the caller falls back to the debugging protocol.
    """

    def __init__(self, file: Path) -> None:
        with file.open("r+b") as handle:
            self._memory = mmap.mmap(handle.fileno(), 0)
        self._size = len(self._memory) - CONTROL_BYTES
        self._data = np.frombuffer(self._memory, np.uint8, offset=CONTROL_BYTES)
        self._read = 0

    @classmethod
    def find(cls, profile: Path, size: int) -> Ring | None:
        """Return the ring of `size` data bytes in a browser profile, or None if there is none."""
        for folder, _, names in os.walk(profile):
            for name in names:
                with suppress(OSError):  # Chromium makes and removes files of its own meanwhile
                    file = Path(folder, name)
                    if file.stat().st_size == CONTROL_BYTES + size and _has_magic(file, size):
                        return cls(file)
        return None

    def records(self) -> Iterator[Record]:
        """Yield what has been written since; a record's memory is given back when the next one is asked for."""
        (written,) = _POSITION.unpack_from(self._memory, _WRITTEN_AT)
        while self._read < written:
            offset = self._read % self._size
            left = self._size - offset
            record = parse(self._data, offset) if left >= HEADER.size else None
            if record is None or record.kind is Kind.SKIP:
                self._acknowledge(left)
                continue
            try:
                yield record
            finally:  # also when the reader stops at this record: it must not come again
                self._acknowledge(record.size)

    def _acknowledge(self, size: int) -> None:
        self._read += size
        _POSITION.pack_into(self._memory, _ACKNOWLEDGED_AT, self._read)

    def close(self) -> None:
        """Let go of the memory; records must not be used any more."""
        self._data = np.empty(0, np.uint8)
        try:
            self._memory.close()
        except BufferError:
            # A view is still held somewhere, for example by a traceback: the map goes when that goes.
            return


def _has_magic(file: Path, size: int) -> bool:
    with file.open("rb") as handle:
        head = handle.read(12)
    return len(head) == 12 and struct.unpack("<3I", head) == (MAGIC, VERSION, size)
