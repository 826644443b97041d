"""What the pods of a job make, size by size: each take has a plan of its own, and its segments follow the others'.

main video         plan.json     scenario.json     encoder.json      segments 0 to 3
the first other    plan-1.json   scenario-1.json   encoder-1.json    segments 4 and 5
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ecg_api.plan import SegmentPlan
from ecg_renderer.errors import ManifestError
from ecg_renderer.preparation import PreparedJob
from ecg_renderer.results import Take, takes_of
from ecg_renderer.storage import Work
from ecg_renderer.worker.assignment import Assignment
from ecg_renderer.worker.work import load_job, load_prepared


@dataclass(frozen=True)
class PlannedTake:
    """A take as it was planned: the `number`th of its job, whose segments are counted from `first` on."""

    number: int
    take: Take
    prepared: PreparedJob
    first: int

    def folder(self, scratch: Path) -> Path:
        """Return the folder for its cells below `scratch`, which is made if it is missing."""
        folder = scratch / f"take-{self.number}"
        folder.mkdir(exist_ok=True)
        return folder

    def segment(self, number: int) -> SegmentPlan:
        """Return the segment that has `number` among all of the job."""
        return self.prepared.plan.segments[number - self.first]


async def load_takes(work: Work, assignment: Assignment) -> list[PlannedTake]:
    """Return the takes of a job as the plan pod prepared them; raises as `load_job` does."""
    main = await load_job(work, assignment)
    takes = takes_of(assignment.job, main.source)
    planned = [PlannedTake(0, takes[0], replace(main, job=takes[0].job), 0)]
    for number, take in enumerate(takes[1:], 1):
        prepared = await load_prepared(work, take.job, main.source_url, number)
        planned.append(PlannedTake(number, take, prepared, segments_of(planned)))
    return planned


def segments_of(takes: Sequence[PlannedTake]) -> int:
    """Return how many segments takes have together."""
    return sum(len(take.prepared.plan.segments) for take in takes)


def take_with(takes: Sequence[PlannedTake], segment: int) -> PlannedTake:
    """Return the take that a segment belongs to; raises ManifestError if there is no such segment."""
    for take in takes:
        if segment < take.first + len(take.prepared.plan.segments):
            return take
    raise ManifestError(f"There is no segment {segment}: the plan has {segments_of(takes)}, from 0 on.")
