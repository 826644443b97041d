"""Who may reach whom by the chart's NetworkPolicies: pods, addresses outside of the cluster, and a table.

tests/chart decides it by the policies' meaning, tests/cluster by packets.
"""

from __future__ import annotations

from dataclasses import dataclass, field

ON = (
    "networkPolicy.enabled=true",
    "namespaces={render,videos}",
    "service.callbackUrl=http://backend.editor.svc:8000/done",
)


@dataclass(frozen=True)
class Pod:
    """A pod, as policies look at it."""

    namespace: str
    labels: tuple[tuple[str, str], ...] = field(default_factory=tuple)


def pod(namespace: str, **labels: str) -> Pod:
    """Return a pod whose labels are Python names."""
    return Pod(namespace, tuple(labels.items()))


def labelled(namespace: str, labels: dict[str, str]) -> Pod:
    """Return a pod with labels."""
    return Pod(namespace, tuple(labels.items()))


RELEASE = {"app.kubernetes.io/instance": "ecg-render"}
OPERATOR = labelled("render", {"app.kubernetes.io/name": "ecg-operator", **RELEASE})
SHIM = labelled("render", {"app.kubernetes.io/name": "ecg-service", **RELEASE})
WORKER = labelled("videos", {"app.kubernetes.io/managed-by": "ecg-render", "render.ecg.dev/role": "segments"})
BACKEND = pod("editor", app="backend")
STRANGER = pod("elsewhere", app="x")
DNS = labelled("kube-system", {"k8s-app": "kube-dns"})
PROMETHEUS = pod("monitoring", app="prometheus")
API_SERVER, S3, METADATA, POD_IDENTITY, NODE = (
    "172.20.0.1",
    "52.219.1.1",
    "169.254.169.254",
    "169.254.170.23",
    "10.0.3.7",
)

CASES: list[tuple[Pod | str, Pod | str, int, bool]] = [
    (WORKER, DNS, 53, True),
    (WORKER, "169.254.20.10", 53, True),
    (WORKER, S3, 443, True),
    (WORKER, "2600:1f18::1", 443, True),
    (WORKER, POD_IDENTITY, 80, True),
    (WORKER, S3, 22, False),
    (WORKER, METADATA, 80, False),
    (WORKER, METADATA, 443, False),
    (WORKER, "fd00:ec2::254", 443, False),
    (WORKER, "::1", 443, False),
    (WORKER, API_SERVER, 443, False),
    (WORKER, NODE, 443, False),
    (WORKER, "192.168.1.1", 443, False),
    (WORKER, "100.64.3.3", 443, False),
    (WORKER, "127.0.0.1", 443, False),
    (WORKER, STRANGER, 443, False),
    (WORKER, SHIM, 8090, False),
    (WORKER, OPERATOR, 8080, False),
    (WORKER, WORKER, 8091, False),
    (OPERATOR, WORKER, 8091, True),
    (OPERATOR, WORKER, 22, False),
    (OPERATOR, DNS, 53, True),
    (OPERATOR, API_SERVER, 443, True),
    (OPERATOR, NODE, 6443, True),
    (OPERATOR, STRANGER, 8000, False),
    (STRANGER, WORKER, 8091, False),
    (SHIM, WORKER, 8091, False),
    (SHIM, API_SERVER, 443, True),
    (SHIM, BACKEND, 8000, True),
    (SHIM, STRANGER, 8000, False),
    (SHIM, S3, 443, True),
    (SHIM, METADATA, 80, False),
    (BACKEND, SHIM, 8090, True),
    (BACKEND, SHIM, 22, False),
    (PROMETHEUS, SHIM, 8090, True),
    (PROMETHEUS, OPERATOR, 8080, True),
    (PROMETHEUS, WORKER, 8091, False),
    ("203.0.113.9", SHIM, 8090, False),
    ("203.0.113.9", WORKER, 8091, False),
]  # fmt: skip
"""Source, target, port, and whether a connection may be opened."""
