"""The order in which a decision is made. The first step that knows what to do is the last one.

A decision may be made twice, or be lost between any two of the writes that it asks for: every step starts from what is
there, and what was taken in once is noted on the status before anything is done about it.
"""

from __future__ import annotations

from collections.abc import Callable

from ecg_api.conditions import Reason
from ecg_api.failures import FailureCode
from ecg_api.status import RenderJobStatus
from ecg_operator.decide.admitting import enqueue, refuse, refuse_broken, suspend
from ecg_operator.decide.draft import Draft
from ecg_operator.decide.ending import cancel, fail, failure, leave_deleted_alone, succeed, tidy_up
from ecg_operator.decide.failing import give_up
from ecg_operator.decide.harvest import harvest
from ecg_operator.decide.scheduling import watch_pods
from ecg_operator.decide.stages import merge, plan, render
from ecg_operator.decide.status import measure, paced, phase_of
from ecg_operator.model import Decision, Observation
from ecg_operator.policy import Policy

_STEPS: tuple[Callable[[Draft], bool], ...] = (
    leave_deleted_alone,  # 1. being deleted: its Jobs go with it
    tidy_up,  #             2. over: children, work files, time to live
    harvest,  #             3. take in what pods reported,
    measure,  #             4. and what running ones say
    succeed,  #             5. the output is there
    cancel,  #              6. a person has had enough
    refuse_broken,  #       7. a manifest that cannot be read
    suspend,  #             8. paused, or going on
    refuse,  #              9. input that cannot be used; it may come later to a job that is created suspended
    enqueue,  #            10. waiting to be let in
    watch_pods,  #         11. do pods run, and if not, why
    give_up,  #            12. failures, disruptions, deadlines
    plan,  #               13. one Job plans,
    render,  #             14. rounds of Jobs render the segments,
    merge,  #              15. one Job merges them
)


def decide(observation: Observation, policy: Policy) -> Decision:
    """Return what to write and do about one RenderJob now, and when to look again if nothing happens."""
    draft = Draft(observation, policy, observation.status)
    for step in _STEPS:
        if step(draft):
            break
    return Decision(_status(draft), tuple(draft.actions), tuple(draft.events), draft.due)


def give_up_unwritable(observation: Observation, policy: Policy, said: str) -> Decision:
    """Return how a job ends whose status the API server does not take: what a pod reports may be anything.

    It would be tried again for ever, and hold its place as long.
    """
    draft = Draft(observation, policy, observation.status)
    message = f"The API server does not take what is to be noted of the job and its pods: {said}"
    fail(draft, failure(FailureCode.UNEXPECTED_ERROR, message), Reason.RESULT_LOST)
    return Decision(_status(draft), tuple(draft.actions), tuple(draft.events), draft.due)


def _status(draft: Draft) -> RenderJobStatus:
    if draft.observation.deleting:
        return draft.observation.status
    phase, reason = phase_of(draft.status.conditions)
    draft.change(phase=phase, reason=reason, observed_generation=draft.observation.generation)
    return paced(draft)
