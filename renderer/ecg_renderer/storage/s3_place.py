"""Places in S3, by their URI. Imports no client, so that reading a manifest stays quick."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ecg_renderer.errors import StorageError
from ecg_renderer.storage.address import printable

_SCHEME = "s3://"
# Wider than Amazon's rules: other servers allow capitals and underscores.
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_LONGEST_KEY_BYTES = 1024


@dataclass(frozen=True)
class S3Place:
    """An object, or with a key that ends with a slash a folder: all objects whose keys begin with it."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"{_SCHEME}{self.bucket}/{self.key}"

    @property
    def parameters(self) -> dict[str, Any]:
        """The two parameters that name an object in requests."""
        return {"Bucket": self.bucket, "Key": self.key}

    def below(self, name: str) -> S3Place:
        """Return the object `name` in this folder."""
        return S3Place(self.bucket, self.key + name)


def s3_object(uri: str) -> S3Place:
    """Return the object that `uri` names; raise StorageError if it names none."""
    place = _parsed(uri)
    if not place.key or place.key.endswith("/"):
        raise StorageError(f"{printable(uri)} names no object.", hint="Write s3://bucket/folder/name.mp4.")
    return place


def s3_folder(uri: str) -> S3Place:
    """Return the folder that `uri` names, with or without a slash at its end; raise StorageError if it names none."""
    place = _parsed(uri)
    folder = place.key.rstrip("/")
    if not folder:
        raise StorageError(
            f"{printable(uri)} names a whole bucket, not a folder in it.", hint="Write s3://bucket/folder."
        )
    return S3Place(place.bucket, f"{folder}/")


def _parsed(uri: str) -> S3Place:
    # `?`, `#` and `%` mean nothing in S3: they belong to the key.
    bucket, _, key = uri[len(_SCHEME) :].partition("/")
    if not uri.lower().startswith(_SCHEME) or not _BUCKET.fullmatch(bucket):
        raise StorageError(
            f"{printable(uri)} is no address in S3: what follows s3:// cannot be a bucket.",
            hint="Write s3://bucket/folder/name.mp4; keys and passwords belong into the environment.",
        )
    if len(key.encode()) > _LONGEST_KEY_BYTES:
        raise StorageError(
            f"s3://{bucket} can hold no key of {len(key.encode())} bytes; {_LONGEST_KEY_BYTES} are the most.",
            hint="Choose a shorter name.",
        )
    if {".", ".."} & set(key.split("/")) or not key.isprintable():
        raise StorageError(
            f"s3://{bucket}/{key!r} cannot be used: its key has parts '.' or '..', or characters that cannot be seen.",
            hint="Programs disagree about what such a key means; choose another.",
        )
    return S3Place(bucket, key)
