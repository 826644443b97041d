"""What the job cost: each pod is counted once, when it has ended or when it is told to."""

from __future__ import annotations

from ecg_api.names import Role
from ecg_api.status import Usage
from ecg_operator.decide.draft import Draft
from ecg_operator.decide.pods import ended, failed, gpu_seconds, succeeded
from ecg_operator.model import PodView


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
    cost = gpu_seconds(pod, draft.observation.now)
    usage = draft.status.usage or Usage()
    wasted = 0.0 if succeeded(pod) else cost
    spent = {
        "gpu_seconds": round(usage.gpu_seconds + cost, 1),
        "wasted_gpu_seconds": round(usage.wasted_gpu_seconds + wasted, 1),
    }
    draft.change(usage=usage.model_copy(update=spent))
    draft.note(settled=[*draft.run.settled, _short_name(draft, pod)])


def _short_name(draft: Draft, pod: PodView) -> str:
    return pod.name.removeprefix(f"{draft.observation.key.name}-")
