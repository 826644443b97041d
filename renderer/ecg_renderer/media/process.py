"""Run FFmpeg as a child that cannot outlive us: progress while it works, its last words when it fails.

The child leads a session of its own, so that Ctrl-C reaches us and not it, and so that it can be ended with all
that it started. Should we be killed ourselves, the kernel ends it. It reads strangers' bytes: of our environment it
sees no secrets.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ecg_common.children import ending_with_us, short_environment, signal_group
from ecg_renderer.errors import FfmpegError, FfmpegStopped, RenderError, ResourceError, SourceMissing, plain_failures

LOG_LINES = 20
TERMINATE_SECONDS = 2.0
_LOG_BYTES = 64 * 1024

# glibc gives blocks of this size back to the kernel at once, and FFmpeg takes one for each caption picture: 450,000
# page faults in 30 seconds of busy captions, 3 percent of the CPU time.
_ALLOCATION = {"MALLOC_MMAP_THRESHOLD_": "33554432", "MALLOC_TRIM_THRESHOLD_": "268435456"}

_INSTALL_HINT = "Install FFmpeg 5.1 or newer: apt-get install ffmpeg, or brew install ffmpeg."
_DISK_FULL = ("No space left on device", "Disk quota exceeded", "File too large")
# Said of a server that is away or overloaded; the address was found good just before.
_AWAY = (
    "Connection refused", "Connection reset", "timed out", "Server returned 5XX", "no answer within",
    "Failed to resolve hostname", "Network is unreachable", "No route to host",
)  # fmt: skip
# Said when what was read is not the whole.
_GIVEN_UP = "Input/output error"
_BROKEN_OFF = ("Stream ends prematurely", _GIVEN_UP)
_CONNECTED_AGAIN = "Will reconnect at"
# Signals that come from outside, and not of what FFmpeg reads.
_STOPPED = ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP")
# What FFmpeg of any version says about pictures that it cannot decode, or perhaps not wholly.
_DAMAGED = (
    *(b"corrupt decoded frame", b"corrupt input packet"),
    *(b"Error while decoding stream", b"Error submitting packet to decoder"),
    # dav1d goes on with the next picture, and before version 7 FFmpeg's H.264 decoder fills what is missing of one;
    # neither is a failure. What it comes to shows when pictures are counted.
    *(b"[libdav1d @", b"error while decoding MB"),
)
# What may carry a password or a signature: user@ before the host, and all behind the path.
_URL_SECRETS = re.compile(r"(https?://)(?:[^\s/@]*@)?([^\s?#]*)(?:[?#]\S*)?")


@dataclass(frozen=True)
class Progress:
    """How far FFmpeg is."""

    frame: int
    fps: float
    seconds: float
    """Position in the output, in seconds."""


@dataclass(frozen=True)
class Finished:
    """What a child left behind."""

    code: int
    """Exit status; negative for the signal that ended it."""

    output: bytes
    log: list[str]
    """Last lines of its log, secrets replaced."""

    damaged: bool = False
    """FFmpeg said that pictures of its input are damaged or missing."""


def tool_path(tool: str) -> str:
    """Return the path of `ffmpeg` or `ffprobe`; raise FfmpegError when it is not installed.

    ECG_FFMPEG and ECG_FFPROBE name others than those in PATH.
    """
    wanted = os.environ.get(f"ECG_{tool.upper()}") or tool
    found = shutil.which(wanted)
    if not found:
        raise FfmpegError(f"{wanted} is not installed, or not in PATH.", hint=_INSTALL_HINT)
    return found


@cache
def program_identity(tool: str) -> str:
    """Return a text that changes when `ffmpeg` or `ffprobe` is another one; nothing if it is not there."""
    program = shutil.which(os.environ.get(f"ECG_{tool.upper()}") or tool)
    return file_identity(Path(program)) if program else ""


def file_identity(file: Path) -> str:
    """Return a text that changes with a file, wherever it is linked from."""
    status = file.resolve().stat()
    return f"{file}:{status.st_size}:{status.st_mtime_ns}"


async def run_ffmpeg(
    arguments: list[str],
    *,
    action: str = "encoding a segment",
    stdin: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    redact: Mapping[str, str] | None = None,
) -> Finished:
    """Run ffmpeg to its end.

    `action` completes "FFmpeg failed while …". `stdin` is what `pipe:0` reads; it stays the caller's to close.
    `redact` replaces texts in the log, such as an address by the name that the user gave it; signatures and passwords
    of addresses never stay in it.
    Raises FfmpegError or ResourceError, with the last lines of the log. Cancelling ends the child.
    """
    plumbing = ["-hide_banner", "-nostdin", "-nostats", "-loglevel", "warning", "-y"]
    plumbing += ["-progress", "pipe:1", "-stats_period", "0.25"]
    command = [*ending_with_us(), tool_path("ffmpeg"), *plumbing, *arguments]
    report = _ProgressReader(on_progress)
    finished = await _run(command, stdin=stdin, on_line=report.line, redact=redact)
    # Written to the last buffer only, a full disk leaves exit status 0.
    if finished.code != 0 or _disk_was_full(finished.log):
        raise failure(finished, action)
    return finished


async def read_ffmpeg(
    arguments: list[str],
    *,
    seconds: float,
    on_line: Callable[[bytes], None] | None = None,
    on_log: Callable[[bytes], None] | None = None,
) -> Finished:
    """Run ffmpeg on a source to find something out.

    `on_line` gets each line of its standard output, `on_log` its log in parts. What they raise ends ffmpeg and is
    passed on. Raises TimeoutError after `seconds`, FfmpegError when ffmpeg is not installed.
    """
    command = [*ending_with_us(), tool_path("ffmpeg"), "-hide_banner", "-nostdin", "-nostats", "-loglevel", "error"]
    async with asyncio.timeout(seconds):
        return await _run([*command, *arguments], on_line=on_line, on_log=on_log)


async def run_ffprobe(
    arguments: list[str],
    *,
    seconds: float,
    redact: Mapping[str, str] | None = None,
    on_line: Callable[[bytes], None] | None = None,
) -> Finished:
    """Run ffprobe and return what it printed, also when it failed; with `on_line`, that gets each line instead.

    What `on_line` raises ends ffprobe and is passed on. Raises TimeoutError after `seconds`, FfmpegError when ffprobe
    is not installed.
    """
    command = [*ending_with_us(), tool_path("ffprobe"), "-hide_banner", "-loglevel", "error", *arguments]
    async with asyncio.timeout(seconds):
        return await _run(command, redact=redact, on_line=on_line)


def failure(finished: Finished, action: str) -> RenderError:
    """Return the error that a failed run amounts to."""
    if _disk_was_full(finished.log):
        return ResourceError(
            f"The disk is full, or the file may not grow further: FFmpeg stopped while {action}.",
            hint="Free some space, or write to another disk.",
            log_tail=finished.log,
        )
    if finished.code < 0:
        name = signal.Signals(-finished.code).name
        if name == "SIGXFSZ":
            return ResourceError(
                f"The file grew beyond the largest size that is allowed here: FFmpeg stopped while {action}.",
                hint="Raise the limit (ulimit -f), or write elsewhere.",
                log_tail=finished.log,
            )
        hint = "SIGKILL mostly means that memory ran out." if name == "SIGKILL" else ""
        kind = FfmpegStopped if name in _STOPPED else FfmpegError
        return kind(f"FFmpeg was ended by {name} while {action}.", hint=hint, log_tail=finished.log)
    said = f": {finished.log[-1]}" if finished.log else ""
    return FfmpegError(f"FFmpeg failed with exit status {finished.code} while {action}{said}", log_tail=finished.log)


def _disk_was_full(log: list[str]) -> bool:
    return _says(log, _DISK_FULL)


def says_away(log: list[str]) -> bool:
    """Tell whether a log says of a source's server that it is away or overloaded."""
    return _says(log, _AWAY)


def says_broken_off(log: list[str]) -> bool:
    """Tell whether a log says that what was read of a source is not the whole."""
    return _says(log, _BROKEN_OFF)


def says_given_up(log: list[str]) -> bool:
    """Tell whether a log says that a source on the web broke off, and that connecting again did not help."""
    return _says(log, (_GIVEN_UP,))


def _says(log: list[str], words: tuple[str, ...]) -> bool:
    return any(some in line for line in log if _CONNECTED_AGAIN not in line for some in words)


class _ProgressReader:
    """Collects the `key=value` lines of `-progress` into reports."""

    def __init__(self, on_progress: Callable[[Progress], None] | None) -> None:
        self._on_progress = on_progress
        self._values: dict[str, str] = {}

    def line(self, line: bytes) -> None:
        key, _, value = line.decode(errors="replace").strip().partition("=")
        self._values[key] = value.strip()
        if key == "progress" and self._on_progress:
            self._on_progress(
                Progress(
                    frame=int(_number(self._values.get("frame"))),
                    fps=_number(self._values.get("fps")),
                    seconds=_number(self._values.get("out_time_us")) / 1_000_000,
                )
            )


def _number(text: str | None) -> float:
    # FFmpeg writes N/A before the first frame.
    try:
        return float(text or 0)
    except ValueError:
        return 0.0


async def _run(
    command: list[str],
    *,
    stdin: int | None = None,
    on_line: Callable[[bytes], None] | None = None,
    on_log: Callable[[bytes], None] | None = None,
    redact: Mapping[str, str] | None = None,
) -> Finished:
    child = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL if stdin is None else stdin,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        env=_ALLOCATION | short_environment(proxies=True),
    )
    assert child.stdout and child.stderr
    try:
        with plain_failures():
            async with asyncio.TaskGroup() as readers:
                errors = readers.create_task(_tail(child.stderr, on_log))
                output = readers.create_task(_read(child.stdout, on_line))
        code = await child.wait()
    finally:
        await _end(child)
    tail, damaged = errors.result()
    return Finished(code, output.result(), _log_lines(tail, redact or {}), damaged)


async def _read(stream: asyncio.StreamReader, on_line: Callable[[bytes], None] | None) -> bytes:
    if on_line is None:
        return await stream.read()
    async for line in stream:
        on_line(line)
    return b""


async def _tail(stream: asyncio.StreamReader, on_log: Callable[[bytes], None] | None) -> tuple[bytes, bool]:
    """Read to the end, keeping the last bytes: a damaged source can fill a log with warnings.

    Tell too whether there were warnings of damage.
    """
    tail, damaged = b"", False
    while chunk := await stream.read(_LOG_BYTES):
        tail = (tail + chunk)[-_LOG_BYTES:]
        damaged = damaged or any(words in tail for words in _DAMAGED)
        if on_log:
            on_log(chunk)
    return tail, damaged


def _log_lines(log: bytes, redact: Mapping[str, str]) -> list[str]:
    text = log.decode(errors="replace")
    for secret, shown in redact.items():
        text = text.replace(secret, shown)
    text = _URL_SECRETS.sub(r"\1\2", text)
    return [line.rstrip() for line in text.splitlines() if line.strip()][-LOG_LINES:]


async def _end(child: asyncio.subprocess.Process) -> None:
    """End whatever is left of the child's session: politely, then not."""
    try:
        for number in (signal.SIGTERM, signal.SIGKILL):
            if child.returncode is not None:
                return
            signal_group(child, number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TERMINATE_SECONDS):
                    await asyncio.shield(child.wait())
    except asyncio.CancelledError:
        signal_group(child, signal.SIGKILL)
        raise


# --- what FFmpeg may open, and how ----------------------------------------------------------------


# An encoder's pictures behind each other. When one is shown nobody says, nor in which order before they are decoded.
UNTIMED_FORMATS = ("h264", "hevc", "mpegvideo", "m4v", "obu", "av1", "vc1")
VIDEO_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "mpegts", "mpeg", "avi", "flv", "asf", "ogg", "mxf", "nut", "gif",
    "yuv4mpegpipe", "dv", "ivf", "apng", "rm", "wtv", "gxf", "swf",
    *UNTIMED_FORMATS,
)  # fmt: skip
# These containers tell where key frames are, so that seeking ends on one. The others are searched by
# timestamp and may end between two key frames; see placing.py.
INDEXED_FORMATS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "flv", "nut")

# httpproxy only serves those who set https_proxy in their environment.
_PROTOCOLS = {"file": "file", "https": "https,tls,tcp,httpproxy", "http": "http,https,tls,tcp,httpproxy"}
NETWORK_TIMEOUT_SECONDS = 30


def is_remote(url: str) -> bool:
    """Tell whether `url` is fetched over the network."""
    return urlsplit(url).scheme in {"http", "https"}


def local_path(url: str) -> Path:
    """Return the path of a plain path or `file://` address."""
    return Path(unquote(urlsplit(url).path)) if url.startswith("file:") else Path(url)


def input_name(url: str) -> str:
    """Return `url` as FFmpeg takes it; `file:` keeps names such as `a:b.mp4` or `-x.mp4` from being misread.

    Raises SourceMissing for a scheme that cannot be opened.
    """
    if is_remote(url):
        return url
    scheme = urlsplit(url).scheme
    if "://" in url and scheme != "file":
        raise SourceMissing(
            f"The source's address starts with {scheme}://, which cannot be opened directly.",
            hint="Use a path, file:// or https://.",
        )
    path = str(local_path(url).absolute())
    if any(0xDC80 <= ord(letter) <= 0xDCFF for letter in path):
        shown = path.encode(errors="surrogateescape").decode(errors="replace")
        raise SourceMissing(f"The path {shown} is not UTF-8 text.", hint="Rename the file or folder.")
    return f"file:{path}"


def source_options(url: str, *, insist: bool = False) -> dict[str, str | int]:
    """Return the input options, by name, with which a source may be opened.

    `insist`: connect again when the network fails, rather than say so at once.
    """
    scheme = urlsplit(url).scheme if is_remote(url) else "file"
    options: dict[str, str | int] = {
        "protocol_whitelist": _PROTOCOLS[scheme],
        "format_whitelist": ",".join(VIDEO_FORMATS),
    }
    if scheme == "file":
        return options
    limit = NETWORK_TIMEOUT_SECONDS * 1_000_000
    # Two options: `rw_timeout` leaves connecting its 5 s, in which three lost packets are too many.
    options |= {"rw_timeout": limit, "timeout": limit}
    if insist:
        # 5xx: S3 says SlowDown with it, others say 429. Broken off while read, a source may be away for half a minute.
        options |= {"reconnect": 1, "reconnect_on_network_error": 1, "reconnect_on_http_error": "429,5xx"}
        options |= {"reconnect_delay_max": 10}
    if scheme == "https":
        options |= _certificate_options()
    return options


def option_words(options: Mapping[str, object]) -> list[str]:
    """Return options by name as a command line has them."""
    return [word for name, value in options.items() for word in (f"-{name}", str(value))]


def _certificate_options() -> dict[str, str | int]:
    # FFmpeg believes any certificate unless told otherwise.
    options: dict[str, str | int] = {"tls_verify": 1}
    if authorities := os.environ.get("SSL_CERT_FILE"):
        options["ca_file"] = authorities
    return options
