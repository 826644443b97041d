"""How a pod ended, said to whoever started it: in its termination message, and as one line on standard output."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ecg_api.names import TERMINATION_LOG
from ecg_api.pods import MergeReport, Report, encode_report
from ecg_renderer.storage.base import printable


def termination_log(wanted: str | None) -> Path | None:
    """Return the file for the termination message: the one that is named, Kubernetes' own if it is there, or None."""
    if wanted:
        return Path(wanted)
    kubernetes = Path(TERMINATION_LOG)
    return kubernetes if kubernetes.exists() else None


def leave_report(report: Report, log: Path | None, warn: Callable[[str], None]) -> None:
    """Write `report` as the termination message if there is a file for it; that it cannot be written is a warning."""
    if log is None:
        return
    try:
        # In place: the runtime mounted this very file and reads it when the container has ended.
        with log.open("w") as file:
            file.write(encode_report(report))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        warn(f"The termination message cannot be written to {log}: {error.strerror}.")


def printed(report: Report) -> str:
    """Return `report` as the line for the log, in which an address carries no signature."""
    if isinstance(report, MergeReport) and report.output.url:
        output = report.output.model_copy(update={"url": printable(report.output.url)})
        report = report.model_copy(update={"output": output})
    return encode_report(report)
