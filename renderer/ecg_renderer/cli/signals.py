"""Asynchronous work that Ctrl-C and SIGTERM end in good order."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn, TypeVar

from ecg_renderer.cli.interrupted import Interrupted

T = TypeVar("T")

STOPPING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SHOW_CURSOR = b"\033[?25h\n"  # a progress bar hides it


def run_interruptible(work: Coroutine[Any, Any, T], on_stop: Callable[[], None] = lambda: None) -> T:
    """Run `work` to its end and return its result.

    The first SIGINT, SIGTERM or SIGHUP calls `on_stop`, cancels the work, waits until it has cleaned up and raises
    Interrupted. The second ends the process at once.
    """
    return asyncio.run(_interruptible(work, on_stop))


async def _interruptible(work: Coroutine[Any, Any, T], on_stop: Callable[[], None]) -> T:
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)
    received: list[int] = []

    def stop(number: int) -> None:
        if received:
            _exit_at_once(128 + number)
        received.append(number)
        on_stop()
        task.cancel()

    for number in STOPPING_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup, or a background job: meant to be ignored
            loop.add_signal_handler(number, stop, number)
    try:
        return await task
    except BaseException as error:
        # What fails because everything is being torn down is of no interest.
        if received:
            raise Interrupted(received[0]) from error
        raise


def _exit_at_once(status: int) -> NoReturn:
    # FFmpeg and Chromium are made to end with us; files of ours that stay are removed by the next run.
    if sys.stderr.isatty():
        os.write(sys.stderr.fileno(), SHOW_CURSOR)
    os._exit(status)
