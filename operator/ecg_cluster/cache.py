"""What is known of the cluster's objects: the newest version of each that anybody has told us.

Three sources feed one cache: lists, watch events, and the answers to our own writes. The last are why a decision never
acts on a state from before its own actions, however late the watch is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterable, Set
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

log = logging.getLogger(__name__)

V = TypeVar("V")
R = TypeVar("R", covariant=True)

REMEMBERED_DELETIONS = 20_000


class Key(NamedTuple):
    """Namespace and name of an object: what a controller's queue holds."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Record(Generic[R]):
    """One object, reduced to what matters.

    Attributes:
        key: of the object that is reconciled: this one, or the one that it belongs to.
        version: its resourceVersion; Kubernetes promises that they compare as whole numbers.
        owner: uid of the object that it belongs to, empty if it belongs to none.
    """

    namespace: str
    name: str
    uid: str
    version: int
    key: Key
    value: R
    owner: str = ""


class Cache(Generic[V]):
    """The objects of one kind.

    Args:
        read: makes a record from an object as the API server gives it; None if it is none of ours. Only asked for
            versions that are new: a list of what is known already costs a comparison for each object.
        news: told about each record that is new, with the one before it.
        gone: told about each record whose object is there no longer.
        index: what else than the key to find a record by: any number of values.

    Attributes:
        unreadable: objects that are there and that `read` has failed on, namespace by uid. Anybody who may create an
            object with our labels can make such a one: it is logged once and passed over, and what was known of it
            before stays.
    """

    def __init__(
        self,
        read: Callable[[dict[str, Any]], Record[V] | None],
        news: Callable[[Record[V], Record[V] | None], None],
        gone: Callable[[Record[V]], None],
        index: Callable[[Record[V]], Iterable[Hashable]] = lambda record: (),
    ) -> None:
        self._read = read
        self._news = news
        self._gone = gone
        self._index = index
        self._records: dict[str, dict[str, Record[V]]] = {}  # by namespace and name
        self._by_key: dict[Hashable, set[tuple[str, str]]] = {}
        self._by_index: dict[Hashable, set[tuple[str, str]]] = {}
        self.unreadable: dict[str, str] = {}
        self._deleted: dict[str, None] = {}  # uids that are gone, or that we deleted ourselves; oldest first

    def __len__(self) -> int:
        return sum(map(len, self._records.values()))

    def records(self, namespace: str | None = None) -> list[Record[V]]:
        """Return all records, or those of a namespace."""
        if namespace is not None:
            return list(self._records.get(namespace, {}).values())
        return [record for records in self._records.values() for record in records.values()]

    def get(self, namespace: str, name: str) -> Record[V] | None:
        """Return one record."""
        return self._records.get(namespace, {}).get(name)

    def of(self, key: Key) -> list[Record[V]]:
        """Return the records that belong to an object of another kind, by name."""
        return self._at(self._by_key.get(key, ()))

    def with_index(self, value: Hashable) -> list[Record[V]]:
        """Return the records that the index function puts under `value`, among others."""
        return self._at(self._by_index.get(value, ()))

    def count(self, value: Hashable) -> int:
        """Return how many records `with_index` would return, without looking at them."""
        return len(self._by_index.get(value, ()))

    def learn(self, obj: dict[str, Any]) -> bool:
        """Take in an object from a list, an event or an answer; tell whether it was news."""
        record = None if self.knows(obj) else self._read_or_pass(obj)
        if record is None:
            return False
        known = self.get(record.namespace, record.name)
        self._put(record, known)
        self._news(record, known)
        return True

    def knows(self, obj: dict[str, Any]) -> bool:
        """Tell whether this version of an object, a newer one, or its end was taken in; also for other threads."""
        meta = obj["metadata"]
        known = self.get(meta.get("namespace", ""), meta["name"])
        return meta["uid"] in self._deleted or (known is not None and known.version >= int(meta["resourceVersion"]))

    def forget(self, obj: dict[str, Any]) -> None:
        """Take in that an object is gone; a list that was asked for before does not bring it back."""
        meta = obj["metadata"]
        self.forget_uid(meta.get("namespace", ""), meta["name"], meta.get("uid", ""))

    def deleted_by_us(self, record: Record[V]) -> None:
        """Remove what we have deleted; events from before that are passed over from now on."""
        self.forget_uid(record.namespace, record.name, record.uid)

    def forget_uid(self, namespace: str, name: str, uid: str) -> None:
        """Take in that the object of this uid is gone, whoever has its name now."""
        self.unreadable.pop(uid, None)
        self._deleted[uid] = None  # uids never come again
        while len(self._deleted) > REMEMBERED_DELETIONS:
            del self._deleted[next(iter(self._deleted))]
        known = self.get(namespace, name)
        if known is not None and known.uid == uid:  # else another one has the name already
            self._remove(known)
            self._gone(known)

    def remove_if_missing(self, record: Record[V], listed: Set[str], version: int) -> None:
        """Remove a record whose uid is not among those of a list that was made at `version`."""
        # What is newer than the list came from a watch or from our own write meanwhile.
        is_current = self.get(record.namespace, record.name) is record
        if is_current and record.uid not in listed and record.version <= version:
            self._remove(record)
            self._gone(record)

    def forget_unreadable(self, listed: Set[str], namespace: str | None) -> None:
        """Take in which objects of a namespace, or of all, were there in a list: those of these uids."""
        for uid, place in list(self.unreadable.items()):
            if uid not in listed and namespace in (None, place):
                del self.unreadable[uid]

    def _at(self, places: Iterable[tuple[str, str]]) -> list[Record[V]]:
        return [self._records[namespace][name] for namespace, name in sorted(places)]

    def _read_or_pass(self, obj: dict[str, Any]) -> Record[V] | None:
        meta = obj["metadata"]
        try:
            record = self._read(obj)
        except Exception:
            if meta["uid"] not in self.unreadable:
                self.unreadable[meta["uid"]] = meta.get("namespace", "")
                place = f"{obj.get('kind', 'object')} {meta.get('namespace', '')}/{meta['name']}"
                log.exception("%s cannot be read and is passed over", place)
            return None
        self.unreadable.pop(meta["uid"], None)
        return record

    def _put(self, record: Record[V], known: Record[V] | None) -> None:
        place = (record.namespace, record.name)
        if known is not None:
            self._remove(known)
        self._records.setdefault(record.namespace, {})[record.name] = record
        if record.key != place:
            self._by_key.setdefault(record.key, set()).add(place)
        for value in self._index(record):
            self._by_index.setdefault(value, set()).add(place)

    def _remove(self, record: Record[V]) -> None:
        place = (record.namespace, record.name)
        del self._records[record.namespace][record.name]
        indexed = [(self._by_index, value) for value in self._index(record)]
        for places, value in [(self._by_key, record.key), *indexed]:
            held = places.get(value, set())
            held.discard(place)
            if not held:
                places.pop(value, None)
