"""What lies in S3: videos and scenarios, results that are uploaded to it, the work files of a job."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Self

from ecg_api.status import ReplicaStatus
from ecg_common.folders import cache_folder
from ecg_common.profiles import profiles
from ecg_common.s3 import published
from ecg_renderer.errors import Cancelled, RenderError, SourceInvalid, SourceMissing, StorageError
from ecg_renderer.storage.base import TransferProgress, below, printable
from ecg_renderer.storage.local import OutputFile
from ecg_renderer.storage.s3_client import (
    S3,
    AlreadyThere,
    NoSuchObject,
    NothingThere,
    S3Place,
    refusal_by_code,
    s3_folder,
    s3_object,
)
from ecg_renderer.storage.s3_transfer import check_writable_object, download_object, read_object, upload_object
from ecg_renderer.storage.work_store import checked_name

SOURCE_URL_SECONDS = 24 * 3600
"""How long FFmpeg can open a source by its signed address; no longer than the credentials that signed it live."""

COPY_PATIENCE_SECONDS = 15.0
"""How long the second place is waited for, where its copy is not required: the pod may hold a GPU."""


class S3Storage:
    """One object in S3."""

    def __init__(self, uri: str) -> None:
        self._place = s3_object(uri)
        self._s3 = S3(self._place.bucket)
        self.replica: ReplicaStatus | None = None

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
        """Return the object's address in the published folder `base`, else at the CDN of its storage profile.

        Else one that is signed for `presign_seconds`. Raises StorageError if there is nothing to sign with.
        """
        try:
            known = below(base, self._place.key) or published(self._place.bucket, self._place.key, presign_seconds)
        except ValueError as error:
            raise StorageError(f"The address of {self.name} cannot be signed: {error}.") from error
        return known or self._s3.presigned(self._place, presign_seconds)

    def output(self, key: str, *, source: str = "", needed_bytes: int = 0) -> S3Output:
        """Return the output of the job `key` (see `Storage.output`); `needed_bytes` must be free on the local disk."""
        if source and printable(source) == printable(self._s3.presigned(self._place, SOURCE_URL_SECONDS)):
            raise StorageError(
                f"The output {self.name} is the source itself.",
                hint="Name another object: the source is never overwritten.",
            )
        return S3Output(self._place, key, needed_bytes=needed_bytes, on_copied=self._copied)

    def _copied(self, replica: ReplicaStatus) -> None:
        self.replica = replica

    def _facts(self) -> Any:
        """Return S3's answer about the object: that of a GET, because a refused HEAD gives no reason."""
        with _as_source(self.name):
            answer = self._s3.ask("get_object", f"read {self.name}", Range="bytes=0-0", **self._place.parameters)
            answer["Body"].close()
            return answer


class S3Output:
    """A local file that `commit()` uploads; see `Storage.output` and `Output`.

    Where its storage profile wants a copy, that is uploaded next, and `on_copied` told how that went.
    """

    def __init__(
        self,
        place: S3Place,
        key: str,
        *,
        needed_bytes: int = 0,
        on_copied: Callable[[ReplicaStatus], None] = lambda replica: None,
    ) -> None:
        local = cache_folder() / "uploads" / f"{key}{PurePosixPath(place.key).suffix}"
        self._s3 = S3(place.bucket)
        self._place = place
        self._copy = _Copy.of(place)
        self._on_copied = on_copied
        self._file = OutputFile(local, key, needed_bytes=needed_bytes)
        self._uploading = threading.Lock()
        self.path = self._file.path

    def __enter__(self) -> Self:
        """Prove that the object can be written, and make the local file."""
        check_writable_object(self._s3, self._place)
        if self._copy and self._copy.required:
            check_writable_object(self._copy.s3, self._copy.place)
        self._file.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End an upload that another thread is at, and remove the local file."""
        self._s3.stop()
        if self._copy:
            self._copy.s3.stop()
        with self._uploading:
            self._file.__exit__(kind, error, trace)

    def commit(self, progress: TransferProgress | None = None) -> str:
        """Upload the file and return the object's URI; the object changes at once, when all of it is there.

        Raises StorageError, ResourceError, UploadFailed or Cancelled; the object is then what it was before, unless it
        is a required copy that is missing.
        """
        with self._uploading:
            upload_object(self._s3, self.path, self._place, progress)
            if self._copy:
                self._on_copied(self._copy.made(self.path))
        return str(self._place)


@dataclass(frozen=True)
class _Copy:
    """The second place of a result, as the storage profile of the first says."""

    profile: str
    place: S3Place
    s3: S3
    required: bool

    @classmethod
    def of(cls, place: S3Place) -> _Copy | None:
        try:
            found = profiles()
        except ValueError as error:
            raise StorageError(f"{error}.") from error
        first = found.of_results(place.bucket)
        second = found.get(first.replica) if first else None
        if first is None or second is None:
            return None
        s3 = S3(profile=second.name)
        if not first.replica_required:
            s3.patience_seconds = COPY_PATIENCE_SECONDS
        return cls(second.name, S3Place(second.bucket, place.key), s3, first.replica_required)

    def made(self, file: Path) -> ReplicaStatus:
        """Upload `file`; return what there is to tell. Raises Cancelled, and if the copy is required what happened."""
        try:
            upload_object(self.s3, file, self.place)
        except Cancelled:
            raise
        except RenderError as error:
            error.message = f"The copy in {self.profile}: {error.message}"
            error.args = (error.message,)
            if self.required:
                raise
            return ReplicaStatus(profile=self.profile, uri=str(self.place), problem=error.message[:300])
        return ReplicaStatus(profile=self.profile, uri=str(self.place))


@contextmanager
def _as_source(name: str) -> Iterator[None]:
    try:
        yield
    except NothingThere as error:
        raise SourceInvalid(f"{name} is empty.", hint="Was it fully uploaded?") from error
    except StorageError as error:
        raise SourceMissing(error.message, hint=error.hint) from error


# --- work files -----------------------------------------------------------------------------------


class S3WorkStore:
    """Work files below one folder of a bucket."""

    def __init__(self, uri: str) -> None:
        self._folder = s3_folder(uri)
        self._s3 = S3(self._folder.bucket)

    @property
    def name(self) -> str:
        """The folder's URI."""
        return str(self._folder).rstrip("/")

    def get(self, name: str) -> bytes | None:
        """Return the content of a file, or None if it is not there."""
        try:
            return read_object(self._s3, self._place(name))
        except NoSuchObject:
            return None

    def put(self, name: str, data: bytes) -> None:
        """Write a file, in place of the one that was there."""
        place = self._place(name)
        self._s3.ask("put_object", f"write {place}", Body=data, **place.parameters)

    def put_if_absent(self, name: str, data: bytes) -> bytes:
        """Write a file unless it is there; return the content of what is there then.

        A server that knows no conditional writes answers NotImplemented: a StorageError.
        """
        place = self._place(name)
        try:
            self._s3.ask("put_object", f"write {place}", Body=data, IfNoneMatch="*", **place.parameters)
        except AlreadyThere:  # perhaps by us, if the answer to an earlier try was lost
            return read_object(self._s3, place)
        return data

    def exists(self, name: str) -> bool:
        """Tell whether a file is there."""
        place = self._place(name)
        try:
            self._s3.ask("head_object", f"read {place}", **place.parameters)
        except NoSuchObject:
            return False
        return True

    def address(self, name: str) -> str:
        """Return the address of a file; `exists` has asked for it before, and so learnt the bucket's region."""
        return self._s3.presigned(self._place(name), SOURCE_URL_SECONDS)

    def tail(self, name: str, size: int) -> tuple[bytes, int] | None:
        """Return the last `size` bytes of a file and how many it has in all, or None if it is not there."""
        place = self._place(name)
        try:
            answer = self._s3.ask("get_object", f"read {place}", Range=f"bytes=-{size}", **place.parameters)
        except NoSuchObject:
            return None
        with answer["Body"] as body:
            return body.read(), int(answer.get("ContentRange", f"/{answer['ContentLength']}").rpartition("/")[2])

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        place = self._place(name)
        self._s3.ask("delete_object", f"remove {place}", **place.parameters)

    def download(self, name: str, path: Path, progress: TransferProgress | None = None) -> None:
        """Write a file's content to the local `path`, which has its name when it is complete."""
        download_object(self._s3, self._place(name), path, progress)

    def upload(self, path: Path, name: str, progress: TransferProgress | None = None) -> None:
        """Write a file from the local `path`."""
        upload_object(self._s3, path, self._place(name), progress)

    def clean(self, keep: str = "") -> int:
        """Remove every object but `keep` and every unfinished upload below the folder; return how many objects.

        Uploads go first: one that is completed meanwhile is an object then.
        """
        task = f"remove {self.name}"
        aborted: set[str] = set()
        while uploads := self._others("list_multipart_uploads", "Uploads", "UploadId", aborted):
            for upload in uploads:
                self._abort(upload, task)
                aborted.add(upload["UploadId"])
        kept = {self._place(keep).key} if keep else set()
        removed: set[str] = set()
        while objects := self._others("list_objects_v2", "Contents", "Key", removed | kept):
            keys = {found["Key"] for found in objects}
            self._delete(keys, task)
            removed |= keys
        return len(removed)

    def stop(self) -> None:
        """End transfers and waits in other threads."""
        self._s3.stop()

    def _place(self, name: str) -> S3Place:
        return self._folder.below(checked_name(name))

    def _others(self, operation: str, field: str, identity: str, done: set[str]) -> list[Any]:
        """List what is below the folder, at most a page; leave out what was `done` and a server still shows.

        Listing from the start again needs no marker of where a page ended, which may be gone with what was removed.
        """
        page = self._s3.ask(operation, f"list {self.name}", Bucket=self._folder.bucket, Prefix=self._folder.key)
        return [found for found in page.get(field, []) if found[identity] not in done]

    def _abort(self, upload: Any, task: str) -> None:
        named: dict[str, Any] = {"Bucket": self._folder.bucket, "Key": upload["Key"], "UploadId": upload["UploadId"]}
        with contextlib.suppress(NoSuchObject):  # it ended meanwhile
            self._s3.ask("abort_multipart_upload", task, **named)

    def _delete(self, keys: set[str], task: str) -> None:
        objects = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
        answer = self._s3.ask("delete_objects", task, Bucket=self._folder.bucket, Delete=objects)
        for refused in answer.get("Errors", []):
            raise refusal_by_code(refused["Code"], refused.get("Message", ""), task, self._s3.endpoint)
