"""Which replica tells callbacks: the holder of a Lease. A replica that cannot renew it stops before another begins.

renewed ─── renew ──> given up ── … ── lease ──> another replica may take over
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

from ecg_shim.backends.cluster.api import LEASES, Api, Json
from ecg_shim.backends.cluster.errors import AlreadyExists, ApiError, Changed
from ecg_shim.backends.cluster.settings import Timing

log = logging.getLogger(__name__)

MARGIN = 1.0


class Election:
    """One candidate.

    Args:
        identity: of this replica; no other has the same.
    """

    def __init__(
        self, api: Api, name: str, identity: str, timing: Timing, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._api = api
        self._name = name
        self.identity = identity
        self._timing = timing
        self._clock = clock
        self._renewed: float | None = None
        self._seen: tuple[str, float] | None = None

    @property
    def leads(self) -> bool:
        """Whether this replica may act: until shortly before another one could take over."""
        margin = min(MARGIN, self._timing.lease / 10)
        return self._renewed is not None and self._clock() < self._renewed + self._timing.lease - margin

    async def win(self) -> None:
        """Wait until this replica holds the Lease."""
        while True:
            if await self._try():
                break
            await asyncio.sleep(self._timing.retry)
        log.info("This replica tells callbacks: %s holds the Lease %s", self.identity, self._name)

    async def keep(self) -> None:
        """Renew the Lease; returns when that has failed for too long, or somebody else has it."""
        while True:
            await asyncio.sleep(self._timing.retry)
            left = self._left()
            if left > 0:
                try:
                    async with asyncio.timeout(left):
                        await self._try()
                except TimeoutError:
                    pass
            if self._left() <= 0:
                log.warning("The Lease %s is lost; another replica tells callbacks", self._name)
                self._renewed = None
                return

    async def release(self) -> None:
        """Give the Lease up, so that another replica need not wait."""
        if self._renewed is None:
            return
        self._renewed = None
        try:
            lease = await self._api.get(LEASES, self._name)
            if lease["spec"].get("holderIdentity") == self.identity:
                lease["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _now()}
                await self._api.once("PUT", LEASES, self._name, lease)
        except ApiError as error:
            log.warning("The Lease %s was not given up and will run out: %s", self._name, error)

    def _left(self) -> float:
        return float("-inf") if self._renewed is None else self._renewed + self._timing.renew - self._clock()

    async def _try(self) -> bool:
        """Take or renew the Lease if that is possible now; tell whether it is ours."""
        started = self._clock()  # the Lease lasts from before the request, not from its answer
        try:
            lease = await self._api.find(LEASES, self._name)
            if lease is None:
                claim = {**self._claim(), "acquireTime": _now(), "leaseTransitions": 0}
                await self._api.once("POST", LEASES, "", {"metadata": {"name": self._name}, "spec": claim})
            elif not await self._take(lease):
                self._renewed = None
                return False
        except (AlreadyExists, Changed):
            return False
        except ApiError as error:
            log.warning("The Lease %s: %s", self._name, error)
            return False
        self._renewed = started
        return True

    async def _take(self, lease: Json) -> bool:
        spec = lease.setdefault("spec", {})
        holder = spec.get("holderIdentity") or ""
        if holder not in ("", self.identity) and not self._has_run_out(lease):
            return False
        if holder != self.identity:
            spec |= {"acquireTime": _now(), "leaseTransitions": spec.get("leaseTransitions", 0) + 1}
        # The version read before travels with the body: of two takers, one gets a conflict.
        await self._api.once("PUT", LEASES, self._name, {**lease, "spec": spec | self._claim()})
        return True

    def _claim(self) -> Json:
        seconds = max(1, round(self._timing.lease))
        return {"holderIdentity": self.identity, "leaseDurationSeconds": seconds, "renewTime": _now()}

    def _has_run_out(self, lease: Json) -> bool:
        # Clocks of machines differ: what counts is for how long we have seen no change.
        version = str(lease["metadata"]["resourceVersion"])
        if self._seen is None or self._seen[0] != version:
            self._seen = (version, self._clock())
        lasts = float(lease["spec"].get("leaseDurationSeconds") or self._timing.lease)
        return self._clock() - self._seen[1] >= lasts


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
