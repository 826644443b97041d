"""Leader election on a Lease: of several replicas exactly one acts.

Kubernetes' Python client brings an election of its own, which this does not use: its requests have no time limit, so
that a hanging one leaves a leader that believes in itself; it ends with an exception when the API server is away for a
moment; it does not tell until when writes are safe; and it never releases the Lease, so that a handover takes as long
as the Lease lasts (docs/decisions/0008-leader-election.md).

    renewed ─── renew_seconds ──> given up ── … ── lease_seconds ──> another replica may take over
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from ecg_cluster.client import LEASES, Client, Json, own_account
from ecg_cluster.errors import AlreadyExists, ApiError, Changed, NotFound

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LeaseTiming:
    """Seconds: how long a Lease lasts, after how long without renewal to give up, how often to try."""

    lease_seconds: float = 15.0
    renew_seconds: float = 10.0
    retry_seconds: float = 1.0

    @property
    def whole_lease(self) -> int:
        """What is written into the Lease, which knows whole seconds only."""
        return max(1, round(self.lease_seconds))


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """End a block that writes after `seconds`, an Election's `fence`; raises TimeoutError, at once if there are none.

    asyncio.timeout alone lets a block go on until it waits for something: a request would be sent.
    """
    if seconds <= 0:
        raise TimeoutError
    async with asyncio.timeout(seconds):
        yield


class Election:
    """One candidate.

    Args:
        namespace, name: of the Lease.
        identity: of this replica; no other has the same.
    """

    def __init__(
        self,
        client: Client,
        namespace: str,
        name: str,
        identity: str,
        timing: LeaseTiming | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name
        self.identity = identity
        self._timing = timing or LeaseTiming()
        self._clock = clock
        self._renewed: float | None = None
        self._seen: tuple[str, float] | None = None  # the foreign Lease's version, and when it was first seen

    @property
    def place(self) -> str:
        """Namespace and name of the Lease."""
        return f"{self._namespace}/{self._name}"

    @property
    def leads(self) -> bool:
        """Whether this replica holds the Lease."""
        return self.fence() > 0

    def fence(self) -> float:
        """Seconds for which writes are safe: until shortly before another replica may take over."""
        if self._renewed is None:
            return 0.0
        margin = min(1.0, self._timing.lease_seconds / 10)
        return max(0.0, self._renewed + self._timing.lease_seconds - margin - self._clock())

    async def win(self) -> None:
        """Wait until this replica holds the Lease."""
        while True:
            if await self._try():
                break
            await asyncio.sleep(self._timing.retry_seconds)
        log.info("%s holds the Lease %s", self.identity, self.place)

    async def keep(self) -> None:
        """Renew the Lease again and again; returns when that has failed for too long, or somebody else has it."""
        while True:
            await asyncio.sleep(self._timing.retry_seconds)
            # A request may not last beyond the point at which this replica has to give up.
            left = self._left_to_renew()
            if left > 0:
                try:
                    async with asyncio.timeout(left):
                        await self._try()
                except TimeoutError:
                    pass
            if self._left_to_renew() <= 0:
                log.warning("the Lease %s is lost: it could not be renewed in time", self.place)
                self._renewed = None
                return

    async def release(self) -> None:
        """Give the Lease up, so that another replica need not wait; without effect if it is not ours."""
        if self._renewed is None:
            return
        self._renewed = None
        try:
            try:
                await self._give_up()
            except Changed:  # by a renewal that was broken off here, and of which the API server knew already
                await self._give_up()
        except ApiError as error:
            log.warning("the Lease %s was not given up and will run out: %s", self.place, error)

    async def _give_up(self) -> None:
        lease = await self._client.call("get", LEASES, self._namespace, self._name)
        if lease["spec"].get("holderIdentity") == self.identity:
            lease["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _now()}
            await self._client.call("update", LEASES, self._namespace, self._name, body=lease)
            log.info("gave up the Lease %s", self.place)

    def _left_to_renew(self) -> float:
        return float("-inf") if self._renewed is None else self._renewed + self._timing.renew_seconds - self._clock()

    async def _try(self) -> bool:
        """Take or renew the Lease if that is possible now; tell whether it is ours."""
        started = self._clock()  # the Lease lasts from before the request, not from its answer
        try:
            if not await self._take():
                self._renewed = None
                return False
        except (AlreadyExists, Changed):
            return False
        except ApiError as error:
            log.warning("the Lease %s: %s", self.place, error)
            return False
        self._renewed = started
        return True

    async def _take(self) -> bool:
        """Write the Lease as ours; False if it is somebody else's. Raises ApiError."""
        try:
            lease = await self._client.call("get", LEASES, self._namespace, self._name)
        except NotFound:
            spec = {**self._claim(), "acquireTime": _now(), "leaseTransitions": 0}
            body = {"metadata": self._owned({"name": self._name}), "spec": spec}
            await self._client.call("create", LEASES, self._namespace, body=body)
            return True
        spec = lease.setdefault("spec", {})
        holder = spec.get("holderIdentity") or ""
        if holder not in ("", self.identity) and not self._has_run_out(lease):
            return False
        if holder != self.identity:
            spec |= {"acquireTime": _now(), "leaseTransitions": spec.get("leaseTransitions", 0) + 1}
        spec |= self._claim()
        lease["metadata"] = self._owned(lease["metadata"])
        # The version read before travels with the body: of two takers, one gets a conflict.
        await self._client.call("update", LEASES, self._namespace, self._name, body=lease)
        return True

    def _owned(self, metadata: Json) -> Json:
        """Return metadata by which the Lease goes when the release is removed, and its ServiceAccount with it."""
        # Where owners are guarded, changing them takes the right to delete the Lease: not with each renewal.
        found = metadata.get("ownerReferences") or []
        known = {owner["uid"] for owner in found}
        missing = [owner for owner in own_account(self._namespace) if owner["uid"] not in known]
        return {**metadata, "ownerReferences": [*found, *missing]} if missing else metadata

    def _claim(self) -> Json:
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": self._timing.whole_lease,
            "renewTime": _now(),
        }

    def _has_run_out(self, lease: Json) -> bool:
        # Clocks of machines differ: what counts is for how long we have seen no change.
        version = str(lease["metadata"]["resourceVersion"])
        if self._seen is None or self._seen[0] != version:
            self._seen = (version, self._clock())
        lasts = float(lease["spec"].get("leaseDurationSeconds") or self._timing.whole_lease)
        return self._clock() - self._seen[1] >= lasts


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
