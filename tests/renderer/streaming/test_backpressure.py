"""The producer is slowed down step by step while the encoder cannot follow, and recovers."""

from __future__ import annotations

import asyncio
import time

import pytest

from ecg_renderer.frames import MEGABYTE, Backpressure, Load

THRESHOLD = 500 * MEGABYTE
CALM = Load(fill=0.1, memory_bytes=100 * MEGABYTE, cpu=0.2)
FULL_QUEUE = Load(fill=0.9, memory_bytes=100 * MEGABYTE, cpu=0.2)
MUCH_MEMORY = Load(fill=0.1, memory_bytes=600 * MEGABYTE, cpu=0.2)
HALF_FULL_AND_BUSY = Load(fill=0.6, memory_bytes=100 * MEGABYTE, cpu=0.95)
ONLY_BUSY = Load(fill=0.3, memory_bytes=100 * MEGABYTE, cpu=1.0)
ONLY_HALF_FULL = Load(fill=0.6, memory_bytes=100 * MEGABYTE, cpu=0.5)


@pytest.fixture(autouse=True)
def no_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backpressure, "FRAME_SECONDS", 0.0)


def factors(*loads: Load) -> list[float]:
    """Return the factor after each load."""
    given = iter(loads)
    pressure = Backpressure(THRESHOLD, lambda: next(given))

    async def run() -> list[float]:
        found = []
        for _ in loads:
            await pressure.pace()
            found.append(pressure.factor)
        return found

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("load", "first", "limit"),
    [
        (CALM, 1.0, 1.0),
        (ONLY_BUSY, 1.0, 1.0),
        (ONLY_HALF_FULL, 1.0, 1.0),
        (FULL_QUEUE, 1.2, 3.0),
        (MUCH_MEMORY, 1.2, 3.0),
        (HALF_FULL_AND_BUSY, 1.1, 2.0),
    ],
    ids=["calm", "only busy", "only half full", "a full queue", "much memory", "half full and busy"],
)
def test_how_fast_and_how_far_it_slows(load: Load, first: float, limit: float) -> None:
    found = factors(*[load] * 40)

    assert found[0] == pytest.approx(first)
    assert found[-1] == pytest.approx(limit)
    assert found == sorted(found)


def test_it_recovers_to_full_speed() -> None:
    found = factors(*[FULL_QUEUE] * 10, *[CALM] * 20)

    assert max(found) == 3.0
    assert found[9:] == sorted(found[9:], reverse=True)
    assert found[-1] == 1.0


def test_less_pressure_never_lowers_the_factor_below_what_more_pressure_asked_for() -> None:
    assert factors(*[FULL_QUEUE] * 10, HALF_FULL_AND_BUSY)[-1] == 3.0


def test_the_peak_is_remembered() -> None:
    loads = iter([*[FULL_QUEUE] * 3, *[CALM] * 30])
    pressure = Backpressure(THRESHOLD, lambda: next(loads))

    async def run() -> None:
        for _ in range(33):
            await pressure.pace()

    asyncio.run(run())

    assert (pressure.factor, pressure.peak_factor) == (1.0, pytest.approx(1.2**3))


def test_it_really_waits_and_says_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backpressure, "FRAME_SECONDS", 0.05)
    pressure = Backpressure(THRESHOLD, lambda: FULL_QUEUE)

    async def run() -> float:
        began = time.monotonic()
        for _ in range(3):
            await pressure.pace()
        return time.monotonic() - began

    elapsed = asyncio.run(run())

    assert pressure.waited_seconds == pytest.approx(0.05 * (0.2 + 0.44 + 0.728))
    assert elapsed >= pressure.waited_seconds * 0.95


def test_without_pressure_it_does_not_even_yield() -> None:
    pressure = Backpressure(THRESHOLD, lambda: CALM)

    with pytest.raises(StopIteration):
        pressure.pace().send(None)
