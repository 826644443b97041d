"""What the reconciler waits for meanwhile: hosts of videos, which may take a minute."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from ecg_api.failures import Failure
from ecg_shim.backends.cluster.tickets import Ticket
from ecg_shim.model import Admission, RenderOrder, RequestOptions

Verdict = str | Failure
"""Where the video is, or why the job cannot be rendered."""


class Admissions:
    """One task for each job that is looked at; how many do so at a time is the look's own business.

    Args:
        admit: the look; None takes every video as it is named.
        decided: told the name of each job about which a verdict is there now.
    """

    def __init__(self, admit: Admission | None, decided: Callable[[str], None]) -> None:
        self._admit = admit
        self._decided = decided
        self._tasks: dict[str, tuple[datetime, asyncio.Task[RenderOrder | Failure]]] = {}

    def verdict(self, name: str, ticket: Ticket) -> Verdict | None:
        """Return the verdict about a job; None, and begin to look, while there is none."""
        if self._admit is None:
            return ticket.video_url
        submitted_at, task = self._tasks.get(name, (None, None))
        if task is None or submitted_at != ticket.submitted_at:
            self.forget(name)
            task = asyncio.create_task(self._admit(_order(ticket)), name=f"admission of {name}")
            self._tasks[name] = (ticket.submitted_at, task)
            task.add_done_callback(lambda _: self._decided(name))
        if not task.done():
            return None
        admitted = task.result()
        return admitted if isinstance(admitted, Failure) else admitted.video_url

    def forget(self, name: str) -> None:
        """End the look at a job that waits no more."""
        _, task = self._tasks.pop(name, (None, None))
        if task is not None:
            task.cancel()

    async def close(self) -> None:
        """End all looks."""
        tasks = [task for _, task in self._tasks.values()]
        for name in list(self._tasks):
            self.forget(name)
        await asyncio.gather(*tasks, return_exceptions=True)


def _order(ticket: Ticket) -> RenderOrder:
    return RenderOrder(
        job_id=ticket.job_id,
        video_url=ticket.video_url,
        scenario=b"",  # it is in its place already, and nothing about it is left to decide
        options=RequestOptions.model_validate(ticket.options),
        callback_url=ticket.callback_url,
        payload_hash=ticket.payload_hash,
    )
