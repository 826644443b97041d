"""How a command ends: a result, one paragraph about a failure, or a signal; and with which exit status."""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import typer

if TYPE_CHECKING:
    from ecg_api.failures import Failure


T = TypeVar("T")

_LOG_LINES = 5
# For other failures, such as a full disk, the message says it all.
_LOG_HELPS = {"FFMPEG_ERROR", "BROWSER_ERROR", "RENDER_ERROR", "RENDERING_TIMEOUT", "STREAMING_ERROR"}
_USED_UP = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
_RED, _PLAIN = "\033[1;31m", "\033[0m"


class Interrupted(Exception):
    """The work was stopped by `signal` and has cleaned up after itself."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.signal = number


class ReaderGone(Exception):
    """Whoever read our standard output has seen enough, for example `head`."""


def put(line: str) -> None:
    """Write a line to standard output; raise ReaderGone if nobody reads it."""
    try:
        typer.echo(line)
    except BrokenPipeError as error:
        raise ReaderGone from error


@contextmanager
def ending(*, as_json: bool = False, after_interruption: str = "", words: Callable[[str], str] = str) -> Iterator[None]:
    """Turn every way in which the block can fail into words on standard error and an exit status.

    `as_json`: a failure is printed on standard output too, as `{"failure": {...}}`. `after_interruption` tells how
    to go on after Ctrl-C. ECG_DEBUG=1 lets stack traces and logs through.
    """
    _set_up_logging()
    try:
        yield
    except (KeyboardInterrupt, Interrupted) as error:
        number = error.signal if isinstance(error, Interrupted) else signal.SIGINT
        _end_interrupted(number, as_json, after_interruption)
    except ReaderGone:
        # Python would complain once more when it flushes standard output at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except Exception as error:
        if _debugging():
            traceback.print_exception(error)
        failure = failure_of(error)
        said = {"message": words(failure.message), "hint": words(failure.hint)}
        _print_failure(failure.model_copy(update=said), as_json)
        sys.exit(_exit_code(failure))


def end_failed(failure: Failure) -> NoReturn:
    """End with the words and the exit status of a failure; what there is to say on standard output was said."""
    _print_failure(failure, as_json=False)
    sys.exit(_exit_code(failure))


def failure_of(error: Exception) -> Failure:
    """Return what `error` amounts to; one that nobody foresaw is an UNEXPECTED_ERROR."""
    from ecg_api.failures import RULES, Failure, FailureCode
    from ecg_renderer.errors import RenderError, ResourceError, first_failure

    cause = first_failure(error) if isinstance(error, ExceptionGroup) else error
    if isinstance(cause, RenderError):
        return cause.failure()
    if isinstance(cause, MemoryError):
        return ResourceError("Memory ran out.", hint="Give it more memory, or render a smaller picture.").failure()
    if isinstance(cause, OSError) and cause.errno in _USED_UP:
        where = f" ({cause.filename})" if cause.filename else ""
        return ResourceError(f"The machine has nothing left: {cause.strerror}{where}.", hint="Free some.").failure()
    code = FailureCode.UNEXPECTED_ERROR
    said = str(cause).strip().partition("\n")[0]
    return Failure(
        code=code,
        message=f"{type(cause).__name__}{': ' if said else ''}{said}. This is a mistake in the program.",
        hint="Run the command again with ECG_DEBUG=1 and report what it prints.",
        retryable=RULES[code].retryable,
    )


def failure_text(failure: Failure, *, colour: bool) -> str:
    """Return the paragraph for a person, and below it the last log lines if they say more."""
    red, plain = (_RED, _PLAIN) if colour else ("", "")
    places = {"segment": failure.segment, "frame": failure.frame}
    unnamed = [f"{name} {number}" for name, number in places.items() if number is not None]
    unnamed = [place for place in unnamed if place.lower() not in failure.message.lower()]
    where = f" ({', '.join(unnamed)})" if unnamed else ""
    message = (failure.message.rstrip().removesuffix(".") if where else failure.message.rstrip()) + where
    if not message.endswith((".", "!", "?")):
        message += "."
    paragraph = f"{red}{failure.code}{plain}: {message} {failure.hint}".rstrip()
    log = failure.log_tail if failure.code in _LOG_HELPS else []
    lines = [line for line in log if line not in failure.message][-_LOG_LINES:]
    return "\n".join([paragraph, *(f"  | {line}" for line in lines)])


def _print_failure(failure: Failure, as_json: bool) -> None:
    if as_json:
        _print_json(failure)
    typer.echo(failure_text(failure, colour=_is_coloured()), err=True)


def _print_json(failure: Failure) -> None:
    put(json.dumps({"failure": failure.model_dump(mode="json")}))


def _is_coloured() -> bool:
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR")


def _exit_code(failure: Failure) -> int:
    from ecg_api.failures import RULES

    return RULES[failure.code].exit_code


def _end_interrupted(number: int, as_json: bool, after: str) -> None:
    if as_json:
        from ecg_renderer.errors import Cancelled

        _print_json(Cancelled(f"Stopped by {signal.Signals(number).name}.", hint=after).failure())
    typer.echo(f"Stopped. {after}".rstrip(), err=True)
    sys.exit(128 + number)


def _set_up_logging() -> None:
    if _debugging():
        logging.basicConfig(level=logging.INFO, format="%(relativeCreated)7d ms %(name)s: %(message)s")
    else:
        logging.basicConfig(level=logging.WARNING, format="Warning: %(message)s")
        # Asyncio logs what nobody waited for any more, with a stack trace.
        logging.getLogger("asyncio").setLevel(logging.CRITICAL + 1)


def _debugging() -> bool:
    return bool(os.environ.get("ECG_DEBUG"))


# --- work that Ctrl-C and SIGTERM end in good order -----------------------------------------------


STOPPING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SHOW_CURSOR = b"\033[?25h\n"  # a progress bar hides it


def run_interruptible(work: Coroutine[Any, Any, T], on_stop: Callable[[], None] = lambda: None) -> T:
    """Run `work` to its end and return its result.

    The first SIGINT, SIGTERM or SIGHUP calls `on_stop`, cancels the work, waits until it has cleaned up and raises
    Interrupted. The second ends the process at once.
    """
    import asyncio

    return asyncio.run(_interruptible(work, on_stop))


async def _interruptible(work: Coroutine[Any, Any, T], on_stop: Callable[[], None]) -> T:
    import asyncio

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
