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

GPU_RESOURCE = "nvidia.com/gpu"
"""What clusters call a GPU, unless settings say otherwise; also how nodes with GPUs are tainted by custom, whatever the
shares of a GPU are called."""
CONTAINER = "renderer"
"""The container of each pod that does the work and writes the termination message."""

# What pods are told, and how they answer; see ecg_api.pods.
PROGRESS_PORT = 8091
TERMINATION_LOG = "/dev/termination-log"
PROGRESS_PORT_VARIABLE = "ECG_PROGRESS_PORT"
TERMINATION_LOG_VARIABLE = "ECG_TERMINATION_LOG"

JOB_VARIABLE = "ECG_RENDER_JOB"
"""The RenderJob as JSON, without status; inline scenarios only in the plan pod's."""
WORK_VARIABLE = "ECG_WORK_URI"
"""Folder of this job's work files, `s3://bucket/prefix/namespace/name-uid` or `file://`."""
SEGMENTS_VARIABLE = "ECG_SEGMENTS"
"""Segments of this round, as ranges: `0-3,7`. The pod's completion index counts within them."""
GIVEN_UP_VARIABLE = "ECG_GIVEN_UP"
"""Segments that could not be rendered, as ranges: the merge leaves out the sizes that they belong to."""
INDEX_VARIABLE = "JOB_COMPLETION_INDEX"
"""The pod's completion index; set by Kubernetes."""
SCENARIO_FILE_VARIABLE = "ECG_SCENARIO_FILE"
"""Path of the mounted ConfigMap entry with the scenario; JSON, or JSON compressed by gzip."""
CELLS_VARIABLE = "ECG_CELLS_URI"
"""Folder of the finished pieces of video that jobs of a namespace share, `s3://bucket/prefix/namespace/cells`; without
it a job keeps them among its own work files."""
MOST_SEGMENTS_VARIABLE = "ECG_MOST_SEGMENTS"
"""The plan makes at most so many segments, if the manifest does not say less."""
GO_ON_VARIABLE = "ECG_GO_ON"
"""`true`: the pod that plans goes on with the segment of a short video."""
PLUGIN_ORIGIN_VARIABLE = "ECG_PLUGIN_ORIGIN"
"""The origin of plugins of jobs that name none; empty: the renderer's own plugins."""
PLUGIN_ORIGINS_VARIABLE = "ECG_PLUGIN_ORIGINS"
"""Origins of plugins that jobs may name, with commas between."""
PRIVATE_ADDRESSES_VARIABLE = "ECG_PRIVATE_ADDRESSES"
"""`refuse`: what a job names on the web must be at public addresses; `allow`: it may be anywhere but where clouds keep
secrets."""

SIGTERM_EXIT_CODE = 143
"""How a pod ends that was told to stop: counted as a try, never as a failure that would repeat."""


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
