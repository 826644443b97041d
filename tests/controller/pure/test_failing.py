"""What goes wrong in a pod, and what becomes of the job: at once where another try would not help."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from ecg_api.conditions import Reason
from ecg_api.failures import FailureCode
from ecg_api.names import Role
from ecg_api.status import Phase, RenderJobStatus
from ecg_operator.model import CreateJob, DeleteChildren, DeleteJob, Observation, PodView
from observations import (
    NOW,
    condition,
    decided,
    ended_pod,
    failure_report,
    job_view,
    later,
    merging,
    observed,
    planning,
    pod,
    reasons,
    rendering,
    segment_report,
    segments_job,
)

BROKEN = failure_report(
    FailureCode.INVALID_VIDEO_FORMAT,
    "Frame 37 cannot be decoded.",
    hint="Encode the source anew.",
    segment=1,
    frame=37,
    log_tail=["[h264] error while decoding"],
)
FLAKY = failure_report(FailureCode.BROWSER_ERROR, "Chromium went away.")


def with_pod(start: Observation, one: PodView) -> Observation:
    """Return the observation with `one` in place of the running pod of its role and index."""
    others = [other for other in start.pods if (other.role, other.index) != (one.role, one.index)]
    return replace(start, pods=(*others, one))


@pytest.mark.parametrize(
    ("start", "role", "index", "stage", "reason"),
    [
        (planning, Role.PLAN, None, "Planned", Reason.PLAN_FAILED),
        (rendering, Role.SEGMENTS, 1, "Rendered", Reason.SEGMENT_FAILED),
        (merging, Role.MERGE, None, "Merged", Reason.MERGE_FAILED),
    ],
)
def test_a_failure_that_would_repeat_ends_the_job_as_soon_as_its_pod_is_seen(
    start: Any, role: Role, index: int | None, stage: str, reason: Reason
) -> None:
    decision = decided(with_pod(start(), ended_pod(role, BROKEN, index)))
    failure = decision.status.failure
    assert failure is not None
    assert failure.model_dump() == BROKEN.failure.model_dump()
    assert (decision.status.phase, decision.status.reason) == (Phase.FAILED, reason)
    assert condition(decision.status, stage).status == "False"
    assert condition(decision.status, stage).message == "Frame 37 cannot be decoded."
    assert reasons(decision.events) == ["Failed"]
    assert decision.actions == (DeleteChildren(keep=frozenset({Role.CLEAN}), grace_seconds=2),)


def test_a_segment_that_failed_is_counted_as_such() -> None:
    counts = decided(with_pod(rendering(), ended_pod(Role.SEGMENTS, BROKEN, 1))).status.segments
    assert counts is not None
    assert (counts.failed, counts.active) == (1, 0)


def test_a_failure_that_another_try_may_mend_is_told_once_and_the_job_goes_on() -> None:
    start = with_pod(rendering(), ended_pod(Role.SEGMENTS, FLAKY, 2))
    decision = decided(start)
    assert decision.status.phase is Phase.RENDERING
    assert [(event.reason, event.kind) for event in decision.events] == [("SegmentRetried", "Warning")]
    assert "BROWSER_ERROR: Chromium went away." in decision.events[0].message
    assert decided(later(start, 3)).events == ()


@pytest.mark.parametrize("per_segment", [0, 2])
def test_after_the_last_try_the_job_fails_without_waiting_for_the_job_controller(per_segment: int) -> None:
    start = rendering(spec={"retry": {"perSegment": per_segment}})
    tries = [ended_pod(Role.SEGMENTS, FLAKY, 2, tag=f"try{number}") for number in range(per_segment + 1)]
    enough = replace(start, pods=(*start.pods[:3], *tries))
    decision = decided(enough)
    assert decision.status.reason == Reason.RETRIES_EXHAUSTED
    assert decision.status.failure is not None
    assert decision.status.failure.code is FailureCode.BROWSER_ERROR
    assert decision.status.failure.segment == 2
    assert decision.status.failure.message.endswith(
        f"Given up after {per_segment + 1} tr{'ies' if per_segment else 'y'}."
    )
    if per_segment:
        assert decided(replace(enough, pods=enough.pods[:-1])).status.phase is Phase.RENDERING


def test_what_a_queue_has_stopped_is_told_as_that_and_is_no_warning() -> None:
    start = with_pod(rendering(), ended_pod(Role.SEGMENTS, "", 1, exit_code=143))
    held = replace(start, jobs=tuple(replace(job, suspended=job.role is Role.SEGMENTS) for job in start.jobs))
    for observation, told in ((start, ("SegmentRetried", "Warning")), (held, ("SegmentSuspended", "Normal"))):
        assert [(event.reason, event.kind) for event in decided(observation).events] == [told]


def test_pods_that_were_told_to_stop_are_no_verdict_of_ours() -> None:
    start = rendering()
    stopped = tuple(ended_pod(Role.SEGMENTS, "", 0, tag=f"kueue{n}", exit_code=143) for n in range(5))
    assert decided(replace(start, pods=stopped)).status.phase is Phase.RENDERING
    given_up = segments_job(failed=True, failed_indexes=frozenset({0}))
    assert decided(replace(start, pods=stopped, jobs=(given_up,))).status.phase is Phase.FAILED


def test_tries_of_an_earlier_job_of_the_same_name_do_not_count() -> None:
    start = planning(spec={"retry": {"perSegment": 0}})
    again = replace(start, jobs=(job_view(Role.PLAN, uid="another"),))
    assert decided(replace(again, pods=(ended_pod(Role.PLAN, FLAKY),))).status.phase is Phase.PLANNING


def test_pods_are_their_jobs_whatever_the_clocks_of_the_api_servers_say() -> None:
    start = rendering()
    early = tuple(replace(pod, created_at=NOW - timedelta(seconds=1)) for pod in start.pods)
    on = replace(start, pods=early)
    assert condition(decided(on).status, "Scheduled").status == "True"
    assert decided(later(on, 1000)).status.phase is Phase.RENDERING
    lost = tuple(
        ended_pod(Role.SEGMENTS, FLAKY, 0, tag=f"n{n}", created_at=NOW - timedelta(seconds=1)) for n in range(9)
    )
    assert decided(replace(start, pods=(*early, *lost))).status.phase is Phase.FAILED


def test_tries_of_different_segments_are_not_added_up() -> None:
    start = rendering(spec={"retry": {"perSegment": 1}})
    failed = tuple(ended_pod(Role.SEGMENTS, FLAKY, index) for index in range(4))
    assert decided(replace(start, pods=failed)).status.phase is Phase.RENDERING


@pytest.mark.parametrize(
    ("ending", "code", "words"),
    [
        ({"exit_code": 137, "ended": "OOMKilled"}, FailureCode.SYSTEM_RESOURCE_ERROR, "(OOMKilled): it needed more"),
        ({"exit_code": 137}, FailureCode.UNEXPECTED_ERROR, "was killed by SIGKILL (exit code 137)"),
        ({"exit_code": 139}, FailureCode.UNEXPECTED_ERROR, "was killed by SIGSEGV (exit code 139)"),
        ({"exit_code": 250}, FailureCode.UNEXPECTED_ERROR, "ended with exit code 250 and left no report"),
        ({"exit_code": 1}, FailureCode.UNEXPECTED_ERROR, "ended with exit code 1 and left no report"),
        ({"exit_code": 106}, FailureCode.GPU_NOT_AVAILABLE, "ended with exit code 106"),
        ({"exit_code": 69}, FailureCode.STORAGE_ACCESS_ERROR, "ended with exit code 69"),
        (
            {"exit_code": None, "said": "UnexpectedAdmissionError: Allocate failed: no healthy devices present."},
            FailureCode.UNEXPECTED_ERROR,
            "before its container did: UnexpectedAdmissionError: Allocate failed: no healthy devices present. Given",
        ),
        (
            {"exit_code": 137, "said": "Evicted: Usage of EmptyDir volume scratch exceeds the limit 20Gi."},
            FailureCode.UNEXPECTED_ERROR,
            "Kubernetes says: Evicted: Usage of EmptyDir volume scratch exceeds the limit 20Gi. Given",
        ),
        ({"exit_code": None, "ended": "NodeShutdown"}, FailureCode.UNEXPECTED_ERROR, "before its container did: NodeS"),
    ],
)
def test_a_pod_without_a_report_is_explained_by_how_it_ended(
    ending: dict[str, Any], code: FailureCode, words: str
) -> None:
    start = rendering(spec={"retry": {"perSegment": 0}})
    last_words = "starting\nCapturing frame 12\nout of"
    over = ended_pod(Role.SEGMENTS, last_words, 0, **{"node": "gpu-7", **ending})
    failure = decided(with_pod(start, over)).status.failure
    assert failure is not None
    assert failure.code is code
    assert words in failure.message
    assert "segment 0" in failure.message
    assert "gpu-7" in failure.message
    assert failure.log_tail == ["starting", "Capturing frame 12", "out of"]


@pytest.mark.parametrize(
    ("placement", "limit"), [({}, "6Gi"), ({"resources": {"limits": {"memory": "900Mi"}}}, "900Mi")]
)
def test_out_of_memory_names_the_limit_and_where_to_raise_it(placement: dict[str, Any], limit: str) -> None:
    start = rendering(spec={"retry": {"perSegment": 0}, "placement": placement})
    over = ended_pod(Role.SEGMENTS, "", 0, exit_code=137, ended="OOMKilled")
    failure = decided(with_pod(start, over)).status.failure
    assert failure is not None
    assert f"limit of {limit}" in failure.message
    assert "spec.placement.resources.limits.memory" in failure.hint


@pytest.mark.parametrize("failed", [{"failed": True, "reason": "FailedIndexes"}, {"failed_indexes": frozenset({2})}])
def test_the_job_controllers_verdict_counts_too(failed: dict[str, Any]) -> None:
    # Somebody deleted a failed pod, so that fewer tries are seen than were made.
    start = with_pod(rendering(), ended_pod(Role.SEGMENTS, FLAKY, 2))
    decision = decided(replace(start, jobs=(start.jobs[0], segments_job(**failed))))
    assert decision.status.reason == Reason.RETRIES_EXHAUSTED


def test_a_failed_job_of_which_no_pod_is_seen_is_believed_after_a_while() -> None:
    start = planning()
    job = job_view(Role.PLAN, failed=True, reason="BackoffLimitExceeded", message="too many failures")
    unseen = replace(start, jobs=(job,))
    decision = decided(unseen)
    assert decision.status.phase is Phase.PLANNING
    assert decision.actions == ()
    assert decided(later(unseen, 29)).status.phase is Phase.PLANNING
    failure = decided(later(unseen, 31)).status.failure
    assert failure is not None
    assert failure.code is FailureCode.UNEXPECTED_ERROR
    assert "BackoffLimitExceeded" in failure.message


def test_a_segment_that_is_finished_does_not_fail_the_job_by_an_earlier_try() -> None:
    start = rendering(spec={"retry": {"perSegment": 0}})
    pods = (ended_pod(Role.SEGMENTS, FLAKY, 1, tag="first"), ended_pod(Role.SEGMENTS, segment_report(1), 1))
    assert decided(replace(start, pods=pods)).status.phase is Phase.RENDERING


def test_a_plan_whose_report_was_lost_is_made_again_and_then_given_up() -> None:
    complete = replace(planning(), jobs=(job_view(Role.PLAN, complete=True),))
    waited = later(complete, 31)
    decision = decided(waited)
    assert decision.actions == (DeleteJob("clip-plan"),)
    assert reasons(decision.events) == ["JobRepeated"]
    # The write was followed by a crash: the Job is still there, and deleted again, without another wait.
    assert decided(later(waited, 1)).actions == (DeleteJob("clip-plan"),)
    (create,) = decided(later(waited, 2, jobs=())).actions
    assert isinstance(create, CreateJob)


def test_a_merge_whose_report_is_lost_again_and_again_says_where_the_output_may_be() -> None:
    seen = merging()
    others, pods = seen.jobs[:-1], seen.pods[:-1]
    for number in range(4):
        lost = job_view(Role.MERGE, uid=f"merge-{number}", complete=True)
        seen = later(seen, 5, jobs=(*others, lost), pods=pods)
        assert decided(seen).status.phase is Phase.MERGING
        seen = later(seen, 31)
        if number < 3:
            assert decided(seen).actions == (DeleteJob("clip-merge"),)
    status = decided(seen).status
    assert status.reason == Reason.RESULT_LOST
    assert status.failure is not None
    assert "s3://videos/out/clip.mp4" in status.failure.hint


def test_the_deadline_of_a_job_that_was_put_off_ends_the_child_but_not_the_job() -> None:
    start = rendering()
    late = segments_job(failed=True, reason="DeadlineExceeded", message="Job was active longer than specified deadline")
    stopped = ended_pod(Role.SEGMENTS, "", 0, exit_code=143)
    decision = decided(replace(start, jobs=(start.jobs[0], late), pods=(stopped,)))
    assert decision.status.phase is Phase.RENDERING
    assert decision.actions == (DeleteJob("clip-seg-0"),)
    assert decision.status.run is not None
    assert decision.status.run.round == 1


def test_a_report_that_was_missed_for_a_moment_does_not_count_against_the_next_job() -> None:
    start = rendering(1)
    complete = replace(start, jobs=(start.jobs[0], segments_job(1, complete=True)))
    late = later(complete, 10, pods=(ended_pod(Role.SEGMENTS, segment_report(0), 0),))
    merged = later(late, 30, jobs=(*complete.jobs, job_view(Role.MERGE, complete=True)))
    assert decided(merged).status.phase is Phase.MERGING


@pytest.mark.parametrize("start", [planning, rendering, merging])
def test_the_active_deadline_counts_from_admission_and_is_looked_at_in_time(start: Any) -> None:
    observation = start(spec={"deadlines": {"activeSeconds": 100}})
    left = 100 - (observation.now - NOW).total_seconds()
    decision = decided(observation)
    assert decision.due is not None
    assert decision.due <= left
    assert decided(later(observation, left - 1)).status.failure is None
    status = decided(later(observation, left)).status
    assert (status.phase, status.reason) == (Phase.FAILED, Reason.ACTIVE_DEADLINE_EXCEEDED)
    assert status.failure is not None
    assert status.failure.code is FailureCode.RENDERING_TIMEOUT


def test_a_queued_job_has_no_deadline() -> None:
    status = RenderJobStatus()
    queued = observed(status, verdict=replace(observed().verdict, admitted=False))
    assert decided(later(queued, 1_000_000)).status.phase is Phase.PENDING


def test_a_pod_that_hangs_on_a_dead_node_has_its_segments_rendered_elsewhere() -> None:
    start = rendering()
    gone_by = start.now + timedelta(seconds=20)
    hung = pod(Role.SEGMENTS, 3, disrupted=True, deleting=True, gone_by=gone_by, node="spot-1")
    observation = with_pod(start, hung)
    decision = decided(later(observation, 79))
    assert decision.actions == ()
    assert decision.due is not None
    assert decision.due <= 1
    decision = decided(later(observation, 81))
    assert decision.actions == (DeleteJob("clip-seg-0"),)
    assert reasons(decision.events) == ["SegmentsMoved"]
    gone = later(later(observation, 81), 2, jobs=start.jobs[:1])
    (create,) = decided(gone).actions
    assert isinstance(create, CreateJob)
    assert create.name == "clip-seg-1"


@pytest.mark.parametrize(("start", "role"), [(planning, Role.PLAN), (merging, Role.MERGE)])
def test_a_plan_or_merge_that_hangs_on_a_dead_node_is_run_again(start: Any, role: Role) -> None:
    hung = pod(role, disrupted=True, deleting=True, gone_by=NOW + timedelta(seconds=20))
    observation = with_pod(start(), hung)
    assert decided(replace(observation, now=NOW + timedelta(seconds=80))).actions == ()
    stuck = replace(observation, now=NOW + timedelta(seconds=81))
    assert decided(stuck).actions == (DeleteJob(f"clip-{role}"),)
    others = tuple(job for job in observation.jobs if job.role is not role)
    (create,) = decided(later(stuck, 1, jobs=others)).actions
    assert isinstance(create, CreateJob)
    anew = job_view(role, uid="another", created_at=NOW + timedelta(seconds=83))
    assert decided(later(stuck, 3, jobs=(*others, anew))).actions == ()
