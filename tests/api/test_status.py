from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from ecg_api.conditions import Condition, ConditionType, Reason, is_true, set_condition
from ecg_api.failures import Failure, FailureCode
from ecg_api.status import (
    OutputStatus,
    Phase,
    PlanSummary,
    Progress,
    RenderJobStatus,
    SegmentCounts,
)

NOON = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)
LATER = NOON + timedelta(minutes=5)


def scheduled(status: str = "False", reason: Reason = Reason.QUEUED, now: datetime = NOON) -> list[Condition]:
    return set_condition([], ConditionType.SCHEDULED, status, reason, "position 3", now)  # type: ignore[arg-type]


def test_a_new_condition_is_added_with_the_time_in_whole_seconds_of_utc() -> None:
    (condition,) = scheduled(now=NOON.astimezone(timezone(timedelta(hours=9))))
    assert condition.model_dump(mode="json", exclude_none=True) == {
        "type": "Scheduled",
        "status": "False",
        "reason": "Queued",
        "message": "position 3",
        "lastTransitionTime": "2026-03-01T12:00:00Z",
    }


def test_the_transition_time_stays_while_the_status_does() -> None:
    (condition,) = set_condition(
        scheduled(), ConditionType.SCHEDULED, "False", Reason.GPU_UNAVAILABLE, "no GPU", LATER, 7
    )
    assert condition.last_transition_time == NOON.replace(microsecond=0)
    assert (condition.reason, condition.message) == (Reason.GPU_UNAVAILABLE, "no GPU")
    assert condition.observed_generation == 7


def test_the_transition_time_moves_with_the_status() -> None:
    (condition,) = set_condition(scheduled(), ConditionType.SCHEDULED, "True", Reason.PODS_RUNNING, "", LATER)
    assert condition.last_transition_time == LATER.replace(microsecond=0)


def test_other_conditions_keep_their_place_and_the_given_list_is_not_changed() -> None:
    before = set_condition(scheduled(), ConditionType.FINISHED, "False", Reason.RENDERING, "", NOON)
    after = set_condition(before, ConditionType.SCHEDULED, "True", Reason.PODS_RUNNING, "", LATER)
    assert [condition.type for condition in after] == ["Scheduled", "Finished"]
    assert after[1] is before[1]
    assert before[0].status == "False"


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        scheduled(now=datetime(2026, 3, 1))


@pytest.mark.parametrize(("status", "expected"), [("True", True), ("False", False), ("Unknown", False)])
def test_a_condition_counts_only_when_it_is_true(status: str, expected: bool) -> None:
    conditions = scheduled(status)
    assert is_true(conditions, ConditionType.SCHEDULED) is expected
    assert is_true(conditions, ConditionType.FINISHED) is False


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (0, "0s"), (59, "59s"), (60, "1m00s"), (75, "1m15s"), (3599, "59m59s"), (3600, "1h00m"),
     (90_000, "25h00m")],
)  # fmt: skip
def test_time_to_go_is_shown_as_people_write_it(seconds: int | None, text: str) -> None:
    assert Progress(eta_seconds=seconds).eta == text


def test_a_status_travels_in_camel_case_and_comes_back_equal() -> None:
    status = RenderJobStatus(
        observed_generation=2,
        phase=Phase.FAILED,
        conditions=scheduled(),
        progress=Progress(frames_done=50, frames_total=100, percent=50, frames_per_second=61.5, eta_seconds=75),
        segments=SegmentCounts(total=8, active=5, succeeded=3),
        plan=PlanSummary(width=1920, height=1080, rate="30000/1001", frames=900),
        output=OutputStatus(uri="s3://b/o.mp4", size_bytes=1, duration_seconds=1.5, frames=45, sha256="a" * 64),
        failure=Failure(code=FailureCode.FFMPEG_ERROR, message="m", retryable=True, log_tail=["l"]),
    )
    written = status.model_dump(mode="json", exclude_none=True)
    assert written["progress"]["eta"] == "1m15s"
    assert written["segments"]["summary"] == "3/8"
    assert written["failure"]["logTail"] == ["l"]
    assert RenderJobStatus.model_validate(written) == status
