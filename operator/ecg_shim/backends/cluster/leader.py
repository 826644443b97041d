"""Leader election: what one replica does for all, reconciler and relay, while it holds the Lease.

win the Lease ─> relay goes on from the outbox ─> reconciler ─┬─ Lease lost ─────> stop both, try again
                                                              └─ service stopped ─> stop both, give the Lease up
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from ecg_cluster.election import Election
from ecg_shim.backends.cluster.outbox import ClusterOutbox
from ecg_shim.backends.cluster.reconciler import Reconciler
from ecg_shim.backends.cluster.store import JobCache
from ecg_shim.model import Unavailable
from ecg_shim.relay import Outbox, Relay

log = logging.getLogger(__name__)

AGAIN_SECONDS = 2.0

MakeRelay = Callable[[Outbox], Relay]
MakeReconciler = Callable[[], Reconciler]


class Leader:
    """Runs them, again and again.

    Args:
        make_relay: called for each time as the leader, with the outbox to work from.
    """

    def __init__(
        self,
        election: Election,
        cache: JobCache,
        outbox: ClusterOutbox,
        make_reconciler: MakeReconciler,
        make_relay: MakeRelay,
    ) -> None:
        self._election = election
        self._cache = cache
        self._outbox = outbox
        self._make_reconciler = make_reconciler
        self._make_relay = make_relay

    async def run(self) -> None:
        """Lead whenever no other replica does, for ever."""
        try:
            while True:
                await self._election.win()
                try:
                    await self._serve()
                except Unavailable as problem:
                    log.error("Callbacks cannot be told now: %s", problem)
                except Exception:
                    log.exception("Telling callbacks; it begins anew")
                await self._election.release()
                await asyncio.sleep(AGAIN_SECONDS)
        finally:
            await self._election.release()

    async def _serve(self) -> None:
        """Work until the Lease is lost. Raises Unavailable."""
        await self._cache.synced()
        keep = asyncio.create_task(self._election.keep(), name="lease")
        relay = self._make_relay(self._outbox)
        try:
            await relay.start()

            reconciler = asyncio.create_task(self._make_reconciler().run(), name="reconciler")
            silent = asyncio.create_task(relay.tasks.ended(), name="end of the relay")
            try:
                await asyncio.wait((keep, reconciler, silent), return_when=asyncio.FIRST_COMPLETED)
            finally:
                reconciler.cancel()
                silent.cancel()
                # Not `await reconciler` with its cancellation suppressed: that would suppress one of this task, too.
                await asyncio.wait([reconciler, silent])
            if not reconciler.cancelled():
                await reconciler
        finally:
            # While the Lease is still ours: answers to what is on its way are noted.
            await relay.close()
            keep.cancel()
            await asyncio.wait([keep])
