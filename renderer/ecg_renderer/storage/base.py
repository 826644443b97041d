"""What every kind of storage offers; how addresses are shown, and which may be read; what a disk's refusals mean."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, TypeVar
from urllib.parse import quote

from ecg_api.names import PRIVATE_ADDRESSES_VARIABLE
from ecg_api.status import ReplicaStatus
from ecg_common.addresses import AddressPolicy
from ecg_renderer.errors import OptionsError, RenderError, ResourceError, StorageError

T = TypeVar("T")

TransferProgress = Callable[[int, int], None]
"""Called with the bytes that are through and the bytes in all, while something is downloaded or uploaded."""


class Output(Protocol):
    """A result on its way: written at `path`, visible under its final name only after `commit()`.

    A context manager; leaving it without `commit()` leaves nothing behind.
    """

    @property
    def path(self) -> Path:
        """The local file to write to; it keeps the destination's suffix."""

    def commit(self, progress: TransferProgress | None = None) -> str:
        """Put the finished file under its final name and return that name.

        `progress` hears of an upload, in the thread that called. Leaving the context meanwhile, in another thread,
        ends the upload. Raises StorageError, ResourceError, UploadFailed or Cancelled; the destination is then what
        it was before.
        """

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Storage(Protocol):
    """One place that a URI names.

    Attributes:
        replica: what became of the copy of what was last committed; None where no copy was asked for.
    """

    replica: ReplicaStatus | None

    @property
    def name(self) -> str:
        """The place as it may be printed: no password, no signature."""

    def read_bytes(self, limit: int) -> bytes:
        """Return the whole content, of at most `limit` bytes.

        Raises StorageError if it is missing, unreadable or longer.
        """

    def source_url(self) -> str:
        """Return what FFmpeg opens as its input; may carry a signature, so it is never printed.

        What cannot be read in parts is fetched first, which may take long. Raises SourceMissing if there is nothing to
        open, ServiceUnreachable if that cannot be known at the moment.
        """

    def stop(self) -> None:
        """End what other threads are doing here, and every further wait: the process is to end."""

    def identity(self) -> str:
        """Return a text that changes whenever the content does.

        Raises SourceMissing if there is nothing to identify, ServiceUnreachable if that cannot be known now.
        """

    def public_url(self, base: str | None, presign_seconds: int) -> str | None:
        """Return the address under which people fetch the file, or None if it has none.

        `base` is the address of its folder, if that is published; else S3 makes one that is valid for
        `presign_seconds`.
        """

    def output(self, key: str, *, source: str = "", needed_bytes: int = 0) -> Output:
        """Return the output file of the job `key`, which is made when the context is entered.

        `source` is the job's input as FFmpeg opens it: the output may not be the same file.
        `needed_bytes` must be free where the output is written. Entering raises StorageError,
        ResourceError or ServiceUnreachable when the output could not be written, so enter before any work is done.
        """


async def in_thread(work: Callable[[], T], stop: Callable[[], None]) -> T:
    """Return what `work` returns, done in a thread of its own, for an asynchronous caller.

    A thread cannot be stopped; so one that is no longer waited for is told by `stop` to come to its end, and does
    before the caller goes on: a file is not taken from under its feet.
    """
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stop()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # looked at: it is of no interest any more
        raise


def below(base: str | None, path: str) -> str | None:
    """Return the address of the file `path` in the published folder `base`, or None if that is none."""
    return f"{base.rstrip('/')}/{quote(path.rpartition('/')[2])}" if base else None


# --- addresses ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class UrlPolicy:
    """What may be fetched, and how long it may take.

    A person at a command line may read from the own network. A service that fetches what strangers name
    must not (`allow_private=False`): the metadata server of a cloud, for one, answers on a private address.
    """

    allow_private: bool = True
    connect_seconds: float = 10
    read_seconds: float = 30
    total_seconds: float = 120
    patience_seconds: float = 60
    """How long a server that is away or overloaded is asked again."""
    fetch_bytes: int = 4_000_000_000
    """The most that is fetched as a whole, from a server that knows no range requests."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> UrlPolicy:
        """Return the policy of the environment.

        It is strict where ECG_PRIVATE_ADDRESSES is `refuse`, as service and operator tell their renderers by default.
        ECG_FETCH_GB replaces the limit of downloads. Raises OptionsError for one that is no number.
        """
        policy = cls(allow_private=environment.get(PRIVATE_ADDRESSES_VARIABLE, "").strip().lower() != "refuse")
        gigabytes = environment.get("ECG_FETCH_GB", "").strip()
        if not gigabytes:
            return policy
        try:
            return replace(policy, fetch_bytes=int(Fraction(gigabytes) * 10**9))
        except (ValueError, ZeroDivisionError):
            raise OptionsError(f"ECG_FETCH_GB is {gigabytes!r}, which is no number of gigabytes.") from None

    @property
    def addresses(self) -> AddressPolicy:
        """The addresses: https, and http of this machine, which is for tests and local servers."""
        return AddressPolicy(schemes=("https",), http_here=True, private=self.allow_private)


def printable(url: str) -> str:
    """Return `url` without user, password, query and fragment, which may hold secrets."""
    scheme, separator, rest = url.partition("://")
    rest = rest.split("?", 1)[0].split("#", 1)[0]
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}"


# --- the operating system's refusals --------------------------------------------------------------


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
