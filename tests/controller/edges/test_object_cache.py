"""The cache: the newest version that anybody has told of, whatever the order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from ecg_cluster.cache import Cache, Key, Record
from ecg_cluster.client import JOBS, Json, Knows, Resource
from ecg_cluster.errors import RolledBack, api_error
from ecg_cluster.reflector import Reflector, Source


def obj(name: str, version: int, uid: str = "", namespace: str = "ns") -> dict[str, Any]:
    meta = {"namespace": namespace, "name": name, "uid": uid or f"uid-{name}", "resourceVersion": str(version)}
    return {"metadata": meta}


class Seen:
    def __init__(self) -> None:
        self.news: list[tuple[str, int]] = []
        self.gone: list[str] = []
        self.read = 0
        self.seconds = 0.0
        self.cache: Cache[int] = Cache(self._read, self._news, self._gone, lambda record: [record.value % 2])

    def _read(self, raw: dict[str, Any]) -> Record[int] | None:
        self.read += 1
        time.sleep(self.seconds)
        meta = raw["metadata"]
        if meta["name"].startswith("bad"):
            raise RecursionError("on purpose")
        if meta["name"].startswith("foreign"):
            return None
        version = int(meta["resourceVersion"])
        key = Key(meta["namespace"], meta["name"].split("-")[0])
        return Record(meta["namespace"], meta["name"], meta["uid"], version, key, version)

    def _news(self, record: Record[int], before: Record[int] | None) -> None:
        self.news.append((record.name, record.version))

    def _gone(self, record: Record[int]) -> None:
        self.gone.append(record.name)


@pytest.fixture
def seen() -> Seen:
    return Seen()


class Pages:
    """An API server with one list; `between` happens before its second page is answered."""

    def __init__(self, pages: list[list[dict[str, Any]]], version: int, between: Callable[[], None]) -> None:
        self._pages = pages
        self._version = str(version)
        self._between = between

    async def list_page(
        self, resource: Resource, namespace: str | None, params: Mapping[str, str], knows: Knows
    ) -> Json:
        number = int(params.get("continue", "0"))
        if number == 1:
            self._between()
        following = str(number + 1) if number + 1 < len(self._pages) else ""
        return {"metadata": {"resourceVersion": self._version, "continue": following}, "items": self._pages[number]}

    def watch(self, *_: Any) -> Any:
        raise NotImplementedError


def take_list(
    seen: Seen,
    pages: list[list[dict[str, Any]]],
    version: int,
    namespace: str | None = None,
    between: Callable[[], None] = lambda: None,
) -> None:
    reflector = Reflector(Pages(pages, version, between), Source(JOBS, namespace), seen.cache)
    asyncio.run(reflector.list_all())


def test_only_newer_versions_are_news(seen: Seen) -> None:
    for version in (3, 3, 2, 5):
        seen.cache.learn(obj("a-1", version))
    assert seen.news == [("a-1", 3), ("a-1", 5)]


def test_objects_that_are_not_ours_are_passed_over(seen: Seen) -> None:
    seen.cache.learn(obj("foreign", 1))
    assert len(seen.cache) == 0


def test_one_that_cannot_be_read_is_logged_once_and_counted_until_it_is_gone(
    seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    for version in (3, 4):
        take_list(seen, [[obj("a-1", 1), obj("bad", version), obj("b-1", 2)]], version=5)
    assert sorted(record.name for record in seen.cache.records()) == ["a-1", "b-1"]
    assert seen.cache.unreadable == {"uid-bad": "ns"}
    assert [line.getMessage() for line in caplog.records] == ["object ns/bad cannot be read and is passed over"]
    take_list(seen, [[]], version=6, namespace="other")
    assert len(seen.cache.unreadable) == 1
    take_list(seen, [[]], version=6, namespace="ns")
    assert not seen.cache.unreadable
    seen.cache.learn(obj("bad", 7, "again"))
    seen.cache.forget(obj("bad", 8, "again"))
    assert not seen.cache.unreadable


def test_an_old_event_does_not_undo_what_our_own_write_has_answered(seen: Seen) -> None:
    seen.cache.learn(obj("a-1", 9))
    seen.cache.learn(obj("a-1", 7))
    assert [record.version for record in seen.cache.of(Key("ns", "a"))] == [9]


def test_what_we_deleted_does_not_come_back_by_late_events(seen: Seen) -> None:
    seen.cache.learn(obj("a-1", 1))
    seen.cache.deleted_by_us(seen.cache.of(Key("ns", "a"))[0])
    seen.cache.learn(obj("a-1", 2))
    assert len(seen.cache) == 0
    seen.cache.forget(obj("a-1", 3))
    seen.cache.learn(obj("a-1", 4, uid="another"))
    assert len(seen.cache) == 1
    assert seen.gone == ["a-1"]


def test_the_deletion_of_an_earlier_object_of_that_name_is_passed_over(seen: Seen) -> None:
    seen.cache.learn(obj("a-1", 5, uid="new"))
    seen.cache.forget(obj("a-1", 6, uid="old"))
    assert len(seen.cache) == 1
    assert seen.gone == []


def test_a_list_brings_news_and_tells_what_is_gone(seen: Seen) -> None:
    seen.cache.learn(obj("a-1", 1))
    seen.cache.learn(obj("b-1", 2))
    take_list(seen, [[obj("b-1", 4)], [obj("c-1", 5)]], version=6)
    assert sorted(record.name for record in seen.cache.records()) == ["b-1", "c-1"]
    assert seen.gone == ["a-1"]


def test_a_list_from_before_our_own_write_does_not_remove_it(seen: Seen) -> None:
    seen.cache.learn(obj("a-1", 10))
    take_list(seen, [[]], version=8)
    assert len(seen.cache) == 1


def test_a_list_does_not_bring_back_what_went_while_its_pages_came(seen: Seen) -> None:
    seen.cache.learn(obj("b-1", 2))
    take_list(seen, [[obj("a-1", 1)], [obj("b-1", 2)]], version=6, between=lambda: seen.cache.forget(obj("b-1", 7)))
    assert [record.name for record in seen.cache.records()] == ["a-1"]


def test_what_is_known_is_not_read_again(seen: Seen) -> None:
    objects = [obj(f"a-{number}", number) for number in range(1, 4)]
    take_list(seen, [objects], version=6)
    assert seen.read == 3
    take_list(seen, [objects], version=6)
    assert seen.read == 3


def test_a_long_list_gives_others_their_turn(seen: Seen) -> None:
    seen.seconds = 0.005
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def both() -> None:
        pages = Pages([[obj(f"a-{number}", number) for number in range(1, 41)]], 99, lambda: None)
        beside = asyncio.create_task(others())
        await Reflector(pages, Source(JOBS, None), seen.cache).list_all()
        beside.cancel()

    asyncio.run(both())
    assert turns > 5


def test_a_list_of_one_namespace_does_not_concern_another(seen: Seen) -> None:
    seen.cache.learn(obj("a-1", 1, namespace="other"))
    take_list(seen, [[]], version=8, namespace="ns")
    assert len(seen.cache) == 1


def test_records_are_found_by_key_and_by_index(seen: Seen) -> None:
    for name, version in (("a-2", 2), ("a-1", 3), ("b-1", 4)):
        seen.cache.learn(obj(name, version))
    assert [record.name for record in seen.cache.of(Key("ns", "a"))] == ["a-1", "a-2"]
    assert [record.name for record in seen.cache.with_index(0)] == ["a-2", "b-1"]
    seen.cache.learn(obj("a-2", 5))
    assert [record.name for record in seen.cache.with_index(0)] == ["b-1"]
    seen.cache.forget(obj("a-1", 6))
    assert [record.name for record in seen.cache.of(Key("ns", "a"))] == ["a-2"]


class Busy(Pages):
    """An API server that asks for a pause, longer each time."""

    def __init__(self, pauses: list[float]) -> None:
        super().__init__([], 1, lambda: None)
        self._pauses = iter(pauses)

    async def list_page(self, *_: Any) -> Json:
        raise api_error(429, "TooManyRequests", "the server has received too many requests", next(self._pauses))


def test_the_pause_that_an_api_server_asks_for_is_kept(seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise asyncio.CancelledError

    monkeypatch.setattr(asyncio, "sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(Reflector(Busy([0, 30, 300]), Source(JOBS, None), seen.cache).run())
    assert slept[0] < 1
    assert slept[1:] == [30.0, 90.0]


class Restored(Pages):
    """An API server whose etcd is restored after the first list."""

    def __init__(self, says: str) -> None:
        super().__init__([[obj("a-1", 45)]], 50, lambda: None)
        self._says = says

    @asynccontextmanager
    async def watch(self, *_: Any) -> AsyncIterator[AsyncIterator[Json]]:
        self._version = "40"
        if self._says != "BOOKMARK":
            raise api_error(504, "Timeout", self._says)

        async def events() -> AsyncIterator[Json]:
            yield {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "40"}}}

        yield events()


SILENCE = "the watch broke off"


@pytest.mark.parametrize("says", ["BOOKMARK", "Timeout: Too large resource version: 50, current: 40", SILENCE])
def test_versions_that_go_back_end_it_since_all_news_would_be_taken_for_old(
    seen: Seen, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ecg_cluster.reflector.LIVE_SECONDS", 0.0 if says == SILENCE else 90.0)
    with pytest.raises(RolledBack, match="version 40 of jobs comes after 50"):
        asyncio.run(Reflector(Restored(says), Source(JOBS, None), seen.cache).run())
