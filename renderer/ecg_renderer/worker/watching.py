"""What the pods of a job do for those who watch it: cells are in the store anyway, so only the sound and a list of all.

The service reads the list (`Assignment.live_name`) and looks which of its pieces are there. Each segment's pod cuts the
sound of its own cells, and of those before it that are in the store already; together they cut all of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

from ecg_renderer.errors import RenderError
from ecg_renderer.event_stream import sound_pieces
from ecg_renderer.preparation import PreparedJob
from ecg_renderer.storage import CellStore
from ecg_renderer.worker.live import Live
from ecg_renderer.worker.pod import Assignment


@asynccontextmanager
async def watched(
    assignment: Assignment, prepared: PreparedJob, segment: int | None, folder: Path, live: Live
) -> AsyncIterator[None]:
    """List what there will be to watch, if the job says so, and add the sound of a segment, or all, meanwhile.

    `prepared` has the encoder that was agreed on. What fails is a warning.
    """
    if assignment.job.spec.live is None:
        yield
        return
    scratch = folder / "sound"
    scratch.mkdir()
    store = CellStore(assignment.cells_uri)
    sound = asyncio.create_task(_watched(assignment, prepared, _cells(prepared, segment), scratch, store, live))
    try:
        yield
        await sound
    finally:
        sound.cancel()
        await asyncio.gather(sound, return_exceptions=True)


def _cells(prepared: PreparedJob, segment: int | None) -> range:
    """Return the cells whose sound is cut with a segment: up to those of the next one, with the first from 0 on."""
    plan = prepared.plan
    if segment is None:
        return range(len(plan.cells))
    starts = [plan.cells_of(part).start for part in plan.segments]
    return range(starts[segment] if segment else 0, [*starts, len(plan.cells)][segment + 1])


async def _watched(
    assignment: Assignment, prepared: PreparedJob, cells: range, scratch: Path, store: CellStore, live: Live
) -> None:
    stream = prepared.live_stream
    await store.note(assignment.live_name, stream.model_dump_json().encode())
    try:
        async with aclosing(sound_pieces(prepared, cells, scratch, store)) as pieces:
            async for _ in pieces:
                pass
    except RenderError as error:
        live.warn(f"The live stream goes on without sound: {error.message}")
        silent = stream.model_copy(update={"sound": []})
        await store.note(assignment.live_name, silent.model_dump_json().encode())
