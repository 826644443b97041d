"""Work files in S3; see `WorkStore` for what each method promises."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from ecg_renderer.storage.base import TransferProgress
from ecg_renderer.storage.s3_client import S3
from ecg_renderer.storage.s3_failures import AlreadyThere, NoSuchObject, refusal_by_code
from ecg_renderer.storage.s3_place import S3Place, s3_folder
from ecg_renderer.storage.s3_transfer import download_object, read_object, upload_object
from ecg_renderer.storage.work_store import checked_name


class S3WorkStore:
    """Work files below one folder of a bucket."""

    def __init__(self, uri: str) -> None:
        self._folder = s3_folder(uri)
        self._s3 = S3()

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
