"""What one replica does for all: make RenderJobs of tickets, and tell callbacks; while it holds the Lease.

win the Lease ─> relay goes on from the outbox ─> desk ─┬─ Lease lost ─────> stop both, try again
                                                        └─ service stopped ─> stop both, give the Lease up
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from ecg_cluster.election import Election
from ecg_shim.backends.cluster.board import Board
from ecg_shim.backends.cluster.desk import Answered, Desk
from ecg_shim.backends.cluster.outbox import ClusterOutbox
from ecg_shim.model import Unavailable
from ecg_shim.relay import Outbox, Relay

log = logging.getLogger(__name__)

AGAIN_SECONDS = 2.0

MakeRelay = Callable[[Outbox], Relay]
MakeDesk = Callable[[Answered], Desk]


class Duty:
    """Does it, again and again.

    Args:
        make_relay: called for each term of office, with the outbox to work from.
    """

    def __init__(
        self, election: Election, board: Board, outbox: ClusterOutbox, make_desk: MakeDesk, make_relay: MakeRelay
    ) -> None:
        self._election = election
        self._board = board
        self._outbox = outbox
        self._make_desk = make_desk
        self._make_relay = make_relay

    @property
    def on(self) -> bool:
        """Whether this replica does it now."""
        return self._election.leads

    async def run(self) -> None:
        """Be on duty whenever no other replica is, for ever."""
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
        await self._board.synced()
        keep = asyncio.create_task(self._election.keep(), name="lease")
        relay = self._make_relay(self._outbox)
        try:
            await relay.start()

            async def answered(job_id: str, mark: str) -> None:
                self._outbox.hear(job_id, mark)
                await relay.answered(job_id)

            desk = asyncio.create_task(self._make_desk(answered).run(), name="desk")
            silent = asyncio.create_task(relay.tasks.ended(), name="end of the relay")
            try:
                await asyncio.wait((keep, desk, silent), return_when=asyncio.FIRST_COMPLETED)
            finally:
                desk.cancel()
                silent.cancel()
                # Not `await desk` with its cancellation suppressed: that would suppress one of this task, too.
                await asyncio.wait([desk, silent])
            if not desk.cancelled():
                await desk
        finally:
            # While the Lease is still ours: answers to what is on its way are noted.
            await relay.close()
            keep.cancel()
            await asyncio.wait([keep])
