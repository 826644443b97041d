from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import sync_playwright

from own_thread import in_own_thread


class Counter:
    def __init__(self, ended: list[str]) -> None:
        self.threads = [threading.current_thread()]
        self.ended = ended

    def count(self) -> Counter:
        self.threads.append(threading.current_thread())
        return self


@contextmanager
def counting(ended: list[str]) -> Iterator[Counter]:
    yield Counter(ended)
    ended.append(threading.current_thread().name)


def test_an_object_lives_is_called_and_ends_in_one_other_thread() -> None:
    ended: list[str] = []
    with in_own_thread(counting(ended)) as counter:
        assert counter.count().count() is counter
        threads = set(counter.threads)
    assert len(counter.threads) == 3
    assert {thread.name for thread in threads} == set(ended)
    assert threading.current_thread() not in threads


def test_an_event_loop_runs_beside_a_browser_of_the_synchronous_interface(node_modules: Path) -> None:
    async def answer() -> int:
        return 42

    with in_own_thread(sync_playwright()) as playwright:
        assert asyncio.run(answer()) == 42
        assert playwright.chromium.name == "chromium"
