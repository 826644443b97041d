"""What the job cost: each pod is counted once, when it has ended or when it is told to."""

from __future__ import annotations

from ecg_api.names import Role
from ecg_api.status import Cost, Usage
from ecg_operator.decide.draft import Draft
from ecg_operator.decide.pods import ended, failed, seconds, succeeded
from ecg_operator.model import PodView
from ecg_operator.prices import pod_micros


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


def attempts(draft: Draft) -> int:
    """Return how many segment pods there were, those that run included."""
    settled = sum(not name.startswith(_OTHER_ROLES) for name in draft.run.settled)
    return settled + sum(pod.role is Role.SEGMENTS for pod in _unsettled(draft))


_OTHER_ROLES = (f"{Role.PLAN}-", f"{Role.MERGE}-")


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
