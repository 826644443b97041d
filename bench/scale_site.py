"""What the scale benchmark runs on: a control plane, nodes that kwok plays, operator and service as processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import psutil

from bench.errors import BenchError
from bench.kwok_stages import stages
from ecg_api.names import Role

SUPPORT = Path(__file__).parents[1] / "tests" / "support"
sys.path.insert(0, str(SUPPORT))  # the control plane is the one that the tests use

from control_plane import ControlPlane  # noqa: E402
from go_tools import tool  # noqa: E402
from ports import free_ports  # noqa: E402

NODES = 100
GPUS_PER_NODE = 8
# The controllers' own limits (20 requests a second) would be all that is measured.
QUICK = ("--kube-api-qps=1000", "--kube-api-burst=2000")
# kwok's nodes send no heartbeats here: they would only be load that real nodes spread.
PATIENT = "--node-monitor-grace-period=5h"
LAG_SECONDS = 10.0
"""How often the operator is asked how late its loop was: it remembers the worst of half a minute."""
SECONDS = {Role.PLAN: 1.0, Role.SEGMENTS: 5.0, Role.MERGE: 1.0, Role.CLEAN: 0.5}


class ScalePlane(ControlPlane):
    """A control plane with kwok's nodes."""

    def __init__(self, folder: Path, segments: int) -> None:
        super().__init__(folder, controllers=True, scheduler=True, api_flags=("--max-requests-inflight=1000",))
        self._segments = segments

    def _run(self, name: str, *flags: str) -> None:
        more = (*QUICK, "--concurrent-job-syncs=20", PATIENT) if name == "kube-controller-manager" else ()
        super()._run(name, *flags, *more, *(QUICK if name == "kube-scheduler" else ()))

    def start(self) -> None:
        """Start it, make the nodes, and let kwok play them."""
        super().start()
        nodes = {"apiVersion": "v1", "kind": "List", "items": [_node(number) for number in range(NODES)]}
        self.kubectl("create", "-f", "-", stdin=json.dumps(nodes))
        configuration = self.folder / "kwok.yaml"
        configuration.write_text(stages(self._segments, SECONDS))
        self.daemons.start(
            "kwok",
            [
                tool("kwok"),
                f"--kubeconfig={self.kubeconfig}",
                f"--config={configuration}",
                "--manage-all-nodes=false",
                "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
            ],
        )

    def create_namespaces(self, names: list[str]) -> None:
        """Create namespaces, and wait until pods can be made in them."""
        items = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in names]
        self.kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
        wait = ("wait", "--for=create", "serviceaccount/default", "--timeout=60s")
        self.kubectl(*wait, f"--namespace={names[-1]}")

    def stop(self) -> None:
        """Stop everything."""
        self.daemons.stop("kwok", seconds=2)
        super().stop()


def _node(number: int) -> dict[str, object]:
    name = f"kwok-{number:03}"
    room = {"cpu": "96", "memory": "512Gi", "pods": "200", "ephemeral-storage": "4Ti", "nvidia.com/gpu": GPUS_PER_NODE}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "annotations": {"kwok.x-k8s.io/node": "fake"}, "labels": {"type": "kwok"}},
        "status": {"allocatable": room, "capacity": room},
    }


@dataclass(frozen=True)
class Cost:
    """What an operator's process took: highest resident memory in MB, CPU in seconds, worst delay of its loop.

    `busy` is the part of the delay in which the loop itself computed; in the other it had no CPU.
    """

    memory_mb: float
    cpu_seconds: float
    lag: float
    busy: float

    def with_later(self, later: Cost) -> Cost:
        """Return the cost of two processes, one after the other."""
        cpu = self.cpu_seconds + later.cpu_seconds
        return Cost(max(self.memory_mb, later.memory_mb), cpu, max(self.lag, later.lag), max(self.busy, later.busy))


class Watched:
    """A process of ours with an HTTP port, its memory watched."""

    def __init__(
        self, module: str, arguments: Sequence[str], variables: Mapping[str, str], port: int, log: Path
    ) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **variables}
        self._command = [sys.executable, "-m", module, *arguments]
        self._log = log
        self._peak = 0.0
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, env=self._environment, stdout=log, stderr=log)
        self._watched = psutil.Process(self._process.pid)
        threading.Thread(target=self._sample, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def kill(self) -> None:
        """End it without a chance to tidy up."""
        self._ended.set()
        self._process.kill()
        self._process.wait()

    @property
    def memory_mb(self) -> float:
        """The highest resident memory so far."""
        return self._peak

    def wait_until_ready(self, seconds: float = 120) -> float:
        """Wait until everything is listed; return after how many seconds that was."""
        started = time.monotonic()
        while time.monotonic() - started < seconds:
            if self._process.poll() is not None:
                raise BenchError(f"{self._command[2]} has ended with code {self._process.returncode}; see {self._log}")
            try:
                if httpx.get(f"{self.url}/readyz", timeout=2, trust_env=False).status_code == 200:
                    return time.monotonic() - started
            except httpx.HTTPError:
                pass
            time.sleep(0.1)
        raise BenchError(f"{self._command[2]} is not ready after {seconds:.0f} s; see {self._log}")

    def _sample(self) -> None:
        while not self._ended.wait(0.2):
            try:
                self._peak = max(self._peak, self._watched.memory_info().rss / 1e6)
                self._look()
            except psutil.Error:
                return
            except httpx.HTTPError:
                continue  # it does not serve yet, or is about to end

    def _look(self) -> None:
        """Look at what else there is to see, every fifth of a second."""


class OperatorProcess(Watched):
    """`python -m ecg_operator` with its memory, CPU and event loop watched."""

    def __init__(self, plane: ControlPlane, log: Path, variables: Mapping[str, str]) -> None:
        (port,) = free_ports(1)
        own = {
            "RENDERER_IMAGE": "renderer",
            "WORK_URI": "s3://work/jobs",
            "HEALTH_PORT": str(port),
            "MAX_ACTIVE_SEGMENTS": str(NODES * GPUS_PER_NODE),
        }
        super().__init__(
            "ecg_operator", ["--dev", "--kubeconfig", str(plane.kubeconfig)], {**own, **variables}, port, log
        )
        self._lag = self._busy = self._asked = 0.0

    def cost(self) -> Cost:
        """Return what it has taken so far."""
        times = self._watched.cpu_times()
        return Cost(self._peak, times.user + times.system, self._lag, self._busy)

    def metric(self, name: str, *, without: tuple[str, ...] = ()) -> float:
        """Return the sum of a metric over its labels, but for samples that contain one of `without`."""
        text = httpx.get(f"{self.url}/metrics", timeout=10, trust_env=False).text
        lines = (line for line in text.splitlines() if line.startswith((f"{name}{{", f"{name} ")))
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if not any(word in line for word in without))

    def _look(self) -> None:
        if time.monotonic() - self._asked > LAG_SECONDS:
            self._asked = time.monotonic()
            self._lag = max(self._lag, self.metric("ecg_event_loop_lag_seconds"))
            self._busy = max(self._busy, self.metric("ecg_event_loop_busy_seconds"))


class ServiceProcess(Watched):
    """`python -m ecg_shim` as one replica for one namespace."""

    def __init__(self, plane: ControlPlane, log: Path, namespace: str) -> None:
        (port,) = free_ports(1)
        variables = {
            "ECG_RENDER_MODE": "kubernetes",
            "ECG_NAMESPACE": namespace,
            "ECG_PORT": str(port),
            "ECG_PUBLIC_URL": f"http://127.0.0.1:{port}",
            "S3_BUCKET": "videos",
            "KUBECONFIG": str(plane.kubeconfig),
            "AWS_ACCESS_KEY_ID": "none",
            "AWS_SECRET_ACCESS_KEY": "none",
        }
        super().__init__("ecg_shim", [], variables, port, log)
