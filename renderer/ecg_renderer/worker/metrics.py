"""A pod's progress in Prometheus' words."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from ecg_renderer.model import MEGABYTE
from ecg_renderer.worker.live import Moment


def registry_of(moment: Moment) -> CollectorRegistry:
    """Return a registry that holds this one moment."""
    registry = CollectorRegistry()
    registry.register(_Momentary(moment))
    return registry


class _Momentary(Collector):
    def __init__(self, moment: Moment) -> None:
        self._moment = moment

    def collect(self) -> Iterator[Metric]:
        progress, queue = self._moment.progress, self._moment.queue
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
