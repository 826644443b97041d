"""Takes in what pods reported, what the Job controller counted, and what pods cost; each thing once."""

from __future__ import annotations

from ecg_api.conditions import ConditionType, Reason
from ecg_api.names import Role
from ecg_api.pods import FailureReport, PlanReport, PodProgress, SegmentReport, decode_report
from ecg_api.rational import rate_words
from ecg_api.status import Cost, LostPod, Progress, RenderMetrics, SegmentCounts, Usage
from ecg_operator.decide.children import ended, failed, has_gone_on, seconds, segment_of, succeeded
from ecg_operator.decide.draft import Draft
from ecg_operator.model import PodView
from ecg_operator.prices import pod_micros

_INSTEAD_OF_NVENC = frozenset({"x264", "x265", "svt-av1"})


def harvest(draft: Draft) -> bool:
    """Take everything in; other steps come after."""
    _take_plan(draft)
    _take_going_on(draft)
    _take_segments(draft)
    _take_counts(draft)
    _take_disruptions(draft)
    settle_ended(draft)
    return False


def use_encoder(draft: Draft, encoder: str, reason: str) -> None:
    """Note the encoder, once, and tell if a GPU is held that does not encode."""
    if draft.status.encoder is not None or not encoder:
        return
    draft.change(encoder=encoder, encoder_reason=reason or None)
    if draft.observation.job is None or encoder not in _INSTEAD_OF_NVENC:
        return
    if draft.spec.placement.gpus and draft.spec.options.encoder == "auto":
        draft.tell("Warning", "EncoderFallback", f"The segments are encoded by {encoder}: {reason}")


def _take_plan(draft: Draft) -> None:
    if draft.status.plan is not None:
        return
    for pod in draft.pods_that_count(Role.PLAN):
        report = decode_report(pod.message) if ended(pod) else None
        # One that was killed after it had made the output has planned all the same.
        if not isinstance(report, PlanReport) or not (succeeded(pod) or report.rendered):
            continue
        plan = report.plan
        size = f"{plan.width}x{plan.height} at {rate_words(plan.rate)} fps"
        kept = f", {plan.cells_reused} of {plan.cells} pieces in storage" if plan.cells_reused else ""
        message = f"{report.segments} segments, {plan.frames} frames, {size}{kept}."
        usage = draft.status.usage or Usage()
        draft.change(
            plan=plan,
            segments=SegmentCounts(total=report.segments),
            usage=usage.model_copy(update={"cells_total": plan.cells, "cells_reused": plan.cells_reused}),
            progress=(draft.status.progress or Progress()).model_copy(
                update={"frames_total": plan.frames_to_render or plan.frames}
            ),
        )
        draft.condition(ConditionType.PLANNED, "True", Reason.PLAN_READY, " ".join([message, *plan.warnings]))
        draft.warn(plan.warnings[: report.concerns])
        draft.note(unseen_since=None, takes=report.takes)
        draft.tell("Normal", "Planned", message)
        if report.rendered:
            _take_segment(draft, report.rendered)
        return


def _take_going_on(draft: Draft) -> None:
    """Tell a plan's pod that is at the only segment from one that plans, by its progress or its failure.

    Between the end of one and the first word of the next, what the one was at stands.
    """
    if draft.status.plan is not None:
        return
    jobs = {job.uid for job in draft.observation.jobs if job.role is Role.PLAN and job.segments}
    pods = [pod for pod in _unsettled(draft) if pod.job_uid in jobs.difference(draft.run.superseded)]
    said = [at for pod in sorted(pods, key=lambda pod: pod.created_at) if (at := _goes_on(draft, pod)) is not None]
    if said and said[-1]:
        message = "The plan is made. Its pod renders the only segment; what it has found it tells in the end."
        draft.condition(ConditionType.PLANNED, "True", Reason.PLAN_READY, message)
        draft.condition(ConditionType.RENDERED, "False", Reason.RENDERING, "The only segment is being rendered.")
        draft.change(segments=draft.status.segments or SegmentCounts(total=1))
    elif said and has_gone_on(draft):
        for kind in (ConditionType.PLANNED, ConditionType.RENDERED):
            draft.condition(kind, "False", Reason.PLANNING, "The plan is being made.")


def _goes_on(draft: Draft, pod: PodView) -> bool | None:
    """Tell whether a plan's pod is, or was, at the only segment; None if it says nothing."""
    report = decode_report(pod.message) if ended(pod) else draft.observation.progress.get(pod.name)
    if isinstance(report, PlanReport):
        return report.rendered is not None
    if isinstance(report, FailureReport):
        return report.failure.segment is not None
    return report.segment is not None if isinstance(report, PodProgress) else None


def _take_segments(draft: Draft) -> None:
    for pod in draft.pods_that_count(Role.SEGMENTS):
        report = decode_report(pod.message) if succeeded(pod) else None
        if isinstance(report, SegmentReport) and report.segment in draft.missing:
            _take_segment(draft, report)


def _take_segment(draft: Draft, report: SegmentReport) -> None:
    draft.complete(frozenset({report.segment}), report.frames)
    draft.change(metrics=_added(draft.status.metrics or RenderMetrics(), report.metrics))
    draft.warn(report.warnings)
    use_encoder(draft, report.encoder, report.encoder_reason)
    counts = draft.status.segments
    if report.reused and counts is not None:
        draft.change(segments=counts.model_copy(update={"reused": counts.reused + 1}))


def _take_counts(draft: Draft) -> None:
    """Believe the Job controller where a pod is gone before its report was seen; its frames are estimated."""
    if draft.status.plan is None:
        return
    for job in draft.observation.jobs:
        ours = job.role is Role.SEGMENTS and job.owned and job.uid not in draft.run.superseded
        if not ours or not job.completed <= set(range(len(job.segments))):
            continue
        may_report = {pod.index for pod in draft.pods_of(job) if not ended(pod)}
        silent = frozenset(job.segments[index] for index in job.completed - may_report)
        unreported = silent & frozenset(draft.missing)
        if unreported:
            frames = draft.status.plan.frames_to_render or draft.status.plan.frames
            draft.complete(unreported, frames * len(unreported) // draft.total)


def _take_disruptions(draft: Draft) -> None:
    for pod in draft.observation.pods:
        of_old_round = pod.role is Role.SEGMENTS and pod.round != draft.run.round
        if pod.role is Role.CLEAN or of_old_round or not pod.disrupted or succeeded(pod):
            continue
        segment = segment_of(draft, pod)
        if draft.run.takes and pod.role is Role.SEGMENTS and segment is None:
            continue  # its Job, which knows what size it was of, is not seen yet, or gone
        if all(pod.name != lost.pod for lost in draft.run.disrupted):
            lost = LostPod(pod=pod.name, node=pod.node, take=draft.take_of(segment))
            draft.note(disrupted=[*draft.run.disrupted, lost])
            where = f" from node {pod.node}" if pod.node else ""
            why = f" ({pod.said})" if pod.said else ""
            message = f"Kubernetes took pod {pod.name}{where}{why}; that does not count as a try."
            draft.tell("Warning", "Disrupted", message)


def _added(one: RenderMetrics, other: RenderMetrics) -> RenderMetrics:
    processed = one.frames_processed + other.frames_processed
    dropped = one.frames_dropped + other.frames_dropped
    trends = {one.memory_trend, other.memory_trend}
    worst = next((trend for trend in ("increasing", "decreasing", "stable") if trend in trends), "unknown")
    return RenderMetrics.model_validate(
        {
            "frames_processed": processed,
            "frames_dropped": dropped,
            "drop_rate": round(dropped / processed, 6) if processed else 0.0,
            "memory_peak_mb": max(one.memory_peak_mb, other.memory_peak_mb),
            "memory_trend": worst,
        }
    )


def settle_ended(draft: Draft) -> None:
    """Count the pods that have ended since the last look."""
    for pod in _unsettled(draft):
        if ended(pod):
            _settle(draft, pod)
            if failed(pod):
                draft.newly_failed.append(pod)


def settle_all(draft: Draft) -> None:
    """Count the pods that are about to be stopped, too: nobody may see them end."""
    for pod in _unsettled(draft):
        _settle(draft, pod)


def next_round(draft: Draft) -> None:
    """Let another Job render what is missing; the current one is ended by whoever needs its place, or the merge."""
    settle_all(draft)
    draft.note(round=draft.run.round + 1, unseen_since=None, waiting_since=None)


def attempts(draft: Draft) -> int:
    """Return how many pods there were for segments, those that run included.

    Those that plan are, where one has gone on with a segment: one that was killed leaves no word of how far it was.
    """
    plans = draft.pods_that_count(Role.PLAN)
    went_on = draft.status.plan is None or any(_goes_on(draft, pod) for pod in plans)
    roles, others = ({Role.PLAN, Role.SEGMENTS}, _MERGES) if went_on else ({Role.SEGMENTS}, (*_PLANS, *_MERGES))
    settled = sum(not name.startswith(others) for name in draft.run.settled)
    return max(draft.status.attempts, settled + sum(pod.role in roles for pod in _unsettled(draft)))


_PLANS, _MERGES = (f"{Role.PLAN}-",), (f"{Role.MERGE}-",)


def _unsettled(draft: Draft) -> list[PodView]:
    known = set(draft.run.settled)
    return [
        pod for pod in draft.observation.pods if pod.role is not Role.CLEAN and _short_name(draft, pod) not in known
    ]


def _settle(draft: Draft, pod: PodView) -> None:
    held = pod.gpus * seconds(pod, draft.observation.now)
    usage = draft.status.usage or Usage()
    spent: dict[str, object] = {
        "gpu_seconds": round(usage.gpu_seconds + held, 1),
        "wasted_gpu_seconds": round(usage.wasted_gpu_seconds + (0.0 if succeeded(pod) else held), 1),
    }
    if draft.policy.prices is not None:
        spent["cost"] = _priced(draft, pod, usage.cost or Cost(currency=draft.policy.prices.currency))
    draft.change(usage=usage.model_copy(update=spent))
    draft.note(settled=[*draft.run.settled, _short_name(draft, pod)])


def _priced(draft: Draft, pod: PodView, cost: Cost) -> Cost:
    """Return `cost` with that of a pod added."""
    assert draft.policy.prices is not None
    lasted = seconds(pod, draft.observation.now)
    if not lasted:
        return cost
    node = draft.observation.nodes.get(pod.node)
    hour = draft.policy.prices.hour_of(node) if node is not None else None
    if node is None or hour is None:
        return cost.model_copy(update={"unpriced_pods": cost.unpriced_pods + 1})
    micros = pod_micros(hour, node, pod.gpus, pod.cpu_millis, lasted)
    wasted = 0 if succeeded(pod) else micros
    return cost.model_copy(
        update={"total_micros": cost.total_micros + micros, "wasted_micros": cost.wasted_micros + wasted}
    )


def _short_name(draft: Draft, pod: PodView) -> str:
    return pod.name.removeprefix(f"{draft.observation.key.name}-")
