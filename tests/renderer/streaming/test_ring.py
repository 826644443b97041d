"""The shared memory between the page and us, with a real page at the other end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecg_renderer.browser import Browser, Page
from ecg_renderer.capture.canvas import CONTROL_BYTES, MAGIC, VERSION, Ring
from ecg_renderer.capture.patches import Kind

SIZE = 4096

# Records of given payloads, whose bytes count up from their number.
SEND = """async ([size, payloads]) => {
    const { RingSink } = await import('/sinks.js');
    const { Kind } = await import('/records.js');
    window.sink ??= await RingSink.open(size, null);
    if (payloads === null) return;
    for (const [number, bytes] of payloads) {
        const pixels = Uint8Array.from({ length: bytes }, (_, i) => number + i).buffer;
        const place = { x: 2, y: 4, width: 6, height: 8, block: 1 };
        await window.sink.send([{ kind: Kind.PATCH, frame: number, ...place, pixels }]);
    }
    await window.sink.send([{ kind: Kind.END }]);
}"""


@asynccontextmanager
async def opened() -> AsyncIterator[tuple[Page, Ring]]:
    browser = await Browser.start()
    ring = None
    try:
        page = await browser.open_page(64, 36)
        await page.evaluate(SEND, [SIZE, None])
        ring = Ring.find(browser.profile, SIZE)
        assert ring is not None
        yield page, ring
    finally:
        if ring:
            ring.close()
        await browser.close()


async def received(
    page: Page, ring: Ring, payloads: list[tuple[int, int]], pause: float = 0.0
) -> list[tuple[Any, ...]]:
    """Let the page send; return (frame, box, block, pixels) of what arrives up to the end."""
    sending = asyncio.ensure_future(page.evaluate(SEND, [SIZE, payloads]))
    found: list[tuple[Any, ...]] = []
    try:
        async with asyncio.timeout(100):
            while True:
                for record in ring.records():
                    if record.kind is Kind.END:
                        await sending
                        return found
                    box = record.box
                    place = (box.x, box.y, box.width, box.height)
                    found.append((record.frame, place, record.block, record.pixels.tobytes()))
                await asyncio.sleep(pause)
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


def sent(payloads: list[tuple[int, int]]) -> list[tuple[Any, ...]]:
    return [(number, (2, 4, 6, 8), 1, bytes((number + i) % 256 for i in range(length))) for number, length in payloads]


def test_many_laps_of_records_of_all_sizes_arrive_unchanged() -> None:
    chance = random.Random(3)
    largest = SIZE - 32
    sizes = [0, 1, 7, 8, 9, largest, largest, *(chance.randrange(1500) for _ in range(150)), largest, 0]
    payloads = list(enumerate(sizes))

    async def run() -> list[tuple[Any, ...]]:
        async with opened() as (page, ring):
            return await received(page, ring, payloads)

    assert asyncio.run(run()) == sent(payloads)
    assert sum(sizes) > 20 * SIZE


@pytest.mark.parametrize("left", [0, 8, 16, 24, 32, 40])
def test_a_lap_may_end_anywhere(left: int) -> None:
    """The first record leaves `left` bytes, less than a header, one header, or a little more."""
    payloads = [(0, SIZE - left - 32), (1, 100), (2, 200)]

    async def run() -> list[tuple[Any, ...]]:
        async with opened() as (page, ring):
            return await received(page, ring, payloads)

    assert asyncio.run(run()) == sent(payloads)


def test_a_slow_reader_makes_the_page_wait() -> None:
    payloads = [(number, 1000) for number in range(40)]

    async def run() -> list[tuple[Any, ...]]:
        async with opened() as (page, ring):
            return await received(page, ring, payloads, pause=0.02)

    assert asyncio.run(run()) == sent(payloads)


def test_a_record_is_not_overwritten_while_it_is_read() -> None:
    payloads = [(number, 1000) for number in range(12)]

    async def run() -> None:
        async with opened() as (page, ring):
            sending = asyncio.ensure_future(page.evaluate(SEND, [SIZE, payloads]))
            try:
                records = ring.records()
                while (record := next(records, None)) is None:
                    await asyncio.sleep(0.01)
                    records = ring.records()
                await asyncio.sleep(0.3)  # the page fills what room there is
                assert record.pixels.tobytes() == bytes(i % 256 for i in range(1000))
                assert not sending.done()
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)

    asyncio.run(run())


def test_a_reader_that_stops_in_the_middle_goes_on_with_the_next_record() -> None:
    payloads = [(number, 100) for number in range(5)]

    async def run() -> tuple[list[int], list[tuple[Any, ...]]]:
        async with opened() as (page, ring):
            await page.evaluate(SEND, [SIZE, payloads])
            first: list[int] = []
            later: list[int] = []
            async with asyncio.timeout(100):
                while 1 not in first:  # the page's worker may not have written all of them yet
                    for record in ring.records():
                        first.append(record.frame)
                        if record.frame == 1:
                            break
                    await asyncio.sleep(0.01)
                while payloads[-1][0] not in later:
                    later += [record.frame for record in ring.records() if record.kind is Kind.PATCH]
                    await asyncio.sleep(0.01)
            return first, later

    assert asyncio.run(run()) == ([0, 1], [2, 3, 4])


def ring_file(folder: Path, *, magic: int = MAGIC, version: int = VERSION, says: int = SIZE, size: int = SIZE) -> Path:
    content = np.zeros(CONTROL_BYTES + size, np.uint8)
    content[:12] = np.array([magic, version, says], np.uint32).view(np.uint8)
    file = folder / "deep" / "down" / "00000000"
    file.parent.mkdir(parents=True)
    file.write_bytes(content.tobytes())
    return file


def test_the_ring_is_found_wherever_the_browser_keeps_it(tmp_path: Path) -> None:
    ring_file(tmp_path)
    (tmp_path / "of the same size").write_bytes(bytes(CONTROL_BYTES + SIZE))

    ring = Ring.find(tmp_path, SIZE)

    assert ring is not None
    assert list(ring.records()) == []
    ring.close()


@pytest.mark.parametrize(
    "other", [{"magic": MAGIC + 1}, {"version": VERSION + 1}, {"says": SIZE * 2}, {"size": SIZE * 2}]
)
def test_another_file_is_no_ring(other: dict[str, int], tmp_path: Path) -> None:
    ring_file(tmp_path, **other)

    assert Ring.find(tmp_path, SIZE) is None
