"""The queue is bounded by frames and bytes, and says what it did."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from ecg_renderer.frames import CaptionFrame, FramePolicy, FrameQueue
from ecg_renderer.model import MEGABYTE

T = TypeVar("T")
A_MOMENT = 0.02
PATIENCE = 60.0


def frame(index: int, size: int = 10) -> CaptionFrame:
    return CaptionFrame(index, bytes(size))


def indices(frames: list[CaptionFrame | None]) -> list[int | None]:
    return [each.index if each else None for each in frames]


async def take(queue: FrameQueue, count: int) -> list[int | None]:
    return indices([await queue.get() for _ in range(count)])


async def waits(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Return `work` as a task that does not get done by itself."""
    task = asyncio.create_task(work)
    done, _ = await asyncio.wait({task}, timeout=A_MOMENT)
    assert not done
    return task


def test_frames_come_out_in_the_order_they_went_in() -> None:
    async def run() -> list[int | None]:
        queue = FrameQueue()
        for index in (3, 1, 2):
            await queue.put(frame(index))
        await queue.close()
        return await take(queue, 5)

    assert asyncio.run(run()) == [3, 1, 2, None, None]


@pytest.mark.parametrize(
    ("max_frames", "max_bytes", "fitting"), [(3, MEGABYTE, 3), (60, 35, 3), (60, 30, 3), (1, MEGABYTE, 1)]
)
def test_a_full_queue_makes_the_producer_wait_and_loses_nothing(max_frames: int, max_bytes: int, fitting: int) -> None:
    async def run() -> list[int | None]:
        queue = FrameQueue(max_frames, max_bytes)
        for index in range(fitting):
            await queue.put(frame(index))
        waiting = await waits(queue.put(frame(fitting)))
        first = await take(queue, 1)
        await asyncio.wait_for(waiting, PATIENCE)
        statistics = queue.statistics()
        assert (statistics.dropped_frames, statistics.queue_size) == (0, fitting)
        return first + await take(queue, fitting)

    assert asyncio.run(run()) == list(range(fitting + 1))


def test_a_consumer_waits_for_a_frame() -> None:
    async def run() -> int:
        queue = FrameQueue()
        waiting = await waits(queue.get())
        await queue.put(frame(7))
        got = await asyncio.wait_for(waiting, PATIENCE)
        assert got is not None
        return got.index

    assert asyncio.run(run()) == 7


def test_closing_wakes_a_waiting_consumer() -> None:
    async def run() -> CaptionFrame | None:
        queue = FrameQueue()
        waiting = await waits(queue.get())
        await queue.close()
        return await asyncio.wait_for(waiting, PATIENCE)

    assert asyncio.run(run()) is None


@pytest.mark.parametrize(("max_frames", "max_bytes", "kept"), [(3, MEGABYTE, 3), (60, 25, 2), (1, MEGABYTE, 1)])
def test_dropping_keeps_the_newest_and_counts_the_others(max_frames: int, max_bytes: int, kept: int) -> None:
    async def run() -> list[int | None]:
        queue = FrameQueue(max_frames, max_bytes, "drop")
        for index in range(10):
            await asyncio.wait_for(queue.put(frame(index)), PATIENCE)
        await queue.close()
        left = await take(queue, kept + 1)
        statistics = queue.statistics()
        assert statistics.dropped_frames == 10 - kept
        assert statistics.processed_frames == kept
        assert statistics.drop_rate == pytest.approx((10 - kept) / 10)
        return left

    assert asyncio.run(run()) == [*range(10 - kept, 10), None]


def test_how_long_the_producer_waited_is_known() -> None:
    async def run() -> None:
        queue = FrameQueue(1, MEGABYTE)
        began = time.monotonic()
        await queue.put(frame(0))
        at_first = queue.statistics().waited_seconds
        assert at_first <= time.monotonic() - began
        began = time.monotonic()
        waiting = await waits(queue.put(frame(1)))
        await take(queue, 1)
        await asyncio.wait_for(waiting, PATIENCE)
        assert A_MOMENT * 0.9 <= queue.statistics().waited_seconds - at_first <= time.monotonic() - began

    asyncio.run(run())


@pytest.mark.parametrize("policy", ["block", "drop"])
def test_a_frame_larger_than_the_bound_passes_alone(policy: FramePolicy) -> None:
    async def run() -> list[int | None]:
        queue = FrameQueue(60, 100, policy)
        await asyncio.wait_for(queue.put(frame(0, 5000)), PATIENCE)
        statistics = queue.statistics()
        assert statistics.current_memory_mb > statistics.max_memory_mb
        first = await take(queue, 1)
        await asyncio.wait_for(queue.put(frame(1, 5000)), PATIENCE)
        return first + await take(queue, 1)

    assert asyncio.run(run()) == [0, 1]


def test_the_memory_in_use_and_its_peak_are_known() -> None:
    async def run() -> None:
        queue = FrameQueue(8, 4 * MEGABYTE)
        for index in range(3):
            await queue.put(frame(index, MEGABYTE))
        assert queue.statistics().current_memory_mb == 3
        await take(queue, 2)

        statistics = queue.statistics()
        assert (statistics.current_memory_mb, statistics.peak_memory_mb, statistics.max_memory_mb) == (1, 3, 4)
        assert (statistics.queue_size, statistics.max_size, statistics.processed_frames) == (1, 8, 2)
        assert statistics.drop_rate == 0

    asyncio.run(run())


def test_many_producers_and_consumers_lose_and_double_nothing() -> None:
    async def run() -> list[int]:
        queue = FrameQueue(3, MEGABYTE)
        taken: list[int] = []

        async def produce(first: int) -> None:
            for index in range(first, first + 50):
                await queue.put(frame(index))

        async def consume() -> None:
            while (got := await queue.get()) is not None:
                taken.append(got.index)

        async with asyncio.TaskGroup() as consumers:
            for _ in range(3):
                consumers.create_task(consume())
            async with asyncio.TaskGroup() as producers:
                for first in (0, 50, 100):
                    producers.create_task(produce(first))
            await queue.close()
        return taken

    assert sorted(asyncio.run(run())) == list(range(150))
