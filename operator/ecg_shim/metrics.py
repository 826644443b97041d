"""What Prometheus reads at /metrics."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ecg_shim.snapshot import Snapshot

METHODS = ("GET", "HEAD", "POST", "OPTIONS")
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0)


class Metrics:
    """The service's metrics, in a registry of their own; other parts add theirs to it."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._depth = self._gauge("ecg_render_queue_depth", "Jobs that wait.")
        self._active = self._gauge("ecg_render_active_jobs", "Jobs that are being rendered.")
        self._wait = self._gauge("ecg_render_estimated_wait_seconds", "Seconds until a job sent now would begin.")
        self._drops = self._gauge("ecg_render_frame_drop_rate", "Dropped by processed frames of recent jobs, 0 to 1.")
        self._healthy = self._gauge("ecg_render_healthy", "1 while /health says healthy.")
        self.submissions = Counter(
            "ecg_render_submissions", "Posted render requests by outcome.", ["outcome"], registry=self.registry
        )
        self.requests = Histogram(
            "ecg_render_request_duration_seconds",
            "Seconds from a request's first byte to the end of its answer.",
            ["method", "route", "status"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.in_progress = self._gauge("ecg_render_requests_in_progress", "Requests without an answer yet.")

    def text(self, snapshot: Snapshot, *, healthy: bool) -> bytes:
        """Return all metrics in Prometheus' text form."""
        self._depth.set(snapshot.queue.pending)
        self._active.set(snapshot.queue.processing)
        self._wait.set(snapshot.queue.wait_seconds)
        self._drops.set(snapshot.drop_rate)
        self._healthy.set(1 if healthy else 0)
        return generate_latest(self.registry)

    def _gauge(self, name: str, help_text: str) -> Gauge:
        return Gauge(name, help_text, registry=self.registry)


class Timed:
    """Measures every request."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and note how long its answer took."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.monotonic(), "none"

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        with self._metrics.in_progress.track_inprogress():
            await self._app(scope, receive, noting)
        method = scope["method"] if scope["method"] in METHODS else "other"
        labels = self._metrics.requests.labels(method, _route(scope), status)
        labels.observe(time.monotonic() - began)


def _route(scope: Scope) -> str:
    """Return the path's pattern; strangers' paths share one, or each would make a series."""
    route = scope.get("route")
    return getattr(route, "path", None) or "other"
