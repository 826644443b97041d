"""What can be set about the service in a cluster."""

from __future__ import annotations

from dataclasses import dataclass, field

from ecg_api.names import GPU_RESOURCE
from ecg_cluster.election import LeaseTiming

DAY = 86_400


@dataclass(frozen=True)
class ClusterSettings:
    """Settings of the backend.

    Attributes:
        namespace: of RenderJobs and tickets; empty for the pod's own.
        kubeconfig: file that says where the cluster is; empty for the usual places.
        bucket: for finished videos, which pods write, at rendered/<job id>/output.<format>.
        public_base_url: address under which the bucket is published; None for presigned addresses.
        public_url: of this service, to tell addresses of videos that last; empty: what the pods have signed is told.
        scenario_store: where large scenarios go: `s3`, `configmap`, or `auto` for S3 if there are credentials for it.
        active_seconds: from admission to the result; then a job has failed.
        ttl_seconds: how long finished RenderJobs are kept.
        keep_seconds: how long jobs without a RenderJob are kept, that were refused or cancelled early; the oldest go
            before if there are more than `max_waiting`.
        tombstone_seconds: how long the cancellation of a job that is not there yet is remembered.
        max_concurrent: how many jobs the operator runs at a time, for estimates.
        max_waiting: most jobs that wait, for their turn or to be told of, and most that are kept without a RenderJob.
        max_tombstones: most cancellations of unknown jobs that are remembered.
        gpu_resource: what the cluster calls a GPU, for /health.
        gpus: for each segment; 0 encodes on the CPU.
        lease_name: of the replica that tells callbacks.
        timing: of that Lease.
        operator_lease: its namespace and name, to see whether an operator is there.
        stale_seconds: after which an operator's Lease that is not renewed belongs to nobody.
    """

    bucket: str
    namespace: str = ""
    kubeconfig: str = ""
    public_base_url: str | None = None
    presign_seconds: int = 7 * DAY
    public_url: str = ""
    scenario_store: str = "auto"
    active_seconds: int = 1800
    ttl_seconds: int = 7 * DAY
    keep_seconds: float = 7 * DAY
    tombstone_seconds: float = 3600.0
    max_concurrent: int = 50
    max_waiting: int = 20_000
    max_tombstones: int = 1000
    gpu_resource: str = GPU_RESOURCE
    gpus: int = 1
    lease_name: str = "ecg-relay"
    timing: LeaseTiming = field(default_factory=LeaseTiming)
    operator_lease: tuple[str, str] = ("", "ecg-operator")
    stale_seconds: float = 60.0
