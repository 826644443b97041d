"""Sends callbacks: one at a time for each job, in order, several jobs at once, a few at each host.

Every step is in the outbox before it has an effect outside, so this process may end between any two of them.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import random
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager, suppress
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from ecg_shim.domains import domain_of
from ecg_shim.model import Backend, JobState, Unavailable
from ecg_shim.relay import ledger
from ecg_shim.relay.ledger import Now
from ecg_shim.relay.metrics import RelayMetrics
from ecg_shim.relay.outbox import Outbox
from ecg_shim.relay.policy import Policy, Verdict
from ecg_shim.relay.records import CallbackRecord, RecordState
from ecg_shim.relay.sender import Sender
from ecg_shim.tasks import Tasks

log = logging.getLogger(__name__)

AT_ONCE = 64
# A backend spends a database connection on each; and one that is slow must not take all places.
AT_ONCE_PER_HOST = 4
# Who has a domain has as many hosts as they like.
AT_ONCE_PER_DOMAIN = 16
# Steps of one job never overlap; jobs that share a lock only wait for each other's disk writes.
LOCKS = 64
AGAIN_SECONDS = 2.0
LOOK_SECONDS = 2.0
HOUSEKEEPING_SECONDS = 600.0
SECONDS_TO_END = 5.0

Due = tuple[float, str, str]
"""When a callback of a job is to be sent, the job, and the host."""


class Relay:
    """Tells about the jobs of a backend.

    Args:
        clock: seconds since 1970.
        beside: what else one replica does for all, for ever.
    """

    def __init__(
        self,
        backend: Backend,
        outbox: Outbox,
        sender: Sender,
        policy: Policy = Policy(),  # noqa: B008 - immutable
        metrics: RelayMetrics | None = None,
        clock: Callable[[], float] = time.time,
        beside: Callable[[], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        self._backend = backend
        self._outbox = outbox
        self._sender = sender
        self._policy = policy
        self._metrics = metrics or RelayMetrics()
        self._clock = clock
        self._beside = beside
        self._records: dict[str, CallbackRecord] = {}
        self._locks = [asyncio.Lock() for _ in range(LOCKS)]
        self._sending: dict[str, asyncio.Task[None]] = {}
        self._queue: list[Due] = []
        self._held: defaultdict[str, dict[str, Due]] = defaultdict(dict)
        self._busy: Counter[str] = Counter()
        self._unsaved: set[str] = set()
        self._wake = asyncio.Event()
        self.tasks = Tasks()

    async def start(self) -> None:
        """Go on with what an earlier relay left, and begin. Raises Unavailable."""
        await self.load()
        self.tasks.spawn("the relay's watch of jobs", self._listen())
        self.tasks.spawn("the sending of callbacks", self._work())
        self.tasks.spawn("the relay's housekeeping", self._keep_house())
        if self._beside is not None:
            self.tasks.spawn("what is done beside the relay", self._beside())

    async def close(self) -> None:
        """Let callbacks that are on their way end, within seconds; the rest is sent by the next relay."""
        await self.tasks.close()
        sending = list(self._sending.values())
        if sending:
            await asyncio.wait(sending, timeout=SECONDS_TO_END)
        for task in sending:
            task.cancel()
        await asyncio.gather(*sending, return_exceptions=True)
        await self._outbox.close()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Relay]:
        """Be started for the duration of the block. Raises Unavailable."""
        await self.start()
        try:
            yield self
        finally:
            await self.close()

    async def load(self) -> None:
        """Take up the records of an earlier relay. Raises Unavailable."""
        await self._outbox.open()
        for record in await self._outbox.unfinished():
            await self._keep(ledger.revived(record, self._now(), self._policy))

    async def take(self, state: JobState) -> None:
        """Take in where a job stands. Nothing is lost if the outbox cannot keep it: it is tried again."""
        if not state.callback_url:
            return
        async with self._lock(state.job_id):
            record = await self._record(state.job_id)
            if record is None and self._is_history(state):
                return
            changed = ledger.take(record, state, self._now())
            if changed != record:
                await self._keep(changed)

    async def tell_again(self, job_id: str) -> None:
        """Send the end of a job once more, if it is being sent, was, or was given up. Raises Unavailable."""
        await self._change(job_id, lambda record, now: ledger.replayed(record, now, self._policy))

    async def deliver_due(self) -> None:
        """Send what is due now, and wait for the answers."""
        while self._start_due():
            await asyncio.gather(*self._sending.values())

    def _now(self) -> Now:
        return Now(self._clock(), random.random())  # noqa: S311 - spreads load, keeps no secret

    def _is_history(self, state: JobState) -> bool:
        return state.finished_at is not None and state.finished_at.timestamp() < self._clock() - self._policy.keep

    def _lock(self, job_id: str) -> asyncio.Lock:
        return self._locks[hash(job_id) % LOCKS]

    async def _record(self, job_id: str) -> CallbackRecord | None:
        record = self._records.get(job_id)
        return record if record is not None else await self._outbox.get(job_id)

    async def _change(self, job_id: str, change: Callable[[CallbackRecord, Now], CallbackRecord]) -> None:
        async with self._lock(job_id):
            record = await self._record(job_id)
            if record is not None:
                await self._keep(change(record, self._now()))

    async def _keep(self, record: CallbackRecord) -> None:
        """Keep a record here and in the outbox, and plan its next callback."""
        job_id = record.job_id
        self._records[job_id] = record
        try:
            await self._outbox.save(record)
            self._unsaved.discard(job_id)
        except Unavailable as problem:
            log.error("Callbacks of job %s are kept in memory only: %s", job_id, problem)
            self._unsaved.add(job_id)
        if record.state is not RecordState.OPEN and job_id not in self._unsaved:
            self._records.pop(job_id, None)
        self._plan(record)

    def _plan(self, record: CallbackRecord) -> None:
        at = ledger.due(record, self._policy)
        if at is not None:
            heapq.heappush(self._queue, (at, record.job_id, _host(record.url)))
            self._wake.set()

    def _start_due(self) -> bool:
        """Start sending what is due, up to a number at once; tell whether anything is being sent."""
        now = self._clock()
        while self._queue and self._queue[0][0] <= now and len(self._sending) < AT_ONCE:
            due = heapq.heappop(self._queue)
            _, job_id, host = due
            domain = _domain(host)
            if self._busy[host] >= AT_ONCE_PER_HOST:
                self._held[host].setdefault(job_id, due)
                self._let_in(host)
            elif self._busy[domain] >= AT_ONCE_PER_DOMAIN:
                self._held[domain].setdefault(job_id, due)
            elif self._is_due(job_id, now):
                self._start(job_id, host)
            else:
                self._let_in(host)
        return bool(self._sending)

    def _is_due(self, job_id: str, now: float) -> bool:
        """Tell whether a job has a callback to send now; one that is due later only is put down for then."""
        record = self._records.get(job_id)
        if record is None or job_id in self._sending:
            return False
        at = ledger.due(record, self._policy)
        if at is None or at <= now:
            return at is not None
        self._plan(record)
        return False

    def _start(self, job_id: str, host: str) -> None:
        task = asyncio.create_task(self._send(job_id), name=f"callback of job {job_id}")
        self._sending[job_id] = task
        self._busy.update((host, _domain(host)))
        task.add_done_callback(partial(self._sent, job_id, host))

    def _let_in(self, host: str) -> None:
        """Let the next ones that wait for a free place at a host, or at its domain, take it."""
        for place, most in ((host, AT_ONCE_PER_HOST), (_domain(host), AT_ONCE_PER_DOMAIN)):
            held = self._held.get(place)
            if held and self._busy[place] < most:
                heapq.heappush(self._queue, held.pop(next(iter(held))))
            if not held:
                self._held.pop(place, None)

    def _sent(self, job_id: str, host: str, task: asyncio.Task[None]) -> None:
        self._sending.pop(job_id, None)
        self._busy -= Counter((host, _domain(host)))
        self._let_in(host)
        if not task.cancelled() and (error := task.exception()):
            log.error("A callback of job %s", job_id, exc_info=error)
        if record := self._records.get(job_id):
            self._plan(record)
        self._wake.set()

    async def _send(self, job_id: str) -> None:
        try:
            begun = await self._begin(job_id)
        except Unavailable as problem:
            log.error("Callbacks of job %s wait: %s", job_id, problem)
            await asyncio.sleep(AGAIN_SECONDS)
            return
        if begun is None or begun.sending is None:
            return
        delivery = begun.sending
        began = time.monotonic()
        answer = await self._sender.send(begun.url, delivery)
        self._metrics.seconds.observe(time.monotonic() - began)
        async with self._lock(job_id):
            current = self._records.get(job_id)
            if current is None:
                return
            changed, verdict = ledger.finish(current, delivery.id, answer, self._now(), self._policy)
            await self._keep(changed)
        if verdict is None:
            return
        self._metrics.report(changed, delivery, answer, verdict)
        if verdict is Verdict.UNKNOWN_JOB and self._policy.cancel_unknown and not delivery.terminal:
            with suppress(Unavailable):
                await self._backend.cancel(job_id)

    async def _begin(self, job_id: str) -> CallbackRecord | None:
        """Return the record with what is to be sent now, if there is something. Raises Unavailable."""
        async with self._lock(job_id):
            record = self._records.get(job_id)
            at = ledger.due(record, self._policy) if record else None
            if record is None or at is None or at > self._clock():
                return None
            begun, _ = ledger.begin(record, self._now())
            # Noted before it is sent: should this process end now, the try counts as one without answer.
            await self._outbox.save(begun)
            self._records[job_id] = begun
            return begun

    async def _listen(self) -> None:
        while True:
            try:
                async with aclosing(self._backend.changes()) as changes:
                    async for state in changes:
                        await self.take(state)
            except Unavailable as problem:
                log.error("Changes of jobs cannot be heard: %s", problem)
            except Exception:
                log.exception("Listening to changes of jobs")
            await asyncio.sleep(AGAIN_SECONDS)

    async def _work(self) -> None:
        while True:
            self._wake.clear()
            self._start_due()
            full = len(self._sending) >= AT_ONCE
            wait = LOOK_SECONDS if full or not self._queue else self._queue[0][0] - self._clock()
            # Not wait_for: in Python 3.11 it loses a cancellation that comes together with what it waits for.
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.001, min(wait, LOOK_SECONDS))):
                    await self._wake.wait()

    async def _keep_house(self) -> None:
        forgotten = float("-inf")
        while True:
            try:
                for job_id in await self._outbox.take_replays():
                    await self.tell_again(job_id)
                for job_id in list(self._unsaved):
                    await self._change(job_id, lambda record, _: record)
                if time.monotonic() - forgotten > HOUSEKEEPING_SECONDS:
                    forgotten = time.monotonic()
                    await self._outbox.forget(self._clock() - self._policy.keep)
                    self._metrics.dead.set(await self._outbox.count_dead())
            except Unavailable as problem:
                log.error("The outbox: %s", problem)
            self._metrics.open.set(len(self._records))
            await asyncio.sleep(LOOK_SECONDS)


def _domain(host: str) -> str:
    """Return the domain of what `_host` has returned, told apart from a host of that name."""
    return f"domain {domain_of(urlsplit(host).hostname or host)}"


def _host(url: str) -> str:
    """Return scheme, host and port of an address; the address itself if it has none."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return f"{parts.scheme}://{parts.hostname}:{port}"
    except ValueError:
        return url
