"""A folder for this pod alone, in TMPDIR; and caches there where the home directory cannot be written."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ecg_common.folders import cache_folder
from ecg_renderer.errors import RenderError
from ecg_renderer.storage.base import refusal


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Give an empty folder, and remove it with all that is in it; raises StorageError if none can be made."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="ecg-worker-")
    except OSError as error:
        raise _no_scratch(error) from error
    with folder as path:
        yield Path(path)


@contextmanager
def writable_caches() -> Iterator[None]:
    """Let caches go to TMPDIR for the duration of the block, if they cannot be in the home directory.

    They are Chromium's, fontconfig's, the capture's self-check, and outputs on their way to storage. A pod has a
    read-only root, and a user who need not have a home. Browsers that Playwright keeps in the cache are still found.
    """
    cache = cache_folder().parent
    if not str(cache).startswith("~") and _can_be_made(cache):
        yield
        return
    with scratch_folder() as folder:
        browsers = cache / "ms-playwright"
        if os.access(browsers, os.R_OK):
            os.environ.setdefault("PLAYWRIGHT_BROWSERS_PATH", str(browsers))
        os.environ["XDG_CACHE_HOME"] = os.environ["HOME"] = str(folder)
        yield


def _can_be_made(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _no_scratch(error: OSError) -> RenderError:
    return refusal(error, "make a scratch folder in", Path(os.environ.get("TMPDIR") or "/tmp"))  # noqa: S108
