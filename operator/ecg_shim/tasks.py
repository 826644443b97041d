"""Tasks that run for as long as the service does: one that ends by itself ends the service.

A replica without its watch, its queue or its relay would answer for ever and do nothing. It says so at /readyz, stops
within seconds, and whoever keeps it running (Kubernetes, systemd, Compose) starts a whole one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

log = logging.getLogger(__name__)
T = TypeVar("T")


class TaskEnded(Exception):
    """A task that must run has ended; the text names it."""


class Tasks:
    """Tasks of one owner.

    Attributes:
        problem: which task has ended by itself, and why; empty while all run.
    """

    def __init__(self) -> None:
        self.problem = ""
        self._running: list[asyncio.Task[None]] = []
        self._ended = asyncio.Event()
        self._closing = False

    def spawn(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task that may end by `close` only, or after `stopping`."""
        task = asyncio.create_task(work, name=name)
        self._running.append(task)
        task.add_done_callback(self._done)
        return task

    async def ended(self) -> None:
        """Wait until a task has ended by itself."""
        await self._ended.wait()

    def stopping(self) -> None:
        """Say that tasks are told to end: from now on one that does is no failure."""
        self._closing = True

    async def close(self) -> None:
        """End all tasks, the last one first."""
        self.stopping()
        while self._running:
            task = self._running.pop()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _done(self, task: asyncio.Task[None]) -> None:
        if self._closing:
            return
        error = None if task.cancelled() else task.exception()
        self.problem = self.problem or f"{task.get_name()} has ended: {error or 'without a reason'}"
        log.critical("%s", self.problem, exc_info=error)
        self._ended.set()


async def wait_for_end(*owners: Tasks) -> str:
    """Wait until a task of any owner has ended by itself; return which."""
    waiting = [asyncio.create_task(owner.ended()) for owner in owners]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    return next(owner.problem for owner in owners if owner.problem)


async def unless(stopped: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """Return what comes of some work; None, and end it, if it is `stopped` before."""
    working, stopping = asyncio.create_task(work), asyncio.create_task(stopped.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        for task in (working, stopping):
            task.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)
