"""How many events may be posted."""

from __future__ import annotations

from ecg_cluster.cache import Key
from ecg_operator.events import PER_OBJECT, EventRecorder, TokenBucket
from ecg_operator.model import (
    EventNote,
)


def test_a_bucket_lets_a_burst_through_and_then_its_rate() -> None:
    now = [0.0]
    bucket = TokenBucket(3, 0.5, lambda: now[0])
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]
    now[0] = 2.0
    assert [bucket.take(), bucket.take()] == [True, False]
    now[0] = 1000.0
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]


def test_an_object_that_tells_too_much_does_not_silence_another() -> None:
    dropped: list[int] = []
    recorder = EventRecorder(None, lambda: dropped.append(1), lambda: 0.0)  # type: ignore[arg-type]
    burst, _ = PER_OBJECT
    for number in range(burst + 5):
        recorder.tell(Key("ns", "chatty"), "uid-1", EventNote("Normal", "Chat", str(number)))
    assert len(dropped) == 5
    recorder.tell(Key("ns", "quiet"), "uid-2", EventNote("Normal", "Word", "hello"))
    assert len(dropped) == 5
