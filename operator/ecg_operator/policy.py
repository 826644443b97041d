"""What the operator's settings say about every job: numbers and names for decisions and manifests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ecg_api.names import GPU_RESOURCE
from ecg_common.profiles import NO_PROFILES, StorageProfiles
from ecg_operator.prices import Prices

Resources = Mapping[str, Mapping[str, str]]


def _resources(cpu: str, memory: str, memory_limit: str) -> Resources:
    # No CPU limit: throttling Chromium and FFmpeg would only make every job slower.
    return MappingProxyType({"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": memory_limit}})


@dataclass(frozen=True)
class Policy:
    """Settings that decisions and manifests depend on.

    Attributes:
        renderer_image: image of all pods; its entry point is `ecg-render`.
        work_uri: folder for the work files of all jobs, `s3://bucket/prefix` or `file://`.
        worker_secret: name of a Secret in the job's namespace whose entries become environment variables of the
            pods (AWS_ACCESS_KEY_ID, ...); empty for none.
        worker_env: further environment variables of the pods; nothing secret.
        storage: named places for results and how pods reach them.
        plugin_origin, plugin_origins: where jobs that name no origin get their plugins from, and what origins they may
            name, as the pods that plan read it.
        private_addresses: `refuse` or `allow`: whether what jobs name by https:// may be at private addresses.
        service_account: ServiceAccount of the pods, for clouds that hand out storage access by it; empty for
            the namespace's default. Its token is never mounted.
        segment_resources: requests and limits of a segment's container unless the RenderJob says others. The
            memory limit includes /dev/shm.
        on_demand_node_selector: labels of nodes that are not taken away; empty: no rescue rounds.
        do_not_disrupt: for how long from its start Karpenter leaves a pod where it is, such as 30m, or `true`; empty:
            not at all.
        shm_size: size limit of the memory-backed /dev/shm of a segment's pod, a Kubernetes quantity.
        scratch_size: size limit of /tmp, a Kubernetes quantity.
        scratch_request: disk that a pod asks for, so that nodes are not filled until pods are evicted;
            empty for none.
        gpu_resource: what the cluster calls a GPU, or the share of one that a segment gets.
        user_id: user and group of the pods' processes.
        ttl_succeeded_seconds: how long a RenderJob that has succeeded is kept if it does not say; None: for ever.
        ttl_failed_seconds: the same for one that has failed or was cancelled.
        most_segments: a plan makes at most so many segments, if the manifest does not say less.
        progress_seconds: progress alone is written at most every so many seconds.
        prices: what nodes cost; None: nobody knows.
        stop_grace_seconds: how long pods of cancelled and failed jobs may take to end.
        start_seconds: for so long a starting pod is nothing to talk about.
        reference_seconds: for so long a ConfigMap may be missing after its RenderJob was created.
        unseen_seconds: for so long the report of a finished Job may be missing.
        lost_pod_seconds: a pod that is still there so long after it should have ended is on a dead node.
        backstop_seconds: a Job's own deadline is so much later than the RenderJob's.
        clean_ttl_seconds: how long a finished clean Job stays.
        clean_wait_seconds: how long a queue (Kueue) may hold a clean Job back before the work files are left.
    """

    renderer_image: str
    work_uri: str
    image_pull_policy: str = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()
    worker_secret: str = ""
    worker_env: Mapping[str, str] = field(default_factory=dict)
    storage: StorageProfiles = NO_PROFILES
    plugin_origin: str = ""
    plugin_origins: str = ""
    private_addresses: str = "refuse"
    service_account: str = ""
    plan_resources: Resources = field(default_factory=lambda: _resources("500m", "512Mi", "2Gi"))
    segment_resources: Resources = field(default_factory=lambda: _resources("2", "3Gi", "6Gi"))
    merge_resources: Resources = field(default_factory=lambda: _resources("500m", "512Mi", "2Gi"))
    clean_resources: Resources = field(default_factory=lambda: _resources("100m", "128Mi", "512Mi"))
    on_demand_node_selector: Mapping[str, str] = field(default_factory=dict)
    do_not_disrupt: str = "30m"
    shm_size: str = "1Gi"
    scratch_size: str = "20Gi"
    scratch_request: str = "2Gi"
    gpu_resource: str = GPU_RESOURCE
    user_id: int = 10001
    ttl_succeeded_seconds: int | None = None
    ttl_failed_seconds: int | None = None
    most_segments: int = 64
    progress_seconds: float = 3.0
    prices: Prices | None = None
    stop_grace_seconds: int = 2
    start_seconds: float = 7.0
    reference_seconds: float = 5.0
    unseen_seconds: float = 30.0
    lost_pod_seconds: float = 60.0
    backstop_seconds: int = 600
    clean_ttl_seconds: int = 300
    clean_wait_seconds: int = 3600

    def time_to_live(self, seconds: int | None, *, succeeded: bool) -> int | None:
        """Return how long a RenderJob is kept whose spec says `seconds`, or nothing; None: for ever."""
        if seconds is not None:
            return seconds
        return self.ttl_succeeded_seconds if succeeded else self.ttl_failed_seconds

    def work_folder(self, namespace: str, name: str, uid: str) -> str:
        """Return where the work files of one RenderJob are."""
        return f"{self.work_uri.rstrip('/')}/{namespace}/{name}-{uid}"

    def cells_folder(self, namespace: str) -> str:
        """Return where the RenderJobs of a namespace keep finished pieces of video for each other."""
        return f"{self.work_uri.rstrip('/')}/{namespace}/cells"


Manifest = dict[str, Any]
