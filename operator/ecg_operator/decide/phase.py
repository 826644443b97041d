"""The job in one word, derived from its conditions."""

from __future__ import annotations

from collections.abc import Iterable

from ecg_api.conditions import Condition, ConditionType, Reason
from ecg_api.status import Phase


def phase_of(conditions: Iterable[Condition]) -> tuple[Phase, str]:
    """Return the phase, and in one word why the job waits or how it ended; empty while it works."""
    by_type = {condition.type: condition for condition in conditions}
    true = {kind for kind, condition in by_type.items() if condition.status == "True"}
    finished = by_type.get(ConditionType.FINISHED)
    if finished is not None and finished.status == "True":
        return _ended(finished.reason, true), finished.reason
    scheduled = by_type.get(ConditionType.SCHEDULED)
    waits = scheduled.reason if scheduled is not None and scheduled.status == "False" else ""
    if waits == Reason.SUSPENDED:
        return Phase.SUSPENDED, waits
    if waits == Reason.QUEUED:
        return Phase.PENDING, waits
    if ConditionType.RENDERED in true:
        return Phase.MERGING, waits
    if ConditionType.PLANNED in true:
        return Phase.RENDERING, waits
    return (Phase.PLANNING if ConditionType.PLANNED in by_type else Phase.PENDING), waits


def _ended(reason: str, true: set[str]) -> Phase:
    if ConditionType.SUCCEEDED in true:
        return Phase.SUCCEEDED
    return Phase.CANCELLED if reason == Reason.CANCELLED else Phase.FAILED
