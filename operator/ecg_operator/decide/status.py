"""The status as people see it: the phase in one word, how far the job is, and how often that is written.

Percent only grows: what a lost pod had rendered is not taken back from it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from ecg_api.conditions import Condition, ConditionType, Reason
from ecg_api.names import Role
from ecg_api.status import Phase, Progress, RenderJobStatus, Run, SegmentCounts
from ecg_operator.decide.children import running, segment_of, succeeded
from ecg_operator.decide.draft import Draft
from ecg_operator.decide.harvest import attempts, use_encoder


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


# They change all the time and lose nothing by being written a little later: they are counted anew at each look.
_VOLATILE: dict[str, Any] = {
    "progress": True,
    "segments": True,
    "metrics": True,
    "usage": True,
    "attempts": True,
    "encoder": True,
    "encoder_reason": True,
    "run": {"completed", "frames", "settled", "written_at"},
    "conditions": {"__all__": {"message"}},
}
_STARTING = frozenset({Reason.NODE_PROVISIONING, Reason.IMAGE_PULLING, Reason.PODS_RUNNING})


def measure(draft: Draft) -> bool:
    """Set frames, percent, speed and time to go, the counts of segments, and the encoder."""
    plan, counts = draft.status.plan, draft.status.segments
    if plan is None or counts is None:
        _measure_who_went_on(draft)
        return False
    done = draft.completed
    active = [
        pod
        for pod in draft.observation.pods
        if pod.role is Role.SEGMENTS and pod.round == draft.run.round and running(pod)
    ]
    said = [draft.observation.progress[pod.name] for pod in active if pod.name in draft.observation.progress]
    for one in said:
        use_encoder(draft, one.encoder, one.encoder_reason)
    unfinished = {pod.name for pod in active if segment_of(draft, pod) not in done}
    live = sum(draft.observation.progress[name].frames_done for name in unfinished & draft.observation.progress.keys())
    speed = sum(one.frames_per_second or 0.0 for one in said) or _average(draft)
    total = plan.frames_to_render or plan.frames
    progress = _progress(draft.status.progress or Progress(), draft.run.frames + live, total, speed)
    if not draft.missing:  # the rest was in storage before, or is given up
        progress = progress.model_copy(update={"eta_seconds": None})
    draft.change(
        progress=progress,
        segments=counts.model_copy(
            update={"active": len(active), "succeeded": len(done), "failed": len(draft.given_up)}
        ),
        attempts=attempts(draft),
    )
    return False


def _measure_who_went_on(draft: Draft) -> None:
    """Do so while there is no plan yet; a try after the first finds a part of the frames in storage."""
    if draft.status.segments is None:
        return
    pods = [pod.name for pod in draft.pods_that_count(Role.PLAN) if running(pod)]
    all_said = [draft.observation.progress[name] for name in pods if name in draft.observation.progress]
    said = [one for one in all_said if one.segment is not None and one.frames_total]
    for one in said:
        use_encoder(draft, one.encoder, one.encoder_reason)
        before = draft.status.progress or Progress()
        total = max(before.frames_total, one.frames_total)
        done = total - one.frames_total + one.frames_done
        draft.change(progress=_progress(before, done, total, one.frames_per_second or 0.0))
    draft.change(segments=SegmentCounts(total=1, active=len(said)), attempts=attempts(draft))


def paced(draft: Draft) -> RenderJobStatus:
    """Return the status to write now: the observed one if only progress has changed and was written a moment ago.

    That pods start, one after the other, is told less often than that they run and how far they are.
    """
    before, after = draft.observation.status, draft.status
    if after == before:
        return before
    if not draft.events and _lasting(before) == _lasting(after):
        last = (before.run or Run()).written_at
        # A time to come was written by a replica with another clock.
        passed = last is None or last > draft.observation.now
        pace = draft.policy.progress_seconds
        if before.progress == after.progress and draft.reason_of(ConditionType.SCHEDULED) != Reason.PODS_RUNNING:
            pace = max(pace, draft.policy.start_seconds)
        if not passed and not draft.reached(last, pace):
            return before
    draft.note(written_at=draft.observation.now)
    return draft.status


def _average(draft: Draft) -> float:
    """Return the frames a second from the round's first pod to its last result: a segment may end before it is asked.

    It changes with results only, not with the time: a status that says nothing new is not written.
    """
    pods = [pod for pod in draft.observation.pods if pod.role is Role.SEGMENTS and pod.round == draft.run.round]
    done = {segment: pod for pod in pods if succeeded(pod) and (segment := segment_of(draft, pod)) in draft.completed}
    starts = [pod.started_at for pod in pods if pod.started_at is not None]
    ends = [pod.finished_at for pod in done.values() if pod.finished_at is not None]
    if not starts or not ends:
        return 0.0
    frames = draft.run.frames * len(done) / len(draft.completed)
    return frames / max((max(ends) - min(starts)).total_seconds(), 1.0)


def _progress(before: Progress, frames: int, total: int, speed: float) -> Progress:
    frames = max(before.frames_done, min(frames, total))
    speed = round(speed, 1)
    return Progress(
        frames_done=frames,
        frames_total=total,
        percent=max(before.percent, min(100 * frames // total, 99)),
        frames_per_second=speed,
        eta_seconds=math.ceil((total - frames) / speed) if speed and frames < total else None,
    )


def _lasting(status: RenderJobStatus) -> dict[str, Any]:
    """Return what is written at once when it changes: neither progress nor how pods start one after another."""
    shown = status.model_dump(exclude=_VOLATILE)
    for condition in shown["conditions"]:
        if condition["type"] == ConditionType.SCHEDULED and condition["reason"] in _STARTING:
            condition.clear()
            shown["reason"] = ""
            if status.run is not None:
                shown["run"]["waitingSince"] = None
    return shown
