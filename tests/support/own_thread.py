"""Keep an object of Playwright's synchronous interface in a thread of its own.

As long as it lives, its thread counts as running an event loop: `asyncio.run` and a second browser would be refused
there, and a fixture that outlives one test lives in the thread of all tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar, cast

T = TypeVar("T")


@contextmanager
def in_own_thread(opened: AbstractContextManager[T]) -> Iterator[T]:
    """Enter `opened` in a new thread; yield its object, each of whose methods then runs in that thread."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        target = thread.submit(opened.__enter__).result()
        try:
            yield cast("T", _Remote(target, thread))
        finally:
            thread.submit(opened.__exit__, None, None, None).result()


class _Remote:
    def __init__(self, target: object, thread: ThreadPoolExecutor) -> None:
        self._target = target
        self._thread = thread

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        return self._call(value) if callable(value) else value

    def _call(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            result = self._thread.submit(method, *arguments, **options).result()
            return self if result is self._target else result

        return call
