"""Names that the operator, its pods and people share: labels, and the names of a RenderJob's children.

RenderJob clip ─┬─ Job clip-plan
                ├─ Job clip-seg-0     the first round: every segment
                ├─ Job clip-seg-1     a later round: what is missing after a resume or a rescue
                ├─ Job clip-merge
                └─ Job clip-clean          removes the work files of a job that ended early
"""

from __future__ import annotations

from enum import StrEnum

MANAGED_BY = "app.kubernetes.io/managed-by"
OPERATOR = "ecg-render"
JOB_LABEL = "render.ecg.dev/job"
UID_LABEL = "render.ecg.dev/uid"
ROLE_LABEL = "render.ecg.dev/role"
ROUND_LABEL = "render.ecg.dev/round"
SEGMENTS_ANNOTATION = "render.ecg.dev/segments"
"""On a segment Job: the segments of its round, as ranges; completion index i is the i-th of them."""
ON_DEMAND_ANNOTATION = "render.ecg.dev/on-demand"
"""On a segment Job: `true` if its pods accept on-demand nodes only."""

CONTAINER = "renderer"
"""The container of each pod that does the work and writes the termination message."""


class Role(StrEnum):
    """What a child Job does."""

    PLAN = "plan"
    SEGMENTS = "segments"
    MERGE = "merge"
    CLEAN = "clean"


def child_name(job: str, role: Role, round_number: int = 0) -> str:
    """Return the name of a child Job of the RenderJob `job`; always the same one, so that creating is idempotent."""
    # Short, since the host name of a pod adds a segment's number, and 63 characters are the most.
    return f"{job}-seg-{round_number}" if role is Role.SEGMENTS else f"{job}-{role}"
