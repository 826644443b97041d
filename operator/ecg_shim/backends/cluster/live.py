"""What there is to watch of a job, looked up in S3 with few requests, however many watch.

    s3://…/cells/live/KEY.json      what all pieces will be called; the pods write it when they know
    s3://…/cells/KEY-ENCODER.mp4    the pieces

Pieces appear whole, and mostly in order: a look asks for the next one of video and of sound, and goes on while there
are more. Players fetch them from S3 by addresses that are signed for the playlist; the status page, which loads nothing
from elsewhere, through the service.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pydantic import ValidationError

from ecg_api.live import FOLDER, HEAD_BYTES, LiveStream, Track, header_of, playlists
from ecg_shim.model import StoredPiece

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
LOOKS = 8
MOST_STREAMS = 64
RELAYED_AT_ONCE = 4
SIGNED_SECONDS = 6 * 3600
"""Players read a playlist that has ended never again, and play what it names for hours."""
RESIGNED_SECONDS = 1800


class LiveStreams:
    """The streams that somebody has asked for lately.

    Args:
        seconds: how long addresses may be signed for at most.
    """

    def __init__(self, seconds: int) -> None:
        self._seconds = min(seconds, SIGNED_SECONDS)
        self._streams: OrderedDict[str, _Stream] = OrderedDict()
        self._looks = ThreadPoolExecutor(LOOKS, thread_name_prefix="live")
        self._relayed = asyncio.Semaphore(RELAYED_AT_ONCE)

    async def playlist(self, uri: str, path: str, *, ended: bool, here: bool) -> str | None:
        """Return the playlist `path` of the stream that `uri` describes; None if there is nothing to watch (yet).

        `here`: pieces are fetched from the service.
        """
        stream = self._stream(uri)
        async with stream.lock:
            return (await asyncio.to_thread(stream.playlists, ended=ended, here=here)).get(path)

    async def piece(self, uri: str, name: str) -> StoredPiece | None:
        """Return a piece; None if it is not there."""
        stream = self._stream(uri)
        size = await asyncio.to_thread(stream.size, name)

        async def read(start: int, end: int) -> bytes:
            async with self._relayed:
                return await asyncio.to_thread(stream.read, name, start, end)

        return None if size is None else StoredPiece(size, read)

    def close(self) -> None:
        """Let go of the threads."""
        self._looks.shutdown(wait=False, cancel_futures=True)

    def _stream(self, uri: str) -> _Stream:
        stream = self._streams.setdefault(uri, _Stream(uri, self._seconds, self._looks))
        self._streams.move_to_end(uri)
        while len(self._streams) > MOST_STREAMS:
            self._streams.popitem(last=False)
        return stream


class _Stream:
    """One stream; its methods wait for S3."""

    def __init__(self, uri: str, seconds: int, looks: ThreadPoolExecutor) -> None:
        self._bucket, _, self._key = uri.removeprefix("s3://").partition("/")
        self._folder = self._key.rpartition(f"/{FOLDER}/")[0]
        self._seconds = seconds
        self._looks = looks
        self._look_at = 0.0
        self._stream: LiveStream | None = None
        self._video, self._sound = Track(), Track()
        self._texts: dict[tuple[int, int, bool, bool], tuple[float, dict[str, str]]] = {}
        self.lock = asyncio.Lock()

    def playlists(self, *, ended: bool, here: bool) -> dict[str, str]:
        """Return the playlists of what is there, as it was two seconds ago at most."""
        now = time.monotonic()
        if now >= self._look_at:
            self._look()
            self._look_at = time.monotonic() + LOOK_SECONDS
        if self._stream is None:
            return {}
        key = len(self._video.sizes), len(self._sound.sizes), ended, here
        made_at, texts = self._texts.get(key, (0.0, {}))
        if not texts or now > made_at + RESIGNED_SECONDS:
            address = str if here else self._signed
            texts = playlists(self._stream, self._video, self._sound, ended=ended, address=address)
            self._texts = {other: made for other, made in self._texts.items() if other[:2] == key[:2]}
            self._texts[key] = now, texts
        return texts

    def size(self, name: str) -> int | None:
        """Return the bytes of a piece; None if it is not there."""
        answer = self._ask("head_object", name)
        return None if answer is None else int(answer["ContentLength"])

    def read(self, name: str, start: int, end: int) -> bytes:
        """Return the bytes from `start` up to, not including, `end` of a piece; nothing if it is gone."""
        answer = self._ask("get_object", name, Range=f"bytes={start}-{end - 1}")
        return b"" if answer is None else bytes(answer["Body"].read())

    def _look(self) -> None:
        if self._stream is None or len(self._sound.sizes) < len(self._video.sizes):
            # Read again where sound is behind: it may have been given up.
            self._stream = self._described()
        if self._stream is not None:
            self._video = self._longer(self._video, self._stream.video)
            self._sound = self._longer(self._sound, self._stream.sound)

    def _described(self) -> LiveStream | None:
        answer = self._ask("get_object", self._key.removeprefix(f"{self._folder}/"))
        try:
            return None if answer is None else LiveStream.model_validate_json(answer["Body"].read())
        except ValidationError as error:
            log.warning("s3://%s/%s is no description of a stream: %s", self._bucket, self._key, error)
            return None

    def _longer(self, track: Track, names: Sequence[str]) -> Track:
        sizes, at_once = list(track.sizes), 1
        while len(sizes) < len(names):
            found = list(self._looks.map(self.size, names[len(sizes) : len(sizes) + at_once]))
            there = found.index(None) if None in found else len(found)
            sizes += [size for size in found[:there] if size is not None]
            if there < len(found):
                break
            at_once = LOOKS
        header = track.header or (header_of(self.read(names[0], 0, HEAD_BYTES)) if sizes else b"")
        return Track(header, tuple(sizes)) if header else Track()

    def _signed(self, name: str) -> str:
        from ecg_common.s3 import connection

        return connection(bucket=self._bucket).signed(self._bucket, f"{self._folder}/{name}", self._seconds)

    def _ask(self, request: str, name: str, **parameters: Any) -> Any:
        """Return what S3 answers about a file of the folder; None if it is not there, or S3 says no just now."""
        # Imported here: it takes half a second, and not every service needs it.
        from botocore.exceptions import BotoCoreError, ClientError

        from ecg_common.s3 import connection

        try:
            ask = getattr(connection(bucket=self._bucket).client, request)
            return ask(Bucket=self._bucket, Key=f"{self._folder}/{name}", **parameters)
        except (BotoCoreError, ClientError, ValueError) as error:
            code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
            if code not in ("404", "NoSuchKey", "InvalidRange"):
                log.warning("s3://%s/%s/%s cannot be read: %s", self._bucket, self._folder, name, error)
            return None
