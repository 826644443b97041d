"""The queue: each key once, one worker a key, due times, backoff."""

from __future__ import annotations

import asyncio

import pytest

from ecg_cluster.queue import LONGEST_PAUSE, KeyedQueue


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> KeyedQueue[str]:
    return KeyedQueue(clock, jitter=lambda: 1.0)


def test_a_key_added_twice_is_given_once(queue: KeyedQueue[str]) -> None:
    queue.add("a")
    queue.add("a")
    assert [queue.take(), queue.take()] == ["a", None]


def test_keys_come_in_the_order_in_which_they_were_added(queue: KeyedQueue[str]) -> None:
    for key in "bac":
        queue.add(key)
    assert [queue.take() for _ in range(3)] == ["b", "a", "c"]


def test_a_key_is_never_with_two_workers_and_an_addition_meanwhile_is_kept(queue: KeyedQueue[str]) -> None:
    queue.add("a")
    assert queue.take() == "a"
    queue.add("a")
    assert queue.take() is None
    queue.done("a")
    assert queue.take() == "a"
    queue.done("a")
    assert queue.take() is None


def test_a_due_time_is_kept_and_the_earliest_counts(queue: KeyedQueue[str], clock: Clock) -> None:
    queue.add_after("a", 10)
    queue.add_after("a", 5)
    queue.add_after("a", 20)
    clock.now += 4.9
    assert queue.take() is None
    clock.now += 0.1
    assert queue.take() == "a"
    queue.done("a")
    clock.now += 100
    assert queue.take() is None


def test_a_key_that_is_looked_at_often_long_before_it_is_due_takes_no_more_memory_each_time(
    queue: KeyedQueue[str], clock: Clock
) -> None:
    queue.add_after("b", 3000)
    for _ in range(10_000):
        clock.now += 0.1
        queue.add("a")
        assert queue.take() == "a"
        queue.done("a", due=3600)
    assert len(queue._heap) < 100
    clock.now += 2000
    assert queue.take() == "b"
    clock.now += 1600
    assert queue.take() == "a"


def test_a_key_that_becomes_due_while_it_is_worked_on_comes_again(queue: KeyedQueue[str], clock: Clock) -> None:
    queue.add("a")
    assert queue.take() == "a"
    queue.add_after("a", 1)
    clock.now += 2
    assert queue.take() is None
    queue.done("a")
    assert queue.take() == "a"


def test_pauses_after_failures_double_up_to_the_longest(queue: KeyedQueue[str], clock: Clock) -> None:
    pauses = []
    queue.add("a")
    for _ in range(12):
        assert queue.take() == "a"
        pauses.append(queue.failed("a"))
        clock.now += pauses[-1]
    assert pauses[:4] == [0.5, 1, 2, 4]
    assert pauses[-1] == LONGEST_PAUSE


def test_pauses_are_spread_by_chance(clock: Clock) -> None:
    queue: KeyedQueue[str] = KeyedQueue(clock, jitter=lambda: 0.0)
    queue.add("a")
    queue.take()
    assert queue.failed("a") == 0.25


def test_a_server_that_asks_for_a_longer_pause_gets_it(queue: KeyedQueue[str]) -> None:
    queue.add("a")
    queue.take()
    assert queue.failed("a", at_least=7) == 7


def test_events_do_not_shorten_the_pause_of_a_failing_key(queue: KeyedQueue[str], clock: Clock) -> None:
    queue.add("a")
    queue.take()
    pause = queue.failed("a")
    for _ in range(5):
        queue.add("a")
        assert queue.take() is None
    clock.now += pause
    assert queue.take() == "a"


def test_what_a_person_changes_is_looked_at_in_spite_of_failures(queue: KeyedQueue[str]) -> None:
    queue.add("a")
    queue.take()
    queue.failed("a")
    queue.add_now("a")
    assert queue.take() == "a"


def test_success_forgives_failures(queue: KeyedQueue[str], clock: Clock) -> None:
    for _ in range(2):
        queue.add("a")
        queue.take()
        clock.now += queue.failed("a")
        assert queue.take() == "a"
        queue.done("a")
    queue.add("a")
    queue.take()
    assert queue.failed("a") == 0.5


def test_the_age_counts_waiting_and_worked_on_keys(queue: KeyedQueue[str], clock: Clock) -> None:
    assert queue.oldest_age() == 0
    queue.add("a")
    clock.now += 3
    assert (queue.oldest_age(), queue.depth, queue.working) == (3, 1, 0)
    queue.take()
    clock.now += 4
    assert (queue.oldest_age(), queue.depth, queue.working) == (4, 0, 1)
    queue.done("a")
    assert queue.oldest_age() == 0


def test_a_waiting_worker_gets_a_key_when_it_is_added_when_it_is_due_and_none_at_the_end() -> None:
    async def scenario() -> None:
        queue: KeyedQueue[str] = KeyedQueue()
        worker = asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        queue.add("a")
        assert await worker == "a"
        queue.done("a", due=0.05)
        assert await asyncio.wait_for(queue.get(), 60) == "a"
        queue.close()
        assert await queue.get() is None

    asyncio.run(scenario())


def test_a_key_wakes_one_worker_and_leaves_the_others_asleep(clock: Clock) -> None:
    """With thirty of them, waking all for each of thousands of news would be most of what the operator does."""

    class Counted(KeyedQueue[str]):
        asked = 0

        def take(self) -> str | None:
            self.asked += 1
            return super().take()

    async def scenario() -> None:
        queue = Counted(clock)
        workers = [asyncio.create_task(queue.get()) for _ in range(30)]
        await asyncio.sleep(0.01)
        assert queue.asked == 1
        queue.add_after("b", 0.05)
        queue.add("a")
        done, _ = await asyncio.wait(workers, return_when=asyncio.FIRST_COMPLETED)
        assert [worker.result() for worker in done] == ["a"]
        clock.now += 1
        done, _ = await asyncio.wait(set(workers) - done, return_when=asyncio.FIRST_COMPLETED)
        assert [worker.result() for worker in done] == ["b"]
        assert queue.asked < 10
        queue.close()
        assert [await worker for worker in workers].count(None) == 28

    asyncio.run(scenario())


def test_many_workers_share_keys_without_ever_sharing_one() -> None:
    async def scenario() -> None:
        queue: KeyedQueue[int] = KeyedQueue()
        held: set[int] = set()
        seen: dict[int, int] = {}

        async def worker() -> None:
            while (key := await queue.get()) is not None:
                assert key not in held
                held.add(key)
                await asyncio.sleep(0.001)
                held.remove(key)
                seen[key] = seen.get(key, 0) + 1
                queue.done(key)

        workers = [asyncio.create_task(worker()) for _ in range(5)]
        for _ in range(10):
            for key in range(7):
                queue.add(key)
            await asyncio.sleep(0.002)
        while queue.depth or queue.working:  # noqa: ASYNC110 - the queue says nothing of being empty
            await asyncio.sleep(0.01)
        queue.close()
        await asyncio.gather(*workers)
        assert set(seen) == set(range(7))

    asyncio.run(scenario())
