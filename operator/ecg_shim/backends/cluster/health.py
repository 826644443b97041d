"""What /health says about the cluster, the operator's Lease and GPUs: asked every few seconds, told at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from ecg_cluster.client import LEASES, NODES, Json
from ecg_cluster.errors import ApiError, Refused
from ecg_cluster.quantities import amount
from ecg_shim.backends.cluster.api import Api

SECONDS = 10.0
SECONDS_FOR_NODES = 60.0


class Health:
    """What was seen last.

    Args:
        operator: a connection to the operator's namespace.
        lease: name of the operator's Lease.
        gpu_resource: what the cluster calls a GPU.
        stale_seconds: a Lease that has been seen unchanged for so long belongs to nobody.

    Attributes:
        problems: sentences; empty when all is well.
        gpus: by node; None if the service may not look at nodes.
    """

    def __init__(self, operator: Api, lease: str, gpu_resource: str, stale_seconds: float) -> None:
        self._operator = operator
        self._lease = lease
        self._gpu_resource = gpu_resource
        self._stale_seconds = stale_seconds
        self.problems: list[str] = []
        self.gpus: Mapping[str, int] | None = None
        self._nodes_at = float("-inf")
        self._seen = ("", 0.0)  # the Lease's version, and when it was first seen

    async def run(self) -> None:
        """Look again and again."""
        while True:
            await self.look()
            await asyncio.sleep(SECONDS)

    async def look(self) -> None:
        """Look once; what cannot be seen is a problem, never an exception."""
        try:
            lease = await self._operator.find(LEASES, self._lease)
            self.problems = self._about_operator(lease, f"{self._operator.namespace}/{self._lease}")
        except Refused:
            self.problems = []  # whoever set the service up does not want it to know
        except ApiError as error:
            self.problems = [f"The cluster's API server does not answer: {error}"]
            return
        if time.monotonic() - self._nodes_at >= SECONDS_FOR_NODES:
            self._nodes_at = time.monotonic()
            await self._look_at_nodes()

    async def _look_at_nodes(self) -> None:
        try:
            nodes = await self._operator.page(NODES, {})
            counts = {node["metadata"]["name"]: _allocatable(node, self._gpu_resource) for node in nodes["items"]}
            self.gpus = {name: count for name, count in counts.items() if count}
        except ApiError:
            self.gpus = None

    def _about_operator(self, lease: Json | None, place: str) -> list[str]:
        if lease is None or not (lease.get("spec") or {}).get("holderIdentity"):
            return [f"No operator runs: nobody holds the Lease {place}. Jobs wait until one is started."]
        # Not by its renewTime: clocks of nodes differ. What counts is for how long no change was seen.
        version, now = str(lease["metadata"]["resourceVersion"]), time.monotonic()
        if version != self._seen[0]:
            self._seen = version, now
        silent = now - self._seen[1]
        if silent > self._stale_seconds:
            return [f"The operator has not renewed the Lease {place} for {silent:.0f} seconds."]
        return []

    def blocks(self) -> Mapping[str, Any]:
        """Return the parts of /health about GPUs."""
        if self.gpus is None:
            return {}
        name = self._gpu_resource
        described = {node: {"name": name, "allocatable": float(count)} for node, count in self.gpus.items()}
        return {"gpu_count": sum(self.gpus.values()), "gpu": described}


def _allocatable(node: Json, resource: str) -> int:
    return int(amount(((node.get("status") or {}).get("allocatable") or {}).get(resource, 0)))
