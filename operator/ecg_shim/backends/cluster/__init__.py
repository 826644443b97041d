"""The service in a cluster: RenderJobs, which the operator carries out, and a ticket for each job id.

submit ─> ticket ─ reconciler ─> RenderJob ─ operator ─> pods
            └── outbox <─ relay <─ changes ┘

Every replica answers requests. One of them, the holder of a Lease, makes RenderJobs of tickets and tells callbacks.
"""

from ecg_shim.backends.cluster.backend import ClusterBackend
from ecg_shim.backends.cluster.settings import ClusterSettings

__all__ = ["ClusterBackend", "ClusterSettings"]
