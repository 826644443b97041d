"""Who is let in, in which order, and who gets how many segments."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from cpu_time import least_seconds
from ecg_cluster.cache import Key
from ecg_operator.admission import Budget, Claim, admit
from ecg_operator.model import (
    Verdict,
)
from observations import NOW


def claim(name: str, age: int = 0, namespace: str = "a", **fields: int | bool) -> Claim:
    """Return a claim of a job that is `age` seconds older than NOW."""
    return Claim(Key(namespace, name), NOW - timedelta(seconds=age), **fields)  # type: ignore[arg-type]


def segments(verdicts: dict[Key, Verdict]) -> dict[str, int]:
    return {key.name: verdict.segments for key, verdict in verdicts.items() if verdict.admitted}


def positions(verdicts: dict[Key, Verdict]) -> dict[str, int]:
    return {key.name: verdict.position for key, verdict in verdicts.items() if not verdict.admitted}


def test_the_highest_priority_goes_first_and_of_equal_ones_the_oldest() -> None:
    claims = [claim("young"), claim("old", 60), claim("urgent", priority=5), claim("lazy", 999, priority=-1)]
    verdicts = admit(claims, Budget(jobs=2, segments=8))
    assert set(segments(verdicts)) == {"urgent", "old"}
    assert positions(verdicts) == {"young": 1, "lazy": 2}


def test_the_priorities_and_the_many_jobs_of_one_namespace_do_not_hold_up_another() -> None:
    greedy = [claim(f"a{n}", 100 - n, priority=1000) for n in range(20)]
    modest = [claim("b0", 5, namespace="b"), claim("b1", 4, namespace="b", priority=1)]
    verdicts = admit([*greedy, *modest], Budget(jobs=4, segments=40))
    assert set(segments(verdicts)) == {"a0", "a1", "b0", "b1"}
    late = admit([*greedy, claim("c0", namespace="c")], Budget(jobs=1, segments=40))
    assert positions(late)["c0"] == 1, "its namespace has none, the other one has one"


def test_who_has_places_already_comes_after_who_has_none() -> None:
    running = [claim(f"a{n}", 90, admitted=True) for n in range(3)]
    waiting = [claim("a9", 80, priority=1000), claim("b0", 1, namespace="b")]
    verdicts = admit([*running, *waiting], Budget(jobs=4, segments=40))
    assert set(segments(verdicts)) == {"a0", "a1", "a2", "b0"}


def test_a_job_that_was_let_in_is_not_sent_back_for_a_more_urgent_one() -> None:
    claims = [claim("running", admitted=True, holds=4, wants=6), claim("urgent", priority=1000)]
    verdicts = admit(claims, Budget(jobs=1, segments=8))
    assert verdicts[Key("a", "running")] == Verdict(admitted=True, segments=6)
    assert not verdicts[Key("a", "urgent")].admitted


def test_jobs_that_a_queue_of_the_cluster_holds_back_keep_nobody_waiting() -> None:
    held = [claim(f"h{n}", 60, admitted=True, holds=8, wants=8, held=True) for n in range(50)]
    verdicts = admit([*held, claim("other", namespace="b", wants=4)], Budget(50, 8, jobs_per_namespace=1))
    assert segments(verdicts)["other"] == 4
    released = [replace(one, held=False) for one in held]
    assert not admit([*released, claim("other")], Budget(jobs=50, segments=800))[Key("a", "other")].admitted


def test_jobs_beyond_a_smaller_budget_stay_in_after_a_restart_with_other_settings() -> None:
    claims = [claim(f"j{n}", admitted=True, holds=5, wants=5) for n in range(4)]
    assert segments(admit(claims, Budget(jobs=2, segments=6))) == {f"j{n}": 5 for n in range(4)}


@pytest.mark.parametrize(
    ("claims", "budget", "shares"),
    [
        # One job alone leaves a quarter for those who may come, one for each.
        ([claim("big", wants=100)], Budget(jobs=4, segments=32), {"big": 29}),
        ([claim("big", wants=100)], Budget(jobs=100, segments=32), {"big": 24}),
        ([claim("big", wants=100)], Budget(jobs=1, segments=32), {"big": 32}),
        ([claim("big", wants=100)], Budget(jobs=4, segments=1), {"big": 1}),
        # Equal shares; who wants less leaves the rest to others.
        ([claim("x", 2, wants=100), claim("y", 1, wants=100)], Budget(2, 9), {"x": 5, "y": 4}),
        ([claim("x", 2, wants=2), claim("y", 1, wants=100)], Budget(2, 9), {"x": 2, "y": 7}),
        # Without a plan a job gets one; while it only merges none, and it is no obstacle to others.
        ([claim("x", 2), claim("y", 1, wants=0)], Budget(2, 9), {"x": 1, "y": 0}),
        ([claim("x", admitted=True, wants=0), claim("y", wants=1)], Budget(2, 1), {"x": 0, "y": 1}),
        # What is held is never taken back; what is free goes to whoever has least.
        (
            [claim("x", 9, admitted=True, holds=7, wants=20), claim("y", admitted=True, holds=1, wants=20)],
            Budget(2, 12),
            {"x": 7, "y": 5},
        ),
        # A Job may hold more than it has left to do.
        ([claim("x", admitted=True, holds=8, wants=2), claim("y", wants=9)], Budget(2, 8), {"x": 2, "y": 6}),
    ],
)
def test_segments_are_shared(claims: list[Claim], budget: Budget, shares: dict[str, int]) -> None:
    assert segments(admit(claims, budget)) == shares


def test_places_bound_those_that_take_one_and_nobody_else() -> None:
    on_gpus = [claim(f"g{n}", 90 - n, wants=8) for n in range(3)]
    on_cpus = [claim(f"c{n}", 9 - n, wants=8, placed=False) for n in range(2)]
    verdicts = admit([*on_gpus, *on_cpus], Budget(jobs=5, segments=20, places=2))
    assert segments(verdicts) == {"g0": 1, "g1": 1, "c0": 8, "c1": 8}
    assert "2 segments are being rendered, which is the limit" in verdicts[Key("a", "g2")].reason
    alone = admit(on_cpus, Budget(jobs=5, segments=6, places=2))
    assert segments(alone) == {"c0": 3, "c1": 2}, "one is kept for others"
    busy = [claim("g9", 99, admitted=True, holds=8, wants=8), *on_cpus]
    assert segments(admit(busy, Budget(jobs=3, segments=20, places=2))) == {"g9": 8, "c0": 6, "c1": 6}


def test_a_namespace_has_a_share_of_its_own_and_does_not_hold_up_others() -> None:
    claims = [claim(f"a{n}", 100 - n) for n in range(5)] + [claim("b0", namespace="b")]
    verdicts = admit(claims, Budget(jobs=8, segments=8, jobs_per_namespace=2))
    assert set(segments(verdicts)) == {"a0", "a1", "b0"}
    assert verdicts[Key("a", "a2")].reason == (
        "Position 1 in the queue: 2 jobs are running in namespace a, which is its limit"
    )


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        (Budget(jobs=1, segments=9), "1 job is running, which is the limit"),
        (Budget(jobs=9, segments=1), "1 segment is being rendered, which is the limit"),
    ],
)
def test_who_waits_is_told_for_what(budget: Budget, words: str) -> None:
    verdicts = admit([claim("first", 1), claim("second")], budget)
    assert words in verdicts[Key("a", "second")].reason


def test_words_about_the_place_change_seldom_far_back_in_the_queue() -> None:
    verdicts = admit([claim(f"j{n:05}", -n) for n in range(2001)], Budget(jobs=1, segments=1))
    words = Counter(verdict.reason.split(":")[0] for verdict in verdicts.values() if not verdict.admitted)
    assert words == {
        "Position 1 in the queue": 1,
        "Position 2 in the queue": 1,
        "Position 3 in the queue": 1,
        "Among the next 10 in the queue": 7,
        "Among the next 100 in the queue": 90,
        "Among the next 1000 in the queue": 900,
        "Among the next 10000 in the queue": 1000,
    }


def test_whatever_is_claimed_the_budget_is_kept_and_everybody_gets_something() -> None:
    chance = random.Random(4)
    for _ in range(200):
        budget = Budget(chance.randint(1, 9), chance.randint(1, 20), chance.choice((0, 0, 2)))
        claims: list[Claim] = []
        for step in range(40):  # a life of arrivals, growth, and ends
            verdicts = admit(claims, budget)
            given = {key: verdict.segments for key, verdict in verdicts.items() if verdict.admitted}
            assert sum(given.values()) <= budget.segments
            assert len(given) <= budget.jobs
            for one in claims:
                if one.key in given:
                    assert given[one.key] >= max(min(one.holds, one.wants), min(one.wants, 1))
                else:
                    assert not one.admitted
            assert sorted(v.position for v in verdicts.values() if not v.admitted) == list(
                range(1, len(claims) - len(given) + 1)
            )
            claims = [
                Claim(one.key, one.created_at, one.priority, True, given[one.key], max(one.wants - 1, 0))
                if one.key in given
                else one
                for one in claims
                if one.wants or chance.random() < 0.5
            ]
            if chance.random() < 0.6:
                claims.append(
                    claim(
                        f"j{step}",
                        -step,
                        chance.choice("ab"),
                        priority=chance.randint(0, 2),
                        wants=chance.randint(1, 9),
                    )
                )


def test_every_job_gets_its_turn_though_more_urgent_ones_keep_coming_into_other_places() -> None:
    verdicts = admit(
        [claim("big", 999, wants=1000), *(claim(f"small{n}", wants=1) for n in range(50))], Budget(jobs=4, segments=8)
    )
    assert segments(verdicts)["big"] >= 4


def test_ten_thousand_claims_are_a_matter_of_a_fraction_of_a_second() -> None:
    chance = random.Random(1)
    claims = [
        claim(f"j{n}", chance.randint(0, 9999), f"n{n % 50}", priority=chance.randint(0, 3), wants=8)
        for n in range(10_000)
    ]
    verdicts: dict[Key, Verdict] = {}
    budget = Budget(jobs=500, segments=4000, jobs_per_namespace=20)
    assert least_seconds(lambda: verdicts.update(admit(claims, budget)), 2.0) < 2.0
    assert len(verdicts) == 10_000
