"""What a pod is doing at this moment: for whoever polls it, and as lines for whoever reads its log."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING

from ecg_api.plan import SegmentPlan
from ecg_api.pods import PodProgress
from ecg_renderer.media.encoder import EncoderChoice
from ecg_renderer.metering import MemoryMeter, ProgressReport, RenderMeter, Stage
from ecg_renderer.model import MEGABYTE

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from ecg_renderer.frames import QueueStatistics

LINE_SECONDS = 10.0
UPLOADING = "uploading"


@dataclass(frozen=True)
class Moment:
    """Progress, and what only /metrics shows: pictures that wait for FFmpeg."""

    progress: PodProgress
    queue: QueueStatistics | None

    def collect(self) -> Iterator[Metric]:
        """Yield it in Prometheus' words."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily

        progress, queue = self.progress, self.queue
        gauges = [
            ("frames_done", "Frames of this pod's segment, or of the merge, that are done.", progress.frames_done),
            ("frames_total", "Frames that this pod has to do.", progress.frames_total),
            ("frames_per_second", "Speed over the last seconds.", progress.frames_per_second or 0),
            ("queue_frames", "Caption pictures that wait for FFmpeg.", queue.queue_size if queue else 0),
            ("queue_limit_frames", "Caption pictures that may wait for FFmpeg.", queue.max_size if queue else 0),
            ("memory_bytes", "Memory of all processes of this pod.", progress.memory_mb * MEGABYTE),
        ]
        for name, text, value in gauges:
            yield GaugeMetricFamily(f"ecg_worker_{name}", text, value=value)
        yield CounterMetricFamily(
            "ecg_worker_frames_dropped", "Caption pictures left out.", value=progress.frames_dropped
        )
        about = {"stage": progress.stage, "encoder": progress.encoder, "capture": progress.capture}
        yield InfoMetricFamily("ecg_worker", "What this pod is doing, and how.", value=about)
        # The reason apart: it is long, and says the same all the time.
        yield InfoMetricFamily(
            "ecg_worker_encoder",
            "The encoder, and why it is that one.",
            value={"encoder": progress.encoder, "reason": progress.encoder_reason},
        )


class Live:
    """Takes the progress of one pod; an `Observer`.

    Attributes:
        meter: knows the state of the queue before FFmpeg; set while a segment is rendered.
        memory: measures all of the pod's processes; set while that is worth it.

    `moment` may be called from any thread: what it reads is replaced as a whole, never changed.
    """

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._say = say
        self._clock = clock
        self._said_at = clock()
        self._progress = PodProgress()
        self.meter: RenderMeter | None = None
        self.memory: MemoryMeter | None = None

    def moment(self) -> Moment:
        """Return where the pod stands."""
        queue = self.meter.queue.statistics() if self.meter and self.meter.queue else None
        measured = {
            "frames_dropped": queue.dropped_frames if queue else self._progress.frames_dropped,
            "memory_mb": self.memory.latest_mb if self.memory else 0.0,
        }
        return Moment(self._progress.model_copy(update=measured), queue)

    def stage(self, name: str, what: str) -> None:
        """Enter a stage and say so: `what` is a sentence for the log."""
        self._change(stage=name)
        self.say(what)

    def say(self, line: str) -> None:
        """Write a line to the log."""
        self._said_at = self._clock()
        self._say(line)

    def begin_segment(self, segment: SegmentPlan) -> None:
        """Show which segment this pod renders, and its frames."""
        self._change(segment=segment.index, frames_total=segment.frames)

    def encode_with(self, choice: EncoderChoice) -> None:
        """Show the encoder and why it is that one."""
        self._change(encoder=choice.encoder, encoder_reason=choice.reason)
        self.say(f"Encoder: {choice.encoder} ({choice.reason}).")

    def count(self, done: int, total: int) -> None:
        """Show that `done` of `total` frames are worked off."""
        self._change(frames_done=done, frames_total=total)

    def report(self, progress: ProgressReport) -> None:
        """Take the renderer's progress; now and then, write a line about it."""
        if progress.stage is not Stage.RENDERING:
            self._change(stage=progress.stage.value)
            return
        entered = self._progress.stage != Stage.RENDERING
        self._change(
            stage=Stage.RENDERING.value,
            frames_done=progress.frames_done,
            frames_per_second=progress.frames_per_second,
            capture=progress.capture,
        )
        if entered or self._clock() - self._said_at >= LINE_SECONDS:
            self.say(progress_line(self._progress))

    def transferred(self, done: int, total: int) -> None:
        """Take the bytes of a transfer, in whichever thread; now and then, write a line about them."""
        if done < total and self._clock() - self._said_at >= LINE_SECONDS:
            self.say(f"{done / 1e6:.0f} of {total / 1e6:.0f} MB ({100 * done // total} %)")

    def warn(self, text: str) -> None:
        """Write a warning to the log."""
        self.say(f"Warning: {text}")

    def _change(self, **values: object) -> None:
        self._progress = self._progress.model_copy(update=values)


def progress_line(progress: PodProgress) -> str:
    """Return `Rendering segment 3: 120 of 300 frames (40 %), 85 frames/s, x264, canvas`."""
    done, total = progress.frames_done, progress.frames_total
    speed = f"{progress.frames_per_second:.0f} frames/s" if progress.frames_per_second else ""
    dropped = f"{progress.frames_dropped} dropped" if progress.frames_dropped else ""
    counted = f"{done} of {total} frames ({100 * done // max(1, total)} %)"
    words = [f"Rendering segment {progress.segment}: {counted}", speed, progress.encoder, progress.capture, dropped]
    return ", ".join(word for word in words if word)


# --- over HTTP: /progress for the operator, /metrics for Prometheus, /healthz ---------------------
# Each request reads one immutable value; nothing in the render waits for it.


REQUEST_SECONDS = 5.0
LOOK_SECONDS = 0.05
"""How often the server looks whether it is to end; the pod's end waits for that."""

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
    thread = threading.Thread(target=server.serve_forever, args=(LOOK_SECONDS,), name="ecg-progress", daemon=True)
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

    return CONTENT_TYPE_LATEST, generate_latest(moment)
