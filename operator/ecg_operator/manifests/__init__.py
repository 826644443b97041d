"""The Jobs that the operator creates, as plain manifests.

jobs ── pods ── environment     what the pod's process is told
          └──── overrides       what a user may change about a segment's pod
"""

from ecg_operator.manifests.jobs import Owner, Round, clean_job, goes_on, merge_job, plan_job, segment_job
from ecg_operator.manifests.overrides import override_problems, placement_problems
from ecg_operator.manifests.pods import memory_limit

__all__ = [
    "Owner", "Round", "clean_job", "goes_on", "memory_limit", "merge_job", "override_problems",
    "placement_problems", "plan_job",
    "segment_job",
]  # fmt: skip
