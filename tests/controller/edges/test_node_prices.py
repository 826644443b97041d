"""Nodes are asked for once, before they are gone."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from ecg_cluster.client import Resource
from ecg_cluster.errors import NotFound, Refused
from ecg_operator.cluster import Cluster
from ecg_operator.lookups import PAUSE_SECONDS, Nodes
from ecg_operator.prices import NodeView

NODE = {
    "metadata": {"labels": {"node.kubernetes.io/instance-type": "g6.xlarge", "karpenter.sh/capacity-type": "spot"}},
    "status": {"allocatable": {"cpu": "3920m", "nvidia.com/gpu": "1"}},
}


class Server:
    def __init__(self) -> None:
        self.asked: list[str] = []
        self.error: Exception | None = None
        self.time = 0.0
        self.nodes = Nodes(cast(Cluster, self), "nvidia.com/gpu", lambda: self.time)

    async def get(self, resource: Resource, namespace: str | None, name: str) -> dict[str, Any]:
        assert (resource.plural, namespace) == ("nodes", None)
        self.asked.append(name)
        if self.error is not None:
            raise self.error
        return NODE

    def named(self, *names: str) -> dict[str, NodeView]:
        return asyncio.run(self.nodes.named(names))


def test_a_node_is_asked_for_once_and_stays_known_when_it_is_gone() -> None:
    server = Server()
    wanted = {"a": NodeView("g6.xlarge", spot=True, cpu_millis=3920, gpus=1)}
    assert server.named("a", "a", "") == wanted
    server.error = NotFound(404, "NotFound", "gone")
    assert server.named("a", "b") == server.named("b", "a") == wanted
    assert server.asked == ["a", "b"]


def test_without_the_right_to_it_nobody_asks_again_and_again() -> None:
    server = Server()
    server.error = Refused(403, "Forbidden", "may not get nodes")
    assert server.named("a", "b") == server.named("a") == {}
    assert server.asked == ["a"]
    server.error, server.time = None, PAUSE_SECONDS + 1
    assert set(server.named("a", "b")) == {"a", "b"}
