"""The preview's socket: on this machine alone, until it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn

from ecg_renderer.errors import OptionsError
from ecg_renderer.preview.pages import Pages
from ecg_renderer.preview.watching import RequestMaker, Watched

HERE = "127.0.0.1"
ENDING_SECONDS = 1


async def preview(make: RequestMaker, manifest: Path | None, port: int, tell: Callable[[str], None]) -> None:
    """Serve the preview of the job that `make` reads until cancelled; `tell` is told its address.

    `manifest` is the file that it is read from, if it is one; `port` 0 takes any that is free. Raises OptionsError
    where the port is taken, and what `make` raises the first time.
    """
    watched = Watched(make, make(), manifest)
    with _listening(port) as listening, tempfile.TemporaryDirectory(prefix="ecg-preview-") as folder:
        pages = Pages(watched, Path(folder))
        config = uvicorn.Config(
            pages.app(),
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=ENDING_SECONDS,
        )
        server = _Server(config)
        following = asyncio.create_task(watched.follow(), name="watch over the job")
        serving = asyncio.create_task(server.serve(sockets=[listening]), name="serve the preview")
        tell(f"http://{HERE}:{listening.getsockname()[1]}/{pages.token}/")
        try:
            # Neither ends by itself: one that does failed, and nobody would see it.
            done, _ = await asyncio.wait({following, serving}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await pages.close()
            server.should_exit = True
            following.cancel()
            await asyncio.gather(following, serving, return_exceptions=True)


@contextlib.contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    listening = socket.socket()
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HERE, port))
        except OSError as error:
            raise OptionsError(
                f"Port {port} cannot be used: {error.strerror}.", hint="Choose another with --port; 0 takes a free one."
            ) from None
        yield listening
    finally:
        listening.close()


class _Server(uvicorn.Server):
    """Leaves signals to the command line."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
