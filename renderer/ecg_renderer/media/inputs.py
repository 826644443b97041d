"""How FFmpeg and ffprobe are told to open a source: names, allowed protocols and formats, network limits.

A source comes from strangers. A playlist that names `/etc/passwd` or an internal address must stay unread, so
every input says which protocols and which demuxers may be used; playlists of all kinds are not among them.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ecg_renderer.errors import SourceMissing

# An encoder's pictures behind each other. When one is shown nobody says, nor in which order before they are decoded.
UNTIMED_FORMATS = ("h264", "hevc", "mpegvideo", "m4v", "obu", "av1", "vc1")
VIDEO_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "mpegts", "mpeg", "avi", "flv", "asf", "ogg", "mxf", "nut", "gif",
    "yuv4mpegpipe", "dv", "ivf", "apng", "rm", "wtv", "gxf", "swf",
    *UNTIMED_FORMATS,
)  # fmt: skip
# These containers tell where key frames are, so that seeking ends on one. The others are searched by
# timestamp and may end between two key frames; see seeking.py.
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


def _certificate_options() -> dict[str, str | int]:
    # FFmpeg believes any certificate unless told otherwise.
    options: dict[str, str | int] = {"tls_verify": 1}
    if authorities := os.environ.get("SSL_CERT_FILE"):
        options["ca_file"] = authorities
    return options
