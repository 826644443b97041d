"""Whole objects between S3 and this machine: in pieces, resumed after a break, never visible half.

read_object        into memory, of limited size
download_object    into a file, which has its name when it is complete
upload_object      from a file: one request, or a multipart upload that is completed or aborted
"""

from __future__ import annotations

import contextlib
import math
import mimetypes
import os
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO

from botocore.exceptions import FlexibleChecksumError

from ecg_renderer.errors import RenderError, ServiceUnreachable, StorageError, UploadFailed
from ecg_renderer.storage.base import TransferProgress, refusal
from ecg_renderer.storage.s3_client import S3, S3Place

PART_BYTES = 16 << 20
MOST_PARTS = 10_000
_SENDERS = 4
_CHUNK_BYTES = 1 << 20
_ABORT_PATIENCE_SECONDS = 5.0


def read_object(s3: S3, place: S3Place, limit: int | None = None) -> bytes:
    """Return the object's content, of at most `limit` bytes.

    Raises NoSuchObject or StorageError, which an object that is too long is too, or ServiceUnreachable.
    """

    def attempt() -> bytes:
        answer = s3.client.get_object(**place.parameters)
        with closing(answer["Body"]) as body:
            if limit is not None and answer["ContentLength"] > limit:
                raise StorageError(f"{place} is larger than the {limit:,} bytes that may be read.")
            return bytes(body.read())

    return s3.patiently(f"read {place}", attempt)


def download_object(s3: S3, place: S3Place, path: Path, progress: TransferProgress | None = None) -> None:
    """Write the object to the file `path`, whose folder exists; it has its name when it is complete.

    Raises NoSuchObject, StorageError, ResourceError or ServiceUnreachable; then `path` is what it was before.
    """
    unfinished = path.with_name(f".{os.getpid()}-{threading.get_ident()}.part")
    try:
        with unfinished.open("wb") as file:
            _fetch(s3, place, file, progress)
        unfinished.replace(path)
    except OSError as error:
        raise refusal(error, "write", path) from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)


def _fetch(s3: S3, place: S3Place, file: BinaryIO, progress: TransferProgress | None) -> None:
    """Write the object to `file`; after a break go on behind what has come, if the object is still the same."""
    version: dict[str, str] = {}

    def attempt() -> None:
        done = file.tell()
        rest = {"Range": f"bytes={done}-", **version} if done else {}
        answer = s3.client.get_object(**place.parameters, **rest)
        version["IfMatch"] = answer["ETag"]
        total = done + answer["ContentLength"]
        with closing(answer["Body"]) as body:
            try:
                for chunk in body.iter_chunks(_CHUNK_BYTES):
                    s3.check_stopped()
                    file.write(chunk)
                    if progress:
                        progress(file.tell(), total)
            except FlexibleChecksumError:  # nobody knows which bytes are wrong
                file.seek(0)
                file.truncate()
                raise

    s3.patiently(f"download {place}", attempt)


def upload_object(s3: S3, file: Path, place: S3Place, progress: TransferProgress | None = None) -> None:
    """Write the object from `file`; it is there whole, or what was there before still is.

    Raises StorageError or ResourceError when S3 or the disk says no, UploadFailed when the service went away for
    longer than S3.patiently waits, Cancelled after `s3.stop()`.
    """
    try:
        size = file.stat().st_size
        if size <= PART_BYTES:
            s3.check_stopped()
            s3.ask("put_object", f"write {place}", Body=file.read_bytes(), **place.parameters, **_content_type(place))
            if progress:
                progress(size, size)
        else:
            _upload_in_parts(s3, file, size, place, progress)
    except ServiceUnreachable as error:
        raise UploadFailed(error.message, hint=error.hint) from error
    except OSError as error:
        raise refusal(error, "read", file) from error


def check_writable_object(s3: S3, place: S3Place) -> None:
    """Prove that the object can be written by starting a multipart upload and aborting it; leaves no trace.

    Raises StorageError or ServiceUnreachable.
    """
    s3.ask("abort_multipart_upload", f"write {place}", **_start_upload(s3, place))


def _upload_in_parts(s3: S3, file: Path, size: int, place: S3Place, progress: TransferProgress | None) -> None:
    task = f"write {place}"
    upload = _start_upload(s3, place)
    try:
        parts = _Parts(s3, file, size, upload, task).send(progress)
        s3.check_stopped()
        s3.ask("complete_multipart_upload", task, MultipartUpload={"Parts": parts}, **upload)
    except BaseException:
        with contextlib.suppress(RenderError):  # the reason for stopping is the one to report
            s3.ask("abort_multipart_upload", task, patience=_ABORT_PATIENCE_SECONDS, **upload)
        raise


def _start_upload(s3: S3, place: S3Place) -> dict[str, Any]:
    """Start a multipart upload; return the parameters that name it in later requests."""
    started = s3.ask("create_multipart_upload", f"write {place}", **place.parameters, **_content_type(place))
    return {**place.parameters, "UploadId": started["UploadId"]}


class _Parts:
    """A file on its way in parts, a few at a time; each is in memory only while it is sent."""

    def __init__(self, s3: S3, file: Path, size: int, upload: dict[str, Any], task: str) -> None:
        self._s3 = s3
        self._file = file
        self._size = size
        self._upload = upload
        self._task = task
        self._part_bytes = max(PART_BYTES, math.ceil(size / MOST_PARTS))

    def send(self, progress: TransferProgress | None) -> list[dict[str, Any]]:
        """Send all parts and return what completes the upload; the first failure ends the others."""
        count = math.ceil(self._size / self._part_bytes)
        with ThreadPoolExecutor(_SENDERS, "ecg-upload") as senders:
            sending = [senders.submit(self._send_one, index) for index in range(count)]
            try:
                for done, part in enumerate(as_completed(sending), 1):
                    part.result()
                    if progress:
                        progress(min(self._size, done * self._part_bytes), self._size)
            except BaseException:
                senders.shutdown(wait=False, cancel_futures=True)
                raise
        return [part.result() for part in sending]

    def _send_one(self, index: int) -> dict[str, Any]:
        self._s3.check_stopped()
        with self._file.open("rb") as file:
            file.seek(index * self._part_bytes)
            content = file.read(self._part_bytes)
        answer = self._s3.ask("upload_part", self._task, PartNumber=index + 1, Body=content, **self._upload)
        return {"ETag": answer["ETag"], "PartNumber": index + 1}


def _content_type(place: S3Place) -> dict[str, Any]:
    """Return the parameter that lets browsers play what a link leads to."""
    kind, _ = mimetypes.guess_type(place.key)
    return {"ContentType": kind} if kind else {}
