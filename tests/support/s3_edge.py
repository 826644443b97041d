"""What stands before a busy S3: an HTTP server that keeps objects, tells clients to slow down, and lets sessions end.

with S3Edge().running() as edge:
    edge.environment()        AWS variables of a fixed key, with the session token `edge.token`
    edge.role()               AWS variables of a role: its keys are fetched here, as in a pod with Pod Identity
    edge.renew()              a new session: what was signed with an earlier token is refused as expired from now on
    edge.busy = 3             so many requests are answered with 503 SlowDown
    edge.asked                "GET /bucket/key" of all that was asked for, credentials left out

It does without versitygw, which knows no sessions.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from s3 import NO_OTHER_SETTINGS

SESSION = timedelta(minutes=15)
_CREDENTIALS = "/credentials"
_TOKEN = "X-Amz-Security-Token"
_STARTED = "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"


class S3Edge:
    """The server; buckets need not be made."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.busy = 0
        self.asked: list[str] = []
        self.token = "session-0"
        self.lock = threading.Lock()
        self.url = ""

    @contextmanager
    def running(self) -> Iterator[S3Edge]:
        """Serve meanwhile."""
        with ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"edge": self})) as server:
            self.url = f"http://127.0.0.1:{server.server_port}"
            thread = threading.Thread(target=server.serve_forever, name="S3 edge")
            thread.start()
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()

    def renew(self) -> None:
        """Begin a new session; nothing is opened by the token of an earlier one any more."""
        self.token = f"session-{int(self.token.rpartition('-')[2]) + 1}"

    def session(self) -> dict[str, str]:
        """Return what a client needs of the session of now, by AWS' names."""
        return {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": self.token}

    def environment(self) -> dict[str, str]:
        """Return the variables that lead a process here, with the session of now."""
        return {"AWS_ENDPOINT_URL": self.url, **NO_OTHER_SETTINGS, **self.session()}

    def role(self) -> dict[str, str]:
        """Return the variables that lead a process here, and to where it gets keys for a quarter of an hour."""
        fetched = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": self.url + _CREDENTIALS}
        return {"AWS_ENDPOINT_URL": self.url, **NO_OTHER_SETTINGS, **fetched}

    def refusal(self, token: str) -> tuple[int, str]:
        """Return status and code with which a request is refused; (200, "") if it is not."""
        with self.lock:
            if self.busy > 0:
                self.busy -= 1
                return 503, "SlowDown"
        return (200, "") if token == self.token else (400, "ExpiredToken")


class _Handler(BaseHTTPRequestHandler):
    edge: S3Edge
    protocol_version = "HTTP/1.1"

    def take(self) -> None:
        parts = urlsplit(self.path)
        query = parse_qs(parts.query, keep_blank_values=True)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if parts.path == _CREDENTIALS:
            self.answer(200, _fetched(self.edge))
            return
        self.edge.asked.append(f"{self.command} {parts.path}")
        status, code = self.edge.refusal(self.headers.get(_TOKEN) or query.get(_TOKEN, [""])[0])
        if code:
            self.answer(status, f"<Error><Code>{code}</Code><Message>Said by the edge.</Message></Error>".encode())
        else:
            self.serve(unquote(parts.path), query, body)

    def serve(self, key: str, query: dict[str, list[str]], body: bytes) -> None:
        if self.command in ("GET", "HEAD"):
            self.read(key)
        elif "uploads" in query:
            self.answer(200, _STARTED.encode())
        elif self.command == "DELETE":
            self.answer(204)
        else:
            self.edge.objects[key] = body
            self.answer(200, ETag=f'"{md5(body).hexdigest()}"')

    def read(self, key: str) -> None:
        content = self.edge.objects.get(key)
        if content is None:
            self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
            return
        headers = {"ETag": f'"{md5(content).hexdigest()}"', "Accept-Ranges": "bytes"}
        asked = self.headers.get("Range")
        if asked is None:
            self.answer(200, content, **headers)
            return
        first, _, last = asked.removeprefix("bytes=").partition("-")
        part = content[int(first) : int(last) + 1 if last else None]
        place = f"bytes {first}-{int(first) + len(part) - 1}/{len(content)}"
        self.answer(206, part, **headers, **{"Content-Range": place})

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = take  # noqa: N815 - http.server's names


def _fetched(edge: S3Edge) -> bytes:
    end = (datetime.now(UTC) + SESSION).strftime("%Y-%m-%dT%H:%M:%SZ")
    keys = {"AccessKeyId": "key", "SecretAccessKey": "secret", "Token": edge.token, "Expiration": end}
    return json.dumps(keys).encode()
