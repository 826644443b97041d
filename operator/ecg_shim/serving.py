"""Listen, serve, and stop in order: no new connections, requests in flight end, then relay and backend."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager

import uvicorn
from fastapi import FastAPI

from ecg_shim.tasks import TaskEnded, Tasks, wait_for_end

BACKLOG = 2048
KEEP_ALIVE_SECONDS = 75


class CannotListen(Exception):
    """The address or port cannot be had; the text says why and what to do."""


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; taken before anything is started, so that a second service stops at once.

    Raises CannotListen.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=BACKLOG, reuse_port=False)
    except OSError as error:
        raise CannotListen(
            f"Cannot listen on {host}:{port}: {error.strerror or error}. Name another with --host and --port."
        ) from error


def address_of(listening: socket.socket, host: str) -> str:
    """Return the address for a person's browser; all addresses are called localhost."""
    port = listening.getsockname()[1]
    name = "localhost" if host in ("0.0.0.0", "::", "") else host  # noqa: S104 - compared, not bound
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


async def serve(
    app: FastAPI,
    behind: AbstractAsyncContextManager[None],
    listening: socket.socket,
    drain_seconds: int,
    essential: Sequence[Tasks] = (),
) -> None:
    """Serve until SIGTERM or SIGINT; a second one stops without waiting for requests in flight.

    What is `behind` the application is started before it and stopped after it. Raises whatever keeps that from
    starting, and TaskEnded when one of the `essential` tasks in it has ended by itself.
    """
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=drain_seconds,
    )
    async with behind:
        server = _Server(config)
        watching = asyncio.create_task(_stop_at_end(server, essential), name="watch over tasks")
        try:
            await server.serve(sockets=[listening])
        finally:
            watching.cancel()
            await asyncio.wait([watching])
    if not watching.cancelled():
        raise TaskEnded(watching.result())


async def _stop_at_end(server: uvicorn.Server, essential: Sequence[Tasks]) -> str:
    """Stop serving as soon as an essential task has ended; return which."""
    problem = await wait_for_end(*essential) if essential else await asyncio.Future()
    server.should_exit = True
    return problem


def allow_many_connections() -> None:
    """Raise the limit of open files to what the system grants; each connection is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class _Server(uvicorn.Server):
    """Ends with status 0 when it is told to; uvicorn's own would raise the signal once more after it has stopped."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)
