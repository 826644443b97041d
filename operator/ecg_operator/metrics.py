"""What the operator counts, for Prometheus. docs/operations.md explains each."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from ecg_api.status import Cost, Phase, RenderJobStatus
from ecg_cluster.client import Call
from ecg_operator.prices import MICROS

RECONCILE_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
FIRST_JOB_SECONDS = (0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600)


class Metrics:
    """The metrics of one operator, in a registry of their own."""

    def __init__(self, version: str) -> None:
        self.registry = registry = CollectorRegistry()
        self.queue_depth = Gauge("ecg_queue_depth", "RenderJobs that wait for a worker.", registry=registry)
        self.queue_oldest = Gauge(
            "ecg_queue_oldest_seconds", "For how long the oldest of them has waited or is worked on.", registry=registry
        )
        self.jobs = Gauge("ecg_jobs", "RenderJobs by phase.", ["phase"], registry=registry)
        self.reconcile_seconds = Histogram(
            "ecg_reconcile_seconds", "Time of one reconcile.", buckets=RECONCILE_SECONDS, registry=registry
        )
        self.reconcile_errors = Counter(
            "ecg_reconcile_errors", "Reconciles that failed, by kind of error.", ["error"], registry=registry
        )
        self.api_calls = Counter(
            "ecg_api_calls", "Requests to the API server.", ["verb", "resource", "status"], registry=registry
        )
        self.first_job_seconds = Histogram(
            "ecg_create_to_first_job_seconds",
            "From a RenderJob's creation (whole seconds) to its first Job.",
            buckets=FIRST_JOB_SECONDS,
            registry=registry,
        )
        self._declare_rendering()
        self.events_dropped = self._counter("ecg_events_dropped", "Events that were not posted: too many at once.")
        self.leader = Gauge("ecg_leader", "1 while this replica is the one that acts.", registry=registry)
        self.silence = Gauge(
            "ecg_watch_silence_seconds", "Since the API server last said something.", ["resource"], registry=registry
        )
        self.unserved = Gauge(
            "ecg_unserved_namespaces", "Namespaces of several that are gone, or not ours to see.", registry=registry
        )
        self.unreadable = Gauge(
            "ecg_unreadable_objects", "Objects that cannot be read: passed over.", ["resource"], registry=registry
        )
        self.loop_lag = Gauge("ecg_event_loop_lag_seconds", "How late the event loop is.", registry=registry)
        self.loop_busy = Gauge(
            "ecg_event_loop_busy_seconds",
            "How long the event loop computed without a pause.",
            registry=registry,
        )
        build = Gauge("ecg_build_info", "Always 1; the version is a label.", ["version"], registry=registry)
        build.labels(version).set(1)
        for phase in Phase:
            self.jobs.labels(phase.value).set(0)

    def _declare_rendering(self) -> None:
        registry = self.registry
        self.frames = self._counter("ecg_frames_rendered", "Frames rendered, repeated tries included.")
        self.dropped = self._counter("ecg_frames_dropped", "Frames that repeat the previous caption picture.")
        self.gpu_seconds = self._counter("ecg_gpu_seconds", "GPUs held times seconds.")
        self.wasted_gpu_seconds = self._counter("ecg_wasted_gpu_seconds", "Part of it in pods whose result was lost.")
        self.cost = Counter("ecg_cost", "What pods cost, by the table of prices.", ["currency"], registry=registry)
        self.wasted_cost = Counter(
            "ecg_wasted_cost", "Part of it for pods whose result was lost.", ["currency"], registry=registry
        )
        self.unpriced_pods = self._counter("ecg_unpriced_pods", "Pods whose node has no price in the table.")
        self.video_seconds = self._counter("ecg_video_seconds", "Length of the videos that were finished.")
        self.places = Gauge(
            "ecg_capacity_places",
            "Places for segments: floor and ceiling of the schedule, allowed, busy, warm (wanted) and warm_ready.",
            ["kind"],
            registry=registry,
        )
        self.waiting_segments = Gauge(
            "ecg_capacity_waiting_segments", "Segments of unfinished jobs that have no place.", registry=registry
        )

    def _counter(self, name: str, meaning: str) -> Counter:
        return Counter(name, meaning, registry=self.registry)

    def show_capacity(self, places: Mapping[str, int], waiting: int) -> None:
        """Show how many places there are of each kind, and how many segments wait for one."""
        for kind, number in places.items():
            self.places.labels(kind).set(number)
        self.waiting_segments.set(waiting)

    def count_call(self, call: Call) -> None:
        """Count one answered request."""
        self.api_calls.labels(call.verb, call.resource, str(call.status)).inc()

    def count_progress(self, before: RenderJobStatus, after: RenderJobStatus) -> None:
        """Count what has come to frames and GPU time between two written states of one job."""
        if after.metrics is not None:
            old = before.metrics
            _grow(self.frames, old.frames_processed if old else 0, after.metrics.frames_processed)
            _grow(self.dropped, old.frames_dropped if old else 0, after.metrics.frames_dropped)
        if after.usage is not None:
            spent = before.usage
            self._count_cost(spent.cost if spent and spent.cost else Cost(), after.usage.cost or Cost())
            _grow(self.gpu_seconds, spent.gpu_seconds if spent else 0, after.usage.gpu_seconds)
            _grow(self.wasted_gpu_seconds, spent.wasted_gpu_seconds if spent else 0, after.usage.wasted_gpu_seconds)

        if after.output is not None and before.output is None:
            self.video_seconds.inc(after.output.duration_seconds)

    def _count_cost(self, before: Cost, after: Cost) -> None:
        _grow(self.cost.labels(after.currency), before.total_micros / MICROS, after.total_micros / MICROS)
        _grow(self.wasted_cost.labels(after.currency), before.wasted_micros / MICROS, after.wasted_micros / MICROS)
        _grow(self.unpriced_pods, before.unpriced_pods, after.unpriced_pods)

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)


def _grow(counter: Counter, before: float, after: float) -> None:
    if after > before:
        counter.inc(after - before)
