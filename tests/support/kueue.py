"""Kueue itself, installed by its own chart: Jobs with a queue's name wait until it lets them in.

with KueuePlane(folder) as plane:      real API server and controllers, no scheduler
    plane.apply(*queue("captions", "default", cpu="4"))
"""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from control_plane import ControlPlane
from go_tools import module_folder, tool
from ports import free_ports

Json = dict[str, Any]
RELEASE = "sigs.k8s.io/kueue@v0.17.0"
DIGEST = "h1:7hzb38M4eKGzYW+CFv2s1L+swzzacUCHOCXxZmAV90I="
NAMESPACE = "kueue-system"
SECRET = "kueue-webhook-server-cert"
SECONDS_TO_START = 90.0
# What the chart has for a pod of Kueue's: here it is a process of this machine.
_NOT_HERE = ("Deployment",)


class KueuePlane(ControlPlane):
    """A control plane with Kueue in it; its webhooks are called as in a cluster, by a Service of this machine."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, controllers=True)
        self._webhooks, self._health = free_ports(2)
        self._certificates = folder / "kueue-certificates"

    def start(self) -> None:
        """Start all of it, and wait until Kueue's webhooks answer."""
        tool("kueue")
        super().start()
        self.kubectl("create", "namespace", NAMESPACE)
        found = self._chart()
        crds = [one for one in found if one["kind"] == "CustomResourceDefinition"]
        self.apply(*(self._here(one) for one in crds))
        self.kubectl("wait", "--for=condition=Established", "--timeout=20s", "crd", "--all")
        self.apply(*(self._here(one) for one in found if one not in crds and one["kind"] not in _NOT_HERE))
        (configuration,) = [one for one in found if one["metadata"]["name"] == "kueue-manager-config"]
        file = self.folder / "kueue.yaml"
        file.write_text(configuration["data"]["controller_manager_config.yaml"])
        gates = "--feature-gates=VisibilityOnDemand=false"
        self.daemons.start("kueue", [tool("kueue"), f"--config={file}", gates], {"KUBECONFIG": str(self.kubeconfig)})
        self.daemons.wait_until("kueue", self._has_certificates, SECONDS_TO_START)
        self.daemons.wait_until("kueue", self._takes_queues, SECONDS_TO_START)

    def stop(self) -> None:
        """Stop all of it."""
        self.daemons.stop("kueue", seconds=2)
        super().stop()

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """Create or change objects."""
        listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=listed)

    def _chart(self) -> list[Json]:
        own = {
            "apiVersion": "config.kueue.x-k8s.io/v1beta2",
            "kind": "Configuration",
            "namespace": NAMESPACE,
            "health": {"healthProbeBindAddress": f"127.0.0.1:{self._health}"},
            "metrics": {"bindAddress": "0"},
            "webhook": {"port": self._webhooks, "certDir": str(self._certificates)},
            "leaderElection": {"leaderElect": False},
            "integrations": {"frameworks": ["batch/job"]},
        }
        values = {"managerConfig": {"controllerManagerConfigYaml": yaml.safe_dump(own)}}
        chart = module_folder(RELEASE, DIGEST) / "charts" / "kueue"
        command = [tool("helm"), "template", "kueue", chart, f"--namespace={NAMESPACE}", "--values=-"]
        done = subprocess.run(command, input=yaml.safe_dump(values), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return [one for one in yaml.safe_load_all(done.stdout) if one]

    def _here(self, one: Json) -> Json:
        """Return an object of the chart for a Kueue that runs on this machine."""
        if one["kind"] == "Service":
            return {**one, "spec": {"type": "ExternalName", "externalName": "localhost"}}
        webhooks = one.get("webhooks", [])
        if conversion := one["spec"].get("conversion") if one["kind"] == "CustomResourceDefinition" else None:
            webhooks = [conversion["webhook"]]
        for webhook in webhooks:
            webhook["clientConfig"]["service"]["port"] = self._webhooks
        return one

    def _has_certificates(self) -> bool:
        """Do what a kubelet does: put the Secret that Kueue has filled where Kueue looks for it."""
        secret = json.loads(self.kubectl("get", "secret", SECRET, f"--namespace={NAMESPACE}", "--output=json"))
        found = secret.get("data", {})
        if not {"tls.crt", "tls.key", "ca.crt"} <= found.keys():
            return False
        self._certificates.mkdir(mode=0o700, exist_ok=True)
        for name, value in found.items():
            (self._certificates / name).write_bytes(base64.b64decode(value))
        return True

    def _takes_queues(self) -> bool:
        flavor = {
            "apiVersion": "kueue.x-k8s.io/v1beta2",
            "kind": "ResourceFlavor",
            "metadata": {"name": "default-flavor"},
        }
        try:
            self.apply(flavor)
        except AssertionError:
            return False
        return True


def queue(name: str, namespace: str, **amounts: str) -> tuple[Json, Json]:
    """Return a ClusterQueue with so much of each resource, and the LocalQueue of a namespace that leads to it.

    A Workload of higher priority pushes one of lower priority out.
    """
    version = "kueue.x-k8s.io/v1beta2"
    resources = [{"name": resource, "nominalQuota": amount} for resource, amount in amounts.items()]
    flavors = [{"name": "default-flavor", "resources": resources}]
    cluster = {
        "apiVersion": version,
        "kind": "ClusterQueue",
        "metadata": {"name": namespace},
        "spec": {
            "namespaceSelector": {},
            "preemption": {"withinClusterQueue": "LowerPriority"},
            "resourceGroups": [{"coveredResources": [*amounts], "flavors": flavors}],
        },
    }
    local = {
        "apiVersion": version,
        "kind": "LocalQueue",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"clusterQueue": namespace},
    }
    return cluster, local


def priority(name: str, value: int) -> Json:
    """Return a WorkloadPriorityClass."""
    return {
        "apiVersion": "kueue.x-k8s.io/v1beta2",
        "kind": "WorkloadPriorityClass",
        "metadata": {"name": name},
        "value": value,
    }
