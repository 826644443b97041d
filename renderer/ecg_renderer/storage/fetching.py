"""Sources that a server sends only as a whole: fetched once, and kept for as long as this process runs.

FFmpeg could not seek in them: an MP4 with its index at the end cannot be opened, and each segment, and the merge, would
read everything before its own part.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from ecg_common.folders import cache_folder
from ecg_renderer.storage.base import TransferProgress
from ecg_renderer.storage.cells import run_folder

_LINE_SECONDS = 10.0

log = logging.getLogger(__name__)


class _Fetched:
    """The files of this process; they go when it ends, and when another begins after it was killed."""

    def __init__(self) -> None:
        self._files: dict[str, Path] = {}
        self._turn = threading.Lock()
        self._folder: Path | None = None

    def file(self, identity: str, fetch: Callable[[Path], None]) -> Path:
        """Return the file with the content that `identity` stands for; `fetch` writes it if it is not there yet."""
        with self._turn:
            if identity not in self._files:
                path = self._own_folder() / f"source-{len(self._files)}"
                try:
                    fetch(path)
                except BaseException:
                    path.unlink(missing_ok=True)
                    raise
                self._files[identity] = path
            return self._files[identity]

    def _own_folder(self) -> Path:
        if self._folder is None:
            open_until_the_end = ExitStack()
            self._folder = open_until_the_end.enter_context(run_folder(cache_folder() / "fetched"))
            atexit.register(open_until_the_end.close)
        return self._folder


FETCHED = _Fetched()


def lines_about(name: str) -> TransferProgress:
    """Return an observer that writes a line about the download of `name` to the log at once, and then now and again."""
    began = said = 0.0

    def note(done: int, total: int) -> None:
        nonlocal began, said
        now = time.monotonic()
        of = f" of {total / 1e6:,.0f}" if total else ""
        if not began:
            began = said = now
            size = f", {total / 1e6:,.1f} MB," if total else ""
            log.warning("The server of %s sends it only as a whole; it is fetched%s first.", name, size)
        elif now - said >= _LINE_SECONDS:
            said = now
            log.warning("%s: %.0f%s MB fetched, %.1f MB/s.", name, done / 1e6, of, done / 1e6 / (now - began))

    return note
