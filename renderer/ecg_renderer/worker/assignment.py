"""What a pod is told: the job, where its work files are, and which segment is its own."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from ecg_api.names import INDEX_VARIABLE, JOB_VARIABLE, SEGMENTS_VARIABLE, WORK_VARIABLE
from ecg_api.pods import WorkFiles
from ecg_api.ranges import parse_ranges
from ecg_api.renderjob import RenderJob
from ecg_renderer.errors import ManifestError
from ecg_renderer.manifest import Manifest, checked_job, read_manifest

"""Set by Kubernetes in the pods of an Indexed Job."""


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
