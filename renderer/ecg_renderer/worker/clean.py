"""`ecg-render worker clean`: remove the work files of a job that ended early."""

from __future__ import annotations

from ecg_api.pods import CleanReport
from ecg_renderer.storage import Work
from ecg_renderer.worker.live import Live


async def clean_job(work_uri: str, live: Live) -> CleanReport:
    """Remove all work files below `work_uri`; that there are none is success too."""
    files = await Work(work_uri).do(lambda store: store.clean())
    live.say(f"{files} work files removed." if files else "There were no work files.")
    return CleanReport(files=files)
