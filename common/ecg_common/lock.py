"""Files that one living process holds.

A lock lies on the open file, so the kernel drops it when its process ends, however it ends: what a killed
process left can be told from what a living one is writing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path


def open_locked(path: Path) -> int | None:
    """Create or open `path` and lock it; return the descriptor, or None if a living process holds it.

    Where the file system knows no locks the file is taken unlocked. Raises OSError.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        if _try_lock(descriptor) is False:
            os.close(descriptor)
            return None
        if _is_still(path, descriptor):
            return descriptor
        os.close(descriptor)  # removed between open and lock: the lock would guard nothing


def remove_abandoned(path: Path) -> bool:
    """Remove `path` if it is certain that no living process holds it; tell whether it was removed."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            if _try_lock(descriptor) and _is_still(path, descriptor):
                path.unlink()
                return True
        finally:
            os.close(descriptor)
    return False


def _try_lock(descriptor: int) -> bool | None:
    """Take the lock: True, False if another process has it, None where there are no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
