"""Videos and scenarios in S3, and results that are uploaded to it."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from types import TracebackType
from typing import Any, Self

from ecg_common.folders import cache_folder
from ecg_renderer.errors import SourceInvalid, SourceMissing, StorageError
from ecg_renderer.storage.address import printable
from ecg_renderer.storage.base import TransferProgress, below
from ecg_renderer.storage.output import OutputFile
from ecg_renderer.storage.s3_client import S3
from ecg_renderer.storage.s3_failures import NothingThere
from ecg_renderer.storage.s3_place import S3Place, s3_object
from ecg_renderer.storage.s3_transfer import check_writable_object, read_object, upload_object

SOURCE_URL_SECONDS = 24 * 3600
"""How long FFmpeg can open a source by its signed address; no longer than the credentials that signed it live."""


class S3Storage:
    """One object in S3."""

    def __init__(self, uri: str) -> None:
        self._place = s3_object(uri)
        self._s3 = S3()

    @property
    def name(self) -> str:
        """The object's URI, which holds no secrets."""
        return str(self._place)

    def read_bytes(self, limit: int) -> bytes:
        """Return the object's content, of at most `limit` bytes.

        Raises StorageError if it is missing, unreadable or longer, ServiceUnreachable if S3 is away.
        """
        return read_object(self._s3, self._place, limit)

    def source_url(self) -> str:
        """Return a presigned address, for FFmpeg to read with range requests.

        Raises SourceMissing or SourceInvalid if there is no such object, nobody may read it or it is empty;
        ServiceUnreachable if S3 is away.
        """
        self._facts()  # it also tells the bucket's region, which is part of a signature
        return self._s3.presigned(self._place, SOURCE_URL_SECONDS)

    def stop(self) -> None:
        """Let no further request be waited for."""
        self._s3.stop()

    def identity(self) -> str:
        """Return a hash of S3's own words for this version: entity tag, size, version.

        Raises as `source_url` does.
        """
        answer = self._facts()
        size = answer["ContentRange"].rpartition("/")[2]
        words = [self.name, answer["ETag"], size, answer.get("VersionId", "")]
        return f"s3:{hashlib.sha256(chr(10).join(words).encode()).hexdigest()}"

    def public_url(self, base: str | None, presign_seconds: int) -> str | None:
        """Return the object's address in the published folder `base`, else one that is signed for `presign_seconds`.

        Raises StorageError if there is nothing to sign with.
        """
        return below(base, self._place.key) or self._s3.presigned(self._place, presign_seconds)

    def output(self, key: str, *, source: str = "", needed_bytes: int = 0) -> S3Output:
        """Return the output of the job `key` (see `Storage.output`); `needed_bytes` must be free on the local disk."""
        if source and printable(source) == printable(self._s3.presigned(self._place, SOURCE_URL_SECONDS)):
            raise StorageError(
                f"The output {self.name} is the source itself.",
                hint="Name another object: the source is never overwritten.",
            )
        return S3Output(self._place, key, needed_bytes=needed_bytes)

    def _facts(self) -> Any:
        """Return S3's answer about the object: that of a GET, because a refused HEAD gives no reason."""
        with _as_source(self.name):
            answer = self._s3.ask("get_object", f"read {self.name}", Range="bytes=0-0", **self._place.parameters)
            answer["Body"].close()
            return answer


class S3Output:
    """A local file that `commit()` uploads; see `Storage.output` and `Output`."""

    def __init__(self, place: S3Place, key: str, *, needed_bytes: int = 0) -> None:
        local = cache_folder() / "uploads" / f"{key}{PurePosixPath(place.key).suffix}"
        self._s3 = S3()
        self._place = place
        self._file = OutputFile(local, key, needed_bytes=needed_bytes)
        self._uploading = threading.Lock()
        self.path = self._file.path

    def __enter__(self) -> Self:
        """Prove that the object can be written, and make the local file."""
        check_writable_object(self._s3, self._place)
        self._file.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End an upload that another thread is at, and remove the local file."""
        self._s3.stop()
        with self._uploading:
            self._file.__exit__(kind, error, trace)

    def commit(self, progress: TransferProgress | None = None) -> str:
        """Upload the file and return the object's URI; the object changes at once, when all of it is there.

        Raises StorageError, ResourceError, UploadFailed or Cancelled; the object is then what it was before.
        """
        with self._uploading:
            upload_object(self._s3, self.path, self._place, progress)
        return str(self._place)


@contextmanager
def _as_source(name: str) -> Iterator[None]:
    try:
        yield
    except NothingThere as error:
        raise SourceInvalid(f"{name} is empty.", hint="Was it fully uploaded?") from error
    except StorageError as error:
        raise SourceMissing(error.message, hint=error.hint) from error
