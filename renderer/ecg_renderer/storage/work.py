"""A store of work files for asynchronous callers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

from ecg_renderer.errors import plain_failures
from ecg_renderer.storage.work_store import WorkStore, open_work_store

T = TypeVar("T")


class Work:
    """Work files for asynchronous callers: each request in a thread of its own.

    A thread cannot be stopped; so one that is no longer waited for is told to come to its end, and does before the
    caller goes on: a file is not taken from under its feet.
    """

    def __init__(self, uri: str) -> None:
        self._store = open_work_store(uri)

    @property
    def name(self) -> str:
        """The folder's URI; it holds no secrets."""
        return self._store.name

    async def do(self, request: Callable[[WorkStore], T]) -> T:
        """Return what `request` returns for the store."""
        task = asyncio.ensure_future(asyncio.to_thread(request, self._store))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self._store.stop()
            await asyncio.wait([task])
            if not task.cancelled():
                task.exception()  # looked at: it is of no interest any more
            raise

    async def do_all(
        self,
        requests: Sequence[Callable[[WorkStore], T]],
        *,
        at_once: int,
        on_done: Callable[[T], None] = lambda result: None,
    ) -> list[T]:
        """Return what `requests` return, in their order; `at_once` of them are under way at a time.

        The first failure is raised, and ends the rest.
        """
        turns = asyncio.Semaphore(at_once)

        async def take(request: Callable[[WorkStore], T]) -> T:
            async with turns:
                result = await self.do(request)
            on_done(result)
            return result

        with plain_failures():
            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(take(request)) for request in requests]
        return [task.result() for task in running]

    async def get(self, name: str) -> bytes | None:
        """Return the content of a work file, or None if it is not there."""
        return await self.do(lambda store: store.get(name))

    async def put(self, name: str, data: bytes) -> None:
        """Write a work file, in place of the one that was there."""
        await self.do(lambda store: store.put(name, data))
