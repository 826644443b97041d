"""Asks for a node once, when the first pod of ours is seen on it: who ends with its node must be known before."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable

from ecg_cluster.client import NODES, Json
from ecg_cluster.errors import ApiError, NotFound
from ecg_operator.cluster import Cluster
from ecg_operator.prices import NodeView
from ecg_operator.views import millis

log = logging.getLogger(__name__)

MOST_REMEMBERED = 4096
PAUSE_SECONDS = 60.0
"""After an answer that was none, so long nobody asks."""
_SPOT = {"karpenter.sh/capacity-type": "spot", "eks.amazonaws.com/capacityType": "SPOT"}


class Nodes:
    """What nodes are, by name.

    Args:
        gpu_resource: what the cluster calls a GPU.
    """

    def __init__(self, cluster: Cluster, gpu_resource: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._cluster = cluster
        self._gpu_resource = gpu_resource
        self._clock = clock
        self._known: dict[str, NodeView | None] = {}  # oldest first; None: gone
        self._silent_until = float("-inf")

    async def named(self, names: Iterable[str]) -> dict[str, NodeView]:
        """Return the nodes of these names that are known, or were when they were first asked for."""
        wanted = {name for name in names if name}
        for name in sorted(wanted - self._known.keys()):
            await self._ask(name)
        return {name: node for name in wanted if (node := self._known.get(name)) is not None}

    async def _ask(self, name: str) -> None:
        if self._clock() < self._silent_until:
            return
        try:
            found = read_node(await self._cluster.get(NODES, None, name), self._gpu_resource)
        except NotFound:
            found = None
        except ApiError as error:
            self._silent_until = self._clock() + PAUSE_SECONDS
            log.warning("node %s cannot be asked for; what its pods cost may stay unknown: %s", name, error)
            return
        self._known[name] = found
        while len(self._known) > MOST_REMEMBERED:
            del self._known[next(iter(self._known))]


def read_node(obj: Json, gpu_resource: str) -> NodeView:
    """Return the view of a node as the API server gives it."""
    labels = obj["metadata"].get("labels") or {}
    has = (obj.get("status") or {}).get("allocatable") or {}
    return NodeView(
        instance_type=labels.get("node.kubernetes.io/instance-type", ""),
        spot=any(labels.get(label) == value for label, value in _SPOT.items()),
        cpu_millis=millis(has.get("cpu", "0")),
        gpus=int(has.get(gpu_resource, 0)),
    )
