"""Whatever goes wrong in whatever order, a job comes to the same end, once, and leaves nothing behind."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta

import pytest

from ecg_api.names import Role
from ecg_api.ranges import parse_ranges
from ecg_api.status import Phase, WorkFilesState
from ecg_operator.decide import decide
from fates import (
    ENDS,
    nodes_go_away_a_few_times,
    segment_two_is_broken,
    segment_two_never_works,
    some_fail_once,
)
from model_cluster import Fate, Fates
from model_world import World
from observations import ONE_POD, POLICY

SEEDS = range(16)


def seeds(lag: int, crashes: float) -> range:
    """Return more seeds where more can happen."""
    return SEEDS if lag and crashes else SEEDS[:4]


def segment_two_is_broken_and_another_fails_once(role: Role, segment: int | None, attempt: int) -> Fate:
    if segment == 0 and attempt == 0:
        return Fate("retry", 1)
    return Fate("fatal", 2) if segment == 2 else Fate(seconds=8 if role is Role.SEGMENTS else 3)


def segment_two_always_loses_its_node(role: Role, segment: int | None, attempt: int) -> Fate:
    return Fate("disrupted", 1) if segment == 2 else Fate(seconds=8 if role is Role.SEGMENTS else 3)


def the_first_report_of_the_output_is_lost(role: Role, segment: int | None, attempt: int) -> Fate:
    return Fate("mute") if role in (Role.MERGE, Role.SEGMENTS) and attempt == 0 else Fate()


@pytest.mark.parametrize(("fates", "phase"), ENDS, ids=[fates.__name__ for fates, _ in ENDS])
@pytest.mark.parametrize(("lag", "crashes"), [(0, 0.0), (0, 0.3), (3, 0.0), (3, 0.3)])
def test_the_end_is_the_same_however_late_and_however_often_the_operator_dies(
    fates: Fates, phase: Phase, lag: int, crashes: float
) -> None:
    for seed in seeds(lag, crashes):
        world = World(seed, fates, lag=lag, crashes=crashes)
        world.run()
        assert world.status.phase is phase, f"seed {seed}: {world.status}"
        assert_clean_end(world)


@pytest.mark.parametrize("kind", ["ok", "retry", "oom", "killed", "disrupted", "dead", "mute"])
@pytest.mark.parametrize(("lag", "crashes"), [(0, 0.0), (3, 0.3)])
def test_a_short_video_is_made_by_one_pod_whatever_happens_to_the_first(kind: str, lag: int, crashes: float) -> None:
    def fates(role: Role, segment: int | None, attempt: int) -> Fate:
        return Fate(kind, 8) if role is Role.PLAN and attempt == 0 else Fate(seconds=8)

    for seed in seeds(lag, crashes):
        world = World(seed, fates, segments=1, lag=lag, crashes=crashes, spec=dict(ONE_POD))
        world.run()
        assert world.status.phase is Phase.SUCCEEDED, f"seed {seed}: {world.status}"
        assert world.tries[Role.SEGMENTS, 0] == 0
        assert world.tries[Role.MERGE, None] == (kind == "mute"), "of a report that was lost the output is made again"
        assert world.tries[Role.PLAN, None] == (1 if kind == "ok" else 2)
        tries = [status.attempts for status in world.written]
        assert tries == sorted(tries)
        assert_clean_end(world)


@pytest.mark.parametrize("kind", ["retry", "fatal", "oom", "killed", "disrupted"])
def test_a_short_video_that_never_works_fails_by_its_segment(kind: str) -> None:
    for seed in SEEDS[:8]:
        world = World(seed, lambda *_: Fate(kind, 8), segments=1, spec=dict(ONE_POD))
        world.run()
        assert world.status.phase is Phase.FAILED, f"seed {seed}: {world.status}"
        assert world.status.failure is not None
        assert world.status.failure.segment == 0
        told = {one.type: (one.status, one.reason) for one in world.status.conditions}
        assert (told["Planned"], told["Rendered"]) == (("True", "PlanReady"), ("False", "SegmentFailed"))


@pytest.mark.parametrize("what", ["suspend", "cancel", "delete"])
def test_the_one_pod_of_a_short_video_is_stopped_at_any_time(what: str) -> None:
    for seed in SEEDS:
        world = World(seed, lambda *_: Fate(seconds=9), segments=1, lag=seed % 3, crashes=0.2, spec=dict(ONE_POD))
        pass_time(world, seed)
        done_before = world.finished
        world.delete() if what == "delete" else change(world, **{what: True})
        pass_time(world, 30)
        if what == "suspend":
            assert world.status.phase in (Phase.SUSPENDED, Phase.SUCCEEDED)
            assert not world.pods
            change(world, suspend=False)
        world.run()
        assert not world.jobs
        if what != "delete":
            stays = what == "suspend" or done_before
            ends = (Phase.SUCCEEDED,) if stays else (Phase.CANCELLED, Phase.SUCCEEDED)
            assert world.status.phase in ends, f"seed {seed}: {world.status}"
            assert_clean_end(world)


@pytest.mark.parametrize("segments", [1, 4])
def test_an_output_whose_report_was_lost_is_made_again_from_what_is_in_storage(segments: int) -> None:
    for seed in SEEDS:
        world = World(seed, the_first_report_of_the_output_is_lost, segments=segments, lag=seed % 3, crashes=0.2)
        world.run()
        assert world.status.phase is Phase.SUCCEEDED, f"seed {seed}: {world.status}"
        assert {world.tries[Role.SEGMENTS, segment] for segment in range(segments)} == {1}
        assert world.tries[Role.PLAN, None] >= 2
        assert_clean_end(world)


@pytest.mark.parametrize(
    "fates",
    [segment_two_never_works, segment_two_is_broken_and_another_fails_once, segment_two_always_loses_its_node],
)
@pytest.mark.parametrize(("lag", "crashes"), [(0, 0.0), (3, 0.3)])
def test_a_rendition_that_cannot_be_rendered_costs_nothing_but_itself(fates: Fates, lag: int, crashes: float) -> None:
    renditions = [{"uri": "s3://videos/tall.mp4"}, {"uri": "s3://videos/wide.mp4"}]
    spec = {"renditions": renditions, "retry": {"disruptions": 2, "onDemandAfter": 99}}
    for seed in SEEDS[:4]:
        world = World(seed, fates, segments=6, takes=(2, 3, 1), lag=lag, crashes=crashes, spec=spec)
        world.run()
        assert (world.status.phase, world.status.reason) == (Phase.FAILED, "RenditionFailed"), f"seed {seed}"
        assert world.rendered >= {0, 1, 5}
        assert world.tries[Role.SEGMENTS, 1] == 1, "no pod of the main video is stopped for it"
        assert world.status.output is not None
        assert [output.name for output in world.status.outputs if output.failure] == ["tall.mp4"]
        environment = world.manifests["clip-merge"]["spec"]["template"]["spec"]["containers"][0]["env"]
        (left_out,) = (variable["value"] for variable in environment if variable["name"] == "ECG_GIVEN_UP")
        assert {2} <= parse_ranges(left_out) <= {2, 3, 4}
        assert_clean_end(world)


def test_without_crashes_the_calls_to_the_api_server_are_few() -> None:
    for seed in SEEDS:
        world = World(seed, segments=8)
        world.run()
        assert sum(world.actions.values()) + len(world.written) + len(world.events) <= 25, world.actions


def test_gpu_seconds_are_those_of_the_pods_each_counted_once() -> None:
    for seed in SEEDS:
        world = World(seed, some_fail_once)
        world.run()
        assert world.status.usage is not None
        assert world.status.usage.gpu_seconds == world.gpu_seconds
        assert world.status.attempts == sum(world.tries[Role.SEGMENTS, segment] for segment in range(4))


def test_gpu_seconds_are_counted_once_though_pods_are_stopped_and_decisions_repeated() -> None:
    for seed in SEEDS:
        world = World(seed, nodes_go_away_a_few_times, lag=2, crashes=0.3)
        world.run()
        assert world.status.usage is not None
        # A pod that is stopped counts until then; and what the caches do not show yet is not known.
        assert abs(world.status.usage.gpu_seconds - world.gpu_seconds) <= 4 * world.status.attempts


def test_suspending_and_resuming_at_any_time_keeps_what_is_finished() -> None:
    for seed in SEEDS:
        world = World(seed, lag=seed % 3, crashes=0.2, segments=6)
        chance = random.Random(seed)
        for _ in range(3):
            pass_time(world, chance.randint(1, 12))
            change(world, suspend=True)
            pass_time(world, chance.randint(1, 15))
            finished_segments = world.status.run.completed if world.status.run else ""
            change(world, suspend=False)
            assert world.finished or finished_segments == (world.status.run.completed if world.status.run else "")
        world.run()
        assert world.status.phase is Phase.SUCCEEDED, f"seed {seed}: {world.status}"
        assert_clean_end(world)


def test_a_suspended_job_comes_to_rest_without_children() -> None:
    for seed in SEEDS:
        world = World(seed, lag=2, crashes=0.3)
        pass_time(world, seed % 25)
        change(world, suspend=True)
        pass_time(world, 60)
        assert world.status.phase in (Phase.SUSPENDED, Phase.SUCCEEDED)
        assert not world.jobs
        assert not world.pods
        assert_at_rest(world)


def test_cancelling_at_any_time_ends_the_job_with_nothing_left() -> None:
    for seed in SEEDS:
        world = World(seed, some_fail_once, lag=seed % 4, crashes=0.25)
        pass_time(world, seed % 30)
        done_before = world.finished
        change(world, cancel=True)
        world.run()
        assert world.status.phase in ((Phase.SUCCEEDED,) if done_before else (Phase.CANCELLED, Phase.SUCCEEDED))
        assert_clean_end(world)


def test_pods_of_a_cancelled_job_are_gone_within_five_seconds() -> None:
    for seed in SEEDS:
        world = World(seed, lambda *_: Fate(seconds=60))
        pass_time(world, 1 + seed % 70)
        change(world, cancel=True)
        pass_time(world, 5)
        living = [pod.name for pod in world.pods.values() if pod.phase in ("Pending", "Running")]
        assert not [name for name in living if "-clean-" not in name]


def test_a_job_whose_children_somebody_deletes_still_succeeds() -> None:
    for seed in SEEDS:
        world = World(seed, lag=seed % 3, crashes=0.2)
        chance = random.Random(seed)
        for _ in range(4):
            pass_time(world, chance.randint(1, 6))
            ours = [name for name, job in world.jobs.items() if job.role in (Role.PLAN, Role.SEGMENTS)]
            if ours and not world.finished:
                world.delete_job(chance.choice(ours))
        world.run()
        assert world.status.phase is Phase.SUCCEEDED, f"seed {seed}: {world.status}"
        assert_clean_end(world)


def test_deleting_a_job_at_any_time_leaves_neither_children_nor_work_files() -> None:
    for seed in SEEDS:
        world = World(seed, some_fail_once, lag=seed % 3)
        pass_time(world, seed)
        run = world.status.run
        may_have_files = run is not None and run.work_files is WorkFilesState.WRITTEN
        writes = len(world.written)
        world.delete()
        world.run()
        assert world.deleted
        assert not world.jobs
        assert not world.pods
        assert len(world.written) == writes
        assert (world.actions["CreateJob clip-clean"] > 0) is may_have_files


@pytest.mark.parametrize("ttl", [0, 30])
def test_a_finished_job_is_deleted_in_time_after_its_work_files_are_cared_for(ttl: int) -> None:
    for seed in SEEDS:
        world = World(seed, segment_two_is_broken, lag=1, crashes=0.2, spec={"ttl": {"failedSeconds": ttl}})
        for _ in range(200):
            world.tick()
            if world.deleted:
                break
        assert world.deleted
        assert world.actions["CreateJob clip-clean"] >= 1


def assert_clean_end(world: World) -> None:
    """What holds at the end of every life."""
    assert not world.jobs
    assert not world.pods
    assert world.most_live_rounds <= 1
    run = world.status.run
    assert run is not None
    assert run.work_files is not WorkFilesState.WRITTEN
    told = [status.progress for status in world.written if status.progress]
    assert all(progress.frames_done <= progress.frames_total for progress in told)
    percents = [progress.percent for progress in told]
    assert percents == sorted(percents)
    assert (percents[-1:] == [100]) == (world.status.phase is Phase.SUCCEEDED)
    assert_writes_are_paced(world)
    assert_at_rest(world)


def assert_writes_are_paced(world: World) -> None:
    """Between two writes that differ in progress only, three seconds pass."""
    transitions = {tuple((c.type, c.status, c.reason) for c in status.conditions) for status in world.written}
    seconds = (world.now - world.written[0].conditions[0].last_transition_time).total_seconds()
    assert len(world.written) <= len(transitions) * 2 + seconds / 3 + 12, [str(status) for status in world.written]


def assert_at_rest(world: World) -> None:
    """Nothing is written or done any more, however often one looks."""
    for seconds in (0, 1, 10):
        world.now += timedelta(seconds=seconds)
        decision = decide(world.observe(), POLICY)
        assert decision.status == world.status
        assert not decision.actions
        assert not decision.events
        assert decision.due is None


def pass_time(world: World, ticks: int) -> None:
    repeat(world.tick, ticks)


def repeat(step: Callable[[], None], times: int) -> None:
    for _ in range(times):
        step()


def change(world: World, **spec: bool) -> None:
    """Patch the spec, as a person does."""
    world.spec = {**world.spec, **spec}
    world.version += 1
