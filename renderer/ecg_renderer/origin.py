"""The caption editor's own plugins, fetched once, while a job is planned.

    {origin}/plugins/glow@2.0.0/manifest.json ─> index.mjs ─> what they name: pictures, fonts, further modules

Their code is a stranger's: it is read here, never run, and it goes to the page alone (page/foreign.js). Their GIFs
become still pictures of all frames, which the page shows by the time of the video, not by a browser's clock.
"""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import Collection, Mapping
from fractions import Fraction
from math import ceil, sqrt
from typing import Any
from urllib.parse import quote

import av
import httpx
import numpy as np
from numpy.typing import NDArray

from ecg_common.addresses import AddressRefused
from ecg_common.web import checked_client, length_of, may_pass, opened
from ecg_renderer.errors import ManifestError, RenderError, ScenarioError, ServiceUnreachable, plain_failures
from ecg_renderer.request import Origin
from ecg_renderer.served import MANIFEST, Fetched, PluginModule, Sheet, entry_of, is_gif, read_manifest_json
from ecg_renderer.storage.base import printable

FILE_BYTES = 2 * 1024 * 1024
JOB_BYTES = 16 * 1024 * 1024
SECONDS = 10.0
MOST_FILES = 64
MOST_PLUGINS = 64
_AT_ONCE = 8
_TRIES = 3
_PAUSE_SECONDS = 0.25
# S3 says 403 for what is not there to whoever may not list the bucket.
_ABSENT = {403, 404, 410}
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}@[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_PATH = re.compile(r"(?:[A-Za-z0-9_-][A-Za-z0-9._-]*/){0,8}[A-Za-z0-9_-][A-Za-z0-9._-]*")
_NAMED = re.compile(
    r"""["'`](?:\./)?([^"'`\s]{1,200}\.(?:mjs|js|gif|png|jpe?g|webp|avif|svg|woff2?|ttf|otf|json))["'`]"""
)


async def fetch_plugins(origin: Origin, keys: Collection[str]) -> Fetched:
    """Fetch the plugins `keys` (as in "glow@2.0.0"); what the origin does not have is left out.

    Raises ServiceUnreachable if the origin does not answer in time, ManifestError if it leads to where nobody may go,
    ScenarioError for a plugin that is too large or broken.
    """
    usable = sorted(key for key in keys if _KEY.fullmatch(key))
    if len(usable) > MOST_PLUGINS:
        raise ScenarioError(f"The scenario uses {len(usable)} plugins of an origin; {MOST_PLUGINS} are the most.")
    async with checked_client(origin.policy, timeout=httpx.Timeout(SECONDS)) as client:
        visit = _Visit(origin, client)
        try:
            async with asyncio.timeout(SECONDS):
                with plain_failures():
                    async with asyncio.TaskGroup() as tasks:
                        running = [tasks.create_task(visit.plugin(key)) for key in usable]
        except TimeoutError:
            raise ServiceUnreachable(
                f"{visit.name} did not give all plugins within {SECONDS:g} s.", hint="Try again later."
            ) from None
    found = [module for task in running if (module := task.result())]
    return Fetched({module.key: module for module in found}, tuple(visit.warnings))


class _Visit:
    """The way to an origin, for one job."""

    def __init__(self, origin: Origin, client: httpx.AsyncClient) -> None:
        self._origin = origin
        self._client = client
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._bytes = 0
        self.name = f"The plugin origin {printable(origin.address)} ({origin.given})"
        self.warnings: list[str] = []

    async def plugin(self, key: str) -> PluginModule | None:
        """Return a plugin with all that it names, or None if it is not there."""
        manifest = await self._file(key, MANIFEST)
        if manifest is None:
            return None
        read = read_manifest_json(manifest)
        if read is None:
            raise ScenarioError(f"{self.name}: the manifest.json of {key} is no JSON object.")
        entry = entry_of(read)
        if not _PATH.fullmatch(entry):
            raise ScenarioError(f"{self.name}: the manifest.json of {key} names an entry that is no path below it.")
        script = await self._file(key, entry)
        if script is None:
            return None
        files = {MANIFEST: manifest, entry: script}
        await self._named(key, files, _named_in_manifest(read) | _named_in_module(script, entry))
        found = await asyncio.to_thread(with_pictures, key, files)
        still = sorted(path for path in files if is_gif(path) and path not in found.sheets)
        self.warnings += [f"{path} of {key} has one picture, or too many, and stands still." for path in still]
        return found

    async def _named(self, key: str, files: dict[str, bytes], named: set[str]) -> None:
        """Add to `files` what is `named`, and what further modules name."""
        asked = {*files, *named}
        waiting = sorted(named - files.keys())
        while waiting:
            if len(asked) > MOST_FILES:
                raise ScenarioError(f"{self.name}: {key} names more than {MOST_FILES} files.")
            path = waiting.pop()
            body = await self._file(key, path)
            if body is None:
                self.warnings.append(f"{key} names {path}, which the plugin origin does not have.")
                continue
            files[path] = body
            more = _named_in_module(body, path) - asked if path.endswith((".mjs", ".js")) else set()
            waiting += sorted(more)
            asked |= more

    async def _file(self, key: str, path: str) -> bytes | None:
        url = f"{self._origin.address}/plugins/{quote(key, safe='@')}/{quote(path)}"
        async with self._turns:
            for attempt in range(_TRIES):
                try:
                    return await self._read(url, f"{path} of {key}")
                except httpx.HTTPError as error:
                    if not may_pass(error) or attempt == _TRIES - 1:
                        raise self._failed(error) from error
                    await asyncio.sleep(_PAUSE_SECONDS * 2**attempt)
        return None

    async def _read(self, url: str, what: str) -> bytes | None:
        body = bytearray()
        try:
            async with opened(self._client, url, self._origin.policy.check, {}) as (_, response):
                self._refuse_large(length_of(response) or 0, what)
                async for chunk in response.aiter_bytes():
                    body += chunk
                    self._refuse_large(len(body), what)
        except AddressRefused as reason:
            raise ManifestError(
                f"{self.name} leads to an address that may not be asked: {reason}",
                hint="It may redirect to public https:// addresses, and to the origins of ECG_PLUGIN_ORIGINS.",
            ) from None
        except httpx.HTTPStatusError as error:
            if error.response.status_code in _ABSENT:
                return None
            raise
        self._bytes += len(body)
        if self._bytes > JOB_BYTES:
            raise ScenarioError(f"{self.name}: the job's plugins have more than {JOB_BYTES // 1024**2} MB together.")
        return bytes(body)

    def _refuse_large(self, size: int, what: str) -> None:
        if size > FILE_BYTES:
            raise ScenarioError(f"{self.name}: {what} is larger than {FILE_BYTES // 1024**2} MB.")

    def _failed(self, error: httpx.HTTPError) -> RenderError:
        if isinstance(error, httpx.HTTPStatusError):
            said = f"answered {error.response.status_code}"
        else:
            said = f"cannot be read: {str(error) or type(error).__name__}"
        kind = ServiceUnreachable if may_pass(error) else ManifestError
        return kind(f"{self.name} {said}.", hint="Check the address, and whether the server runs.")


def _named_in_manifest(manifest: Mapping[str, Any]) -> set[str]:
    preload = manifest.get("preload")
    named = [path.removeprefix("./") for path in preload if isinstance(path, str)] if isinstance(preload, list) else []
    return {path for path in named if _PATH.fullmatch(path)}


def _named_in_module(module: bytes, path: str) -> set[str]:
    """Return the paths of files that the module at `path` names as text, seen from where it is."""
    folder, slash, _ = path.rpartition("/")
    texts = _NAMED.findall(module.decode(errors="replace"))
    return {named for text in texts if _PATH.fullmatch(named := f"{folder}{slash}{text}")}


# --- pictures that move ---------------------------------------------------------------------------


LARGEST_SHEET = 40_000_000
"""Pixels of all frames of a GIF together; they are four bytes each in the browser."""
_LONGEST_SIDE = 16_384
_FOR_EVER = 0


def with_pictures(key: str, files: Mapping[str, bytes]) -> PluginModule:
    """Return a plugin of these files, its GIFs taken apart."""
    found = {path: sheet_of(body) for path, body in files.items() if is_gif(path)}
    return PluginModule(key, files, {path: sheet for path, sheet in found.items() if sheet})


def sheet_of(gif: bytes) -> Sheet | None:
    """Return all frames of a GIF; None if it has one, cannot be read, or is too large."""
    try:
        frames, ends = _frames(gif)
    except (av.FFmpegError, ValueError, OSError):
        return None
    if len(frames) < 2:
        return None
    height, width, _ = frames[0].shape
    columns = min(max(1, ceil(sqrt(len(frames) * height / width))), max(1, _LONGEST_SIDE // width))
    rows = ceil(len(frames) / columns)
    if rows * height > _LONGEST_SIDE:
        return None
    picture = np.zeros((rows * height, columns * width, 4), np.uint8)
    for number, frame in enumerate(frames):
        top, left = number // columns * height, number % columns * width
        picture[top : top + height, left : left + width] = frame
    return Sheet(_png(picture), _png(frames[0]), columns, rows, tuple(ends), _plays(gif))


def _frames(gif: bytes) -> tuple[list[NDArray[np.uint8]], list[int]]:
    """Return pictures and when each ends, in milliseconds; raises ValueError for too many pixels."""
    frames: list[NDArray[np.uint8]] = []
    ends: list[int] = []
    with av.open(io.BytesIO(gif), "r", format="gif") as container:
        stream = container.streams.video[0]
        pixels = stream.codec_context.width * stream.codec_context.height
        durations = []
        for packet in container.demux(stream):
            if (len(frames) + 1) * pixels > LARGEST_SHEET:
                raise ValueError("too many pixels")
            if packet.size and packet.time_base is not None:
                durations.append(Fraction(packet.duration or 0) * packet.time_base)
            frames += [np.asarray(frame.to_ndarray(format="rgba"), np.uint8) for frame in packet.decode()]
    for duration in durations[: len(frames)]:
        ends.append((ends[-1] if ends else 0) + max(10, round(duration * 1000)))
    return frames[: len(ends)], ends


def _plays(gif: bytes) -> int:
    """Return how often a GIF is shown: as its Netscape extension says, else once."""
    at = gif.find(b"NETSCAPE2.0\x03\x01")
    if at < 0:
        return 1
    repeats = int.from_bytes(gif[at + 13 : at + 15], "little")
    return repeats + 1 if repeats else _FOR_EVER


def _png(rgba: NDArray[np.uint8]) -> bytes:
    codec = av.CodecContext.create("png", "w")
    assert isinstance(codec, av.VideoCodecContext)
    codec.height, codec.width = rgba.shape[:2]
    codec.pix_fmt, codec.time_base = "rgba", Fraction(1)
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgba), format="rgba")
    return b"".join(bytes(packet) for packet in [*codec.encode(picture), *codec.encode(None)])
