"""The operating system's refusals, said so that a person knows what to do."""

from __future__ import annotations

import errno
from pathlib import Path

from ecg_renderer.errors import RenderError, ResourceError, StorageError

_FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file grew beyond the largest size that is allowed here",
}
_REFUSED = {
    errno.EACCES: (
        "permission is denied",
        "Choose another place, or give yourself access to this one.",
    ),
    errno.EPERM: ("the operation is not permitted", "Choose another place, or run as its owner."),
    errno.EROFS: ("the file system is read-only", "Choose a place on a writable file system."),
    errno.ENOTDIR: ("a part of the path is a file, not a directory", "Correct the path."),
    errno.EISDIR: ("it is a directory", "Name a file, not a directory."),
    errno.ENOENT: ("there is no such file or directory", "Correct the path."),
    errno.ENAMETOOLONG: ("the name is too long", "Choose a shorter name."),
    errno.ELOOP: ("its symbolic links lead in a circle", "Correct the links."),
}


def refusal(error: OSError, action: str, path: Path) -> RenderError:
    """Return the error to raise for `error`, met when trying to `action` (a verb: "write") `path`."""
    number = error.errno or 0
    if number in _FULL:
        return ResourceError(
            f"Cannot {action} {path}: {_FULL[number]}.",
            hint="Free some space, or choose a place on another disk.",
        )
    said, hint = _REFUSED.get(number, (error.strerror or str(error), "Check the disk and the path."))
    return StorageError(f"Cannot {action} {path}: {said}.", hint=hint)
