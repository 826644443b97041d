"""What the page gets at an address."""

from __future__ import annotations

import mimetypes
from dataclasses import dataclass
from pathlib import PurePath


@dataclass(frozen=True)
class ServedFile:
    """A body and its media type."""

    body: bytes
    content_type: str


def content_type(file: PurePath) -> str:
    """Return the media type of a file; module scripts need theirs exact."""
    if file.suffix in (".js", ".mjs"):
        return "text/javascript; charset=utf-8"
    return mimetypes.guess_type(file.name)[0] or "application/octet-stream"
