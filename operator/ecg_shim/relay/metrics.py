"""What Prometheus and people read about callbacks."""

from __future__ import annotations

import logging

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from ecg_shim.failures import printable, shown
from ecg_shim.relay.policy import Answer, Verdict
from ecg_shim.relay.records import CallbackRecord, Delivery, RecordState

log = logging.getLogger(__name__)

BUCKETS = (0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class RelayMetrics:
    """Metrics of one relay, in the registry of its service."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.tries = Counter(
            "ecg_callback_tries",
            "Callbacks posted, by kind (progress, terminal) and what the answer meant.",
            ["kind", "verdict"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "ecg_callback_duration_seconds",
            "Seconds from a callback's first byte to its answer.",
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.rejected = Counter(
            "ecg_callback_rejected",
            "Callbacks answered with 422: a mistake in this service. Alert on any.",
            registry=self.registry,
        )
        self.given_up = Counter(
            "ecg_callback_given_up", "Ends of jobs that the backend could not be told.", registry=self.registry
        )
        self.dead = Gauge("ecg_callback_dead_letters", "Ends of jobs that wait for a replay.", registry=self.registry)
        self.open = Gauge("ecg_callback_open_jobs", "Jobs with callbacks still to come.", registry=self.registry)

    def report(self, record: CallbackRecord, delivery: Delivery, answer: Answer, verdict: Verdict) -> None:
        """Count and log what became of a try; `record` as it is after it."""
        self.tries.labels("terminal" if delivery.terminal else "progress", verdict).inc()
        if verdict is Verdict.TOLD:
            return
        said = printable(answer.error or f"{answer.status} {answer.body[:200].decode(errors='replace')}")
        log.warning("Callback %s (%s) of job %s: %s", delivery.id, delivery.status, record.job_id, said)
        if answer.status == 422:
            self.rejected.inc()
            log.error("The backend does not understand callback %s: %s", delivery.id, said)
        if record.state is RecordState.DEAD:
            self.given_up.inc()
            self.dead.inc()
            log.error(
                "CALLBACK_FAILED: the end of job %s (%s) could not be told to %s. "
                "Send it again with: python -m ecg_shim callbacks replay %s",
                *(record.job_id, delivery.status, shown(record.url), record.job_id),
            )
