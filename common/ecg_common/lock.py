"""Files that one living process holds.

A lock lies on the open file, so the kernel drops it when its process ends, however it ends: what a killed
process left can be told from what a living one is writing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path

# Who removes an abandoned file holds its lock for a moment, who writes one for as long as that takes.
_LOOKS = 20
_PAUSE_SECONDS = 0.01


def open_locked(path: Path) -> int | None:
    """Create or open `path` and lock it; return the descriptor, or None if a living process holds it.

    Where the file system knows no locks the file is taken unlocked. Raises OSError.
    """
    looks = 0
    while True:
        descriptor = _made_locked(path)
        if descriptor is not None:
            return descriptor
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        is_ours = _try_lock(descriptor) is not False
        if is_ours and _is_still(path, descriptor):
            return descriptor
        os.close(descriptor)  # removed between open and lock, the lock would guard nothing
        if not is_ours:
            looks += 1
            if looks == _LOOKS:
                return None
            time.sleep(_PAUSE_SECONDS)


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


def _made_locked(path: Path) -> int | None:
    """Make `path` if it is not there; return None if it is, or where a file cannot be locked before it has its name.

    One that has its name first is, to others who clean up in that moment, what a dead process left.
    """
    if not hasattr(os, "O_TMPFILE"):
        return None
    try:
        folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    descriptor = -1
    try:
        descriptor = os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o666, dir_fd=folder)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # With a descriptor for the target's folder, Python asks the kernel to follow the link.
        os.link(f"/proc/self/fd/{descriptor}", path.name, dst_dir_fd=folder, follow_symlinks=True)
    except OSError:
        if descriptor >= 0:
            os.close(descriptor)
        return None
    finally:
        os.close(folder)
    return descriptor


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
