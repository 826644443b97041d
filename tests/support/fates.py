"""What may happen to a job's pods, each with the phase in which the job ends."""

from __future__ import annotations

from ecg_api.names import Role
from ecg_api.status import Phase
from model_cluster import Fate, Fates, all_well


def some_fail_once(role: Role, segment: int | None, attempt: int) -> Fate:
    kinds = ("retry", "oom", "killed", "ok")
    return Fate(kinds[(segment or 0) % 4]) if attempt == 0 and role is not Role.CLEAN else Fate()


def segment_two_never_works(role: Role, segment: int | None, attempt: int) -> Fate:
    return Fate("retry") if segment == 2 else Fate()


def segment_two_is_broken(role: Role, segment: int | None, attempt: int) -> Fate:
    return Fate("fatal") if segment == 2 else Fate()


def plan_is_broken(role: Role, segment: int | None, attempt: int) -> Fate:
    return Fate("fatal") if role is Role.PLAN else Fate()


def merge_never_works(role: Role, segment: int | None, attempt: int) -> Fate:
    return Fate("killed") if role is Role.MERGE else Fate()


def nodes_go_away_a_few_times(role: Role, segment: int | None, attempt: int) -> Fate:
    return Fate("disrupted") if segment in (0, 1, 2) and attempt == 0 else Fate()


def nodes_always_go_away(role: Role, segment: int | None, attempt: int) -> Fate:
    return Fate("disrupted") if role is Role.SEGMENTS else Fate()


def a_node_dies(role: Role, segment: int | None, attempt: int) -> Fate:
    return Fate("dead") if attempt == 0 and segment in (None, 1) and role is not Role.CLEAN else Fate()


def segments_say_nothing(role: Role, segment: int | None, attempt: int) -> Fate:
    return Fate("mute") if role is Role.SEGMENTS else Fate()


ENDS: list[tuple[Fates, Phase]] = [
    (all_well, Phase.SUCCEEDED),
    (some_fail_once, Phase.SUCCEEDED),
    (nodes_go_away_a_few_times, Phase.SUCCEEDED),
    (segments_say_nothing, Phase.SUCCEEDED),
    (a_node_dies, Phase.SUCCEEDED),
    (segment_two_never_works, Phase.FAILED),
    (segment_two_is_broken, Phase.FAILED),
    (plan_is_broken, Phase.FAILED),
    (merge_never_works, Phase.FAILED),
    (nodes_always_go_away, Phase.FAILED),
]
