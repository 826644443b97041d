"""A pod's progress over HTTP: /progress for the operator, /metrics for Prometheus, /healthz.

Each request reads one immutable value; nothing in the render waits for it.
"""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler

from ecg_renderer.worker.live import Live, Moment

REQUEST_SECONDS = 5.0

Answer = tuple[str, bytes]


@contextmanager
def served(live: Live, port: int) -> Iterator[int | None]:
    """Serve on `port` of all addresses (0: a free one) for the duration of the block; give the port.

    A port that is taken costs the progress, not the render: then there is a warning, and None.
    """
    try:
        server = _Server(live, port)
    except OSError as error:
        live.warn(f"Progress is not served on port {port}: {error.strerror}.")
        yield None
        return
    thread = threading.Thread(target=server.serve_forever, name="ecg-progress", daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answers(live: Live) -> dict[str, Callable[[], Answer]]:
    """Return what is answered on each path: content type and body."""
    return {
        "/progress": lambda: ("application/json", live.moment().progress.model_dump_json().encode()),
        "/metrics": lambda: _metrics(live.moment()),
        "/healthz": lambda: ("text/plain; charset=utf-8", b"ok\n"),
    }


class _Server(socketserver.ThreadingTCPServer):
    # Not HTTPServer: it asks the name service for the host's own name before it listens, which can take seconds.
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    address_family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET

    def __init__(self, live: Live, port: int) -> None:
        self.answers = answers(live)
        super().__init__(("", port), _Handler)

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


class _Handler(BaseHTTPRequestHandler):
    timeout = REQUEST_SECONDS
    server: _Server

    def do_GET(self) -> None:
        make = self.server.answers.get(self.path.partition("?")[0])
        if make is None:
            self.send_error(HTTPStatus.NOT_FOUND, explain="There are /progress, /metrics and /healthz.")
            return
        kind, body = make()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *words: object) -> None:  # noqa: A002
        # A poll every two seconds would bury the log's own lines.
        pass


def _metrics(moment: Moment) -> Answer:
    # Imported when it is asked for: most pods are never scraped.
    from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

    from ecg_renderer.worker.metrics import registry_of

    return CONTENT_TYPE_LATEST, generate_latest(registry_of(moment))
