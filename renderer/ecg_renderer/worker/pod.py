"""A pod: what it is told (the job, its work files, its segment), where it may write, and how it says that it ended."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ecg_api.names import (
    GIVEN_UP_VARIABLE,
    INDEX_VARIABLE,
    JOB_VARIABLE,
    SEGMENTS_VARIABLE,
    TERMINATION_LOG,
    WORK_VARIABLE,
)
from ecg_api.pods import CleanReport, MergeReport, PlanReport, Report, SegmentReport, WorkFiles, encode_report
from ecg_api.ranges import parse_ranges
from ecg_api.renderjob import RenderJob
from ecg_api.status import OutputStatus, RenditionStatus
from ecg_common.folders import cache_folder
from ecg_renderer.errors import ManifestError, RenderError
from ecg_renderer.manifest import Manifest, checked_job, read_manifest
from ecg_renderer.storage import Work
from ecg_renderer.storage.base import printable, refusal
from ecg_renderer.worker.live import Live

R = TypeVar("R", OutputStatus, RenditionStatus)


@dataclass(frozen=True)
class Assignment:
    """A job and where its work files are; relative paths in its manifest start at `base`.

    `cells_uri` is the folder of finished pieces of video: the namespace's, or one among the job's own work files.
    """

    job: RenderJob
    base: Path
    work_uri: str
    cells_uri: str

    @property
    def live_name(self) -> str:
        """The note in the store of cells that tells the service what there is to watch of this job."""
        return f"live/{self.output_key}.json"

    @property
    def output_key(self) -> str:
        """A text that tells the output file of this job, while it is written, from that of any other."""
        return hashlib.sha256(self.work_uri.encode()).hexdigest()


def read_assignment(
    text: str | None, path: str | None, work: str | None, cells: str | None, *, with_scenario: bool
) -> Assignment:
    """Return what a pod is to work on.

    `work` and `cells` are folders: of the job's work files, of pieces that jobs share. `text` is the RenderJob as
    JSON; `path`, a manifest file, takes its place where a person tries it. Without `with_scenario` the job's own
    scenario is left out: it was prepared by the plan pod, and no other pod is given it. Raises ManifestError or
    OptionsError.
    """
    work_uri = read_work_uri(work)
    if path:
        manifest = read_manifest(path)
    elif text:
        manifest = Manifest(checked_job(_job_data(text, with_scenario=with_scenario), JOB_VARIABLE), Path.cwd())
    else:
        raise ManifestError(
            f"There is no job: {JOB_VARIABLE} is not set.", hint="Set it to the RenderJob as JSON, or give --job FILE."
        )
    own = f"{work_uri.rstrip('/')}/{WorkFiles.CELLS}"
    shared = folder_uri(cells) if cells and manifest.job.spec.reuse else own
    return Assignment(manifest.job, manifest.base, work_uri, shared)


def read_work_uri(work: str | None) -> str:
    """Return the address of the work files' folder; a plain path becomes one. Raises ManifestError for none."""
    if not work:
        raise ManifestError(
            f"There is no place for work files: {WORK_VARIABLE} is not set.",
            hint="Set it to s3://bucket/folder or file:///folder, or give --work.",
        )
    return folder_uri(work)


def folder_uri(folder: str) -> str:
    """Return the address of a folder that is an address already, or a path."""
    return folder if "://" in folder else Path(folder).absolute().as_uri()


def segments_given_up(segments: str | None) -> frozenset[int]:
    """Return the segments that nobody renders; raises ManifestError."""
    try:
        return parse_ranges(segments or "")
    except ValueError:
        raise ManifestError(
            f"{GIVEN_UP_VARIABLE} is {segments!r}, which is no list of segments.", hint="Write ranges, such as 4-5."
        ) from None


def segment_number(segments: str | None, index: int | None) -> int:
    """Return which segment the pod with completion index `index` renders of the round's `segments` (`0-3,7`).

    Raises ManifestError.
    """
    try:
        numbers = sorted(parse_ranges(segments or ""))
    except ValueError:
        raise ManifestError(
            f"{SEGMENTS_VARIABLE} is {segments!r}, which is no list of segments.", hint="Write ranges, such as 0-3,7."
        ) from None
    if not numbers:
        raise ManifestError(f"There is no segment to render: {SEGMENTS_VARIABLE} is not set.")
    if index is None:
        if len(numbers) > 1:
            raise ManifestError(
                f"Which of the segments {segments} is meant? {INDEX_VARIABLE} is not set.",
                hint="Kubernetes sets it in an Indexed Job; elsewhere give --segments a single number.",
            )
        index = 0
    if not 0 <= index < len(numbers):
        raise ManifestError(f"{INDEX_VARIABLE} is {index}, but {SEGMENTS_VARIABLE} lists {len(numbers)} segments.")
    return numbers[index]


def _job_data(text: str, *, with_scenario: bool) -> object:
    try:
        data = json.loads(text)
    except ValueError as error:
        raise ManifestError(f"{JOB_VARIABLE} is not JSON: {error}.") from None
    if not with_scenario and isinstance(data, dict) and isinstance(data.get("spec"), dict):
        return {**data, "spec": {**data["spec"], "scenario": {"inline": {}}}}
    return data


# --- a folder for this pod alone ------------------------------------------------------------------


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Give an empty folder, and remove it with all that is in it; raises StorageError if none can be made."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="ecg-worker-")
    except OSError as error:
        raise _no_scratch(error) from error
    with folder as path:
        yield Path(path)


@contextmanager
def writable_caches() -> Iterator[None]:
    """Let caches go to TMPDIR for the duration of the block, if they cannot be in the home directory.

    They are Chromium's, fontconfig's, the capture's self-check, and outputs on their way to storage. A pod has a
    read-only root, and a user who need not have a home. Browsers that Playwright keeps in the cache are still found.
    """
    cache = cache_folder().parent
    if not str(cache).startswith("~") and _can_be_made(cache):
        yield
        return
    with scratch_folder() as folder:
        browsers = cache / "ms-playwright"
        if os.access(browsers, os.R_OK):
            os.environ.setdefault("PLAYWRIGHT_BROWSERS_PATH", str(browsers))
        os.environ["XDG_CACHE_HOME"] = os.environ["HOME"] = str(folder)
        yield


def _can_be_made(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _no_scratch(error: OSError) -> RenderError:
    return refusal(error, "make a scratch folder in", Path(os.environ.get("TMPDIR") or "/tmp"))  # noqa: S108


# --- how a pod ended, for whoever started it ------------------------------------------------------


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
    """Return `report` as the line for the log, in which no address carries a signature."""
    if isinstance(report, MergeReport):
        report = _unsigned(report)
    elif isinstance(report, SegmentReport) and report.merged:
        report = report.model_copy(update={"merged": _unsigned(report.merged)})
    elif isinstance(report, PlanReport) and report.rendered and report.rendered.merged:
        rendered = report.rendered.model_copy(update={"merged": _unsigned(report.rendered.merged)})
        report = report.model_copy(update={"rendered": rendered})
    return report.model_dump_json(exclude_none=True)


def _unsigned(report: MergeReport) -> MergeReport:
    def plain(output: R) -> R:
        return output.model_copy(update={"url": printable(output.url)}) if output.url else output

    return report.model_copy(update={"output": plain(report.output), "outputs": [plain(one) for one in report.outputs]})


# --- a job that ended early -----------------------------------------------------------------------


async def clean_job(work_uri: str, live: Live) -> CleanReport:
    """Remove all work files below `work_uri`; that there are none is success too."""
    files = await Work(work_uri).do(lambda store: store.clean())
    live.say(f"{files} work files removed." if files else "There were no work files.")
    return CleanReport(files=files)
