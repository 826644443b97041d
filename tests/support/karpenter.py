"""Karpenter's own core with its kwok provider: nodes that exist in the API only, of EC2's GPU types and some others.

with KarpenterPlane(folder) as plane:      scheduler and controllers are real, kwok plays nodes and pods
    plane.apply(*objects)

A pod of a segment runs for SECONDS, or as long as its annotation RUNS_FOR says.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from bench.kwok_stages import stages
from control_plane import ControlPlane
from ecg_api.names import Role
from go_tools import module_folder, tool
from ports import free_ports

Json = dict[str, Any]
RELEASE = "sigs.k8s.io/karpenter@v1.14.1"
DIGEST = "h1:GjqvOHLjl2+OXM0ti5VEZSQuvcitB0pETd8zdChXEtI="
CRDS = (
    "pkg/apis/crds/karpenter.sh_nodepools.yaml",
    "pkg/apis/crds/karpenter.sh_nodeclaims.yaml",
    "pkg/apis/crds/karpenter.sh_nodeoverlays.yaml",
    "kwok/apis/crds/karpenter.kwok.sh_kwoknodeclasses.yaml",
)
SECONDS = {Role.PLAN: 1.0, Role.SEGMENTS: 10.0, Role.MERGE: 1.0, Role.CLEAN: 0.5}
RUNS_FOR = "kwok.test.example/runs-for"
GPU = "nvidia.com/gpu"
NODE_CLASS = {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "ecg-render-gpu"}

# CPUs, memory in GiB, GPUs, price of an hour on demand. What must not be taken is there, too, some of it cheaper.
TYPES = {
    "c6i.2xlarge": (8, 16, 0, 0.34),
    "g4dn.xlarge": (4, 16, 1, 0.526),
    "g4dn.2xlarge": (8, 32, 1, 0.752),
    "g4dn.12xlarge": (48, 192, 4, 3.912),
    "g5.xlarge": (4, 16, 1, 1.006),
    "g5.2xlarge": (8, 32, 1, 1.212),
    "g6.xlarge": (4, 16, 1, 0.805),
    "g6.2xlarge": (8, 32, 1, 0.978),
    "g6.4xlarge": (16, 64, 1, 1.323),
    "p3.2xlarge": (8, 61, 1, 0.7),
}
SPOT = 0.4
"""What spot costs of that."""


class KarpenterPlane(ControlPlane):
    """A control plane with two small nodes, as docs/eks.md has them, and Karpenter for more."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, controllers=True, scheduler=True)
        self._metrics_port, self._health_port = free_ports(2)

    def _run(self, name: str, *flags: str) -> None:
        # kwok's nodes send no heartbeats.
        more = ("--node-monitor-grace-period=5h",) if name == "kube-controller-manager" else ()
        super()._run(name, *flags, *more)

    def start(self) -> None:
        """Start all of it."""
        tool("karpenter")
        super().start()
        source = module_folder(RELEASE, DIGEST)
        for file in CRDS:
            self.kubectl("apply", "--server-side", "-f", str(source / file))
        self.kubectl("wait", "--for=condition=Established", "--timeout=20s", "crd", "--all")
        self.apply(*(_control_node(number) for number in range(2)))
        self._start_kwok()
        self.start_karpenter()

    def start_karpenter(self, *, has_spot: bool = True) -> None:
        """Start Karpenter, anew if it runs: what a cloud has to offer its provider reads once."""
        self.daemons.stop("karpenter", seconds=5)
        types = self.folder / "instance-types.json"
        types.write_text(json.dumps([_instance_type(name, has_spot) for name in TYPES]))
        environment = {
            "KUBECONFIG": str(self.kubeconfig),
            "INSTANCE_TYPES_FILE_PATH": str(types),
            "METRICS_PORT": str(self._metrics_port),
            "HEALTH_PROBE_PORT": str(self._health_port),
            "DISABLE_LEADER_ELECTION": "true",
            "SYSTEM_NAMESPACE": "kube-system",
        }
        self.daemons.start("karpenter", [tool("karpenter")], environment)

    def stop(self) -> None:
        """Stop all of it."""
        self.daemons.stop("karpenter", "kwok", seconds=2)
        super().stop()

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """Create or change objects, a node's status included."""
        self.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def items(self, kind: str, *words: str) -> list[Json]:
        """Return the objects of a kind."""
        found: list[Json] = json.loads(self.kubectl("get", kind, "--output=json", *words))["items"]
        return found

    def _start_kwok(self) -> None:
        configuration = self.folder / "kwok.yaml"
        played = [*yaml.safe_load_all(stages(1, SECONDS)), _ready()]
        for stage in played:
            if stage["metadata"]["name"] == f"pod-ends-{Role.SEGMENTS}":
                stage["spec"]["delay"]["durationFrom"] = {"jq": {"expression": f'.metadata.annotations["{RUNS_FOR}"]'}}
        configuration.write_text(yaml.safe_dump_all(played))
        command = [tool("kwok"), f"--kubeconfig={self.kubeconfig}", f"--config={configuration}"]
        fake = "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake"
        self.daemons.start("kwok", [*command, "--manage-all-nodes=false", fake])


def _ready() -> Json:
    """Return kwok's configuration that makes running pods ready."""
    key = '.status.conditions.[] | select( .type == "Ready" ) | .status'
    selector = [
        {"key": ".metadata.deletionTimestamp", "operator": "DoesNotExist"},
        {"key": ".status.phase", "operator": "In", "values": ["Running"]},
        {"key": key, "operator": "NotIn", "values": ["True"]},
    ]
    status = "conditions:\n- type: Ready\n  status: 'True'\n  lastTransitionTime: {{ Now | Quote }}\n"
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": "pod-ready"},
        "spec": {
            "resourceRef": {"apiGroup": "v1", "kind": "Pod"},
            "selector": {"matchExpressions": selector},
            "next": {"statusTemplate": status},
        },
    }


def _control_node(number: int) -> Json:
    room = {"cpu": "1930m", "memory": "7Gi", "pods": "29", "ephemeral-storage": "70Gi"}
    metadata = {"name": f"control-{number}", "annotations": {"kwok.x-k8s.io/node": "fake"}}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": metadata,
        "status": {"allocatable": room, "capacity": room},
    }


def _instance_type(name: str, has_spot: bool) -> Json:
    """Return a type as Karpenter's kwok provider reads it; what EC2's provider knows by label is part of each offer."""
    cpus, memory, gpus, price = TYPES[name]
    facts = {"instance-family": name.split(".")[0], "instance-cpu": str(cpus), "instance-gpu-count": str(gpus)}
    labels = {f"karpenter.k8s.aws/{fact}": value for fact, value in facts.items()}
    offers = [
        {"karpenter.sh/capacity-type": kind, "topology.kubernetes.io/zone": zone}
        # Karpenter's kwok provider takes every offer for available: what there is none of must not be offered.
        for kind in (("spot", "on-demand") if has_spot else ("on-demand",))
        for zone in ("ap-northeast-2a", "ap-northeast-2b")
    ]
    return {
        "name": name,
        "architecture": "amd64",
        "operatingSystems": ["linux"],
        "resources": {
            "cpu": str(cpus),
            "memory": f"{memory}Gi",
            "ephemeral-storage": "60Gi",
            **({GPU: str(gpus)} if gpus else {}),
        },
        "offerings": [
            {
                "Price": price * (SPOT if offer["karpenter.sh/capacity-type"] == "spot" else 1),
                "Available": True,
                "Requirements": [
                    {"key": key, "operator": "In", "values": [value]} for key, value in {**offer, **labels}.items()
                ],
            }
            for offer in offers
        ],
    }
