"""What a person's command sees of the outbox, without a replica of the service around it."""

from __future__ import annotations

from ecg_cluster.connection import load_connection, own_namespace
from ecg_shim.backends.cluster.api import Api
from ecg_shim.backends.cluster.board import Board
from ecg_shim.backends.cluster.outbox import ClusterOutbox
from ecg_shim.relay.records import CallbackRecord


class ClusterLetters:
    """Ends of jobs that could not be told, and how to have them told again.

    Args:
        namespace: of the service; empty for the pod's own.
    """

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace

    async def open(self) -> None:
        """Read what is there. Raises Unavailable."""
        self._api = Api(await load_connection(), self._namespace or own_namespace())
        self._outbox = ClusterOutbox(self._api, Board(self._api), lambda: 0.0)
        try:
            await self._outbox.open()
        except BaseException:
            await self._api.close()
            raise

    async def close(self) -> None:
        """Close the connection."""
        await self._api.close()

    async def dead(self) -> list[CallbackRecord]:
        """Return the records whose job's end was given up."""
        return await self._outbox.dead()

    async def ask_for_replay(self, job_id: str) -> None:
        """Ask the replica that tells callbacks to send the end of a job once more. Raises Unavailable."""
        await self._outbox.ask_for_replay(job_id)
