"""A server of caption plugins, as the editor's, on this machine, and what it may do wrong.

with serving(plugins()) as origin:          files by their paths below /plugins/
    origin.url, origin.asked
    origin.answers["glow@2.0.0/index.mjs"] = Answer(status=500)
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import clips
from ecg_renderer.origin import with_pictures
from ecg_renderer.served import PluginModule

FOLDER = Path(__file__).with_name("origin_plugins")
GIF = "assets/flame.gif"
GIF_FRAMES = 6


@dataclass
class Answer:
    """What is answered at a path; `seconds` pass before it, and `cut` bytes of the body are missing."""

    body: bytes = b""
    status: int = 200
    location: str = ""
    seconds: float = 0.0
    cut: int = 0


@dataclass
class Origin:
    """A running server: its address, what it answers by path below /plugins/, and what was asked."""

    url: str
    answers: dict[str, Answer]
    asked: list[str] = field(default_factory=list)


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[Origin]:
    """Serve files on a port of this machine until the end of the block."""
    origin = Origin("", {path: Answer(body) for path, body in files.items()})
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.removeprefix("/plugins/")
            origin.asked.append(path)
            answer = origin.answers.get(path, Answer(status=404))
            over.wait(answer.seconds)
            self.send_response(answer.status)
            if answer.location:
                self.send_header("Location", answer.location)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body[: len(answer.body) - answer.cut])

        def log_message(self, format: str, *words: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    origin.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield origin
    finally:
        over.set()
        server.shutdown()
        server.server_close()
        thread.join()


@cache
def flame() -> bytes:
    """Return a GIF of `GIF_FRAMES` colours, 0.1 s each, for ever."""
    picture = "color=red:s=40x24:r=10:d=0.6,hue=h=60*n,split[a][b];[a]palettegen[p];[b][p]paletteuse"
    return clips.ffmpeg("-f", "lavfi", "-i", picture, "-frames:v", str(GIF_FRAMES), "-f", "gif", "-loop", "0", "-")


def plugins() -> dict[str, bytes]:
    """Return the files of five plugins: timers, a GIF, randomness, API 2.1 and API 3.0."""
    files = {path.relative_to(FOLDER).as_posix(): path.read_bytes() for path in FOLDER.rglob("*") if path.is_file()}
    return {**files, f"flame@2.0.0/{GIF}": flame()}


KEYS = ("timers@2.0.0", "flame@2.0.0", "sparks@2.0.0", "hop@1.0.0", "slide@2.0.0")


def module(key: str, script: str | None = None) -> PluginModule:
    """Return one of those plugins as it is fetched, or one whose module is `script`."""
    if script is not None:
        kind = "channel" if "evalChannels" in script else "dom"
        manifest = json.dumps({"type": kind}).encode()
        return PluginModule(key, {"manifest.json": manifest, "index.mjs": script.encode()})
    files = {path.partition("/")[2]: body for path, body in plugins().items() if path.startswith(f"{key}/")}
    return with_pictures(key, files)
