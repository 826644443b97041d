"""What can be said of a pod by itself."""

from __future__ import annotations

from datetime import datetime, timedelta

from ecg_api.pods import FailureReport, decode_report
from ecg_operator.model import PodView


def ended(pod: PodView) -> bool:
    """Tell whether the pod is over, whatever came of it."""
    return pod.phase in ("Succeeded", "Failed") or pod.exit_code is not None


def succeeded(pod: PodView) -> bool:
    """Tell whether the pod did its work."""
    return ended(pod) and (pod.exit_code == 0 or (pod.exit_code is None and pod.phase == "Succeeded"))


def failed(pod: PodView) -> bool:
    """Tell whether the pod is over without having done its work, and nobody but itself is to blame."""
    return ended(pod) and not succeeded(pod) and not pod.disrupted


def running(pod: PodView) -> bool:
    """Tell whether the pod computes."""
    return pod.phase == "Running" and not ended(pod)


def lost(pod: PodView, now: datetime, patience: float) -> bool:
    """Tell whether the pod should have ended `patience` seconds ago, as on a node that is gone."""
    overdue = pod.gone_by is not None and now > pod.gone_by + timedelta(seconds=patience)
    return pod.deleting and not ended(pod) and overdue


def live(pod: PodView, now: datetime, patience: float) -> bool:
    """Tell whether the pod may still write something."""
    return not ended(pod) and not lost(pod, now, patience)


def seconds(pod: PodView, now: datetime) -> float:
    """Return for how long the pod ran until it ended or, if it still runs, until `now`."""
    if pod.started_at is None:
        return 0.0
    return max(((pod.finished_at or now) - pod.started_at).total_seconds(), 0.0)


def reported_failure(pod: PodView) -> FailureReport | None:
    """Return the failure that the pod reported, if it came to that."""
    report = decode_report(pod.message)
    return report if isinstance(report, FailureReport) else None
