"""Dashboards and alerts ask for metrics that the code has, and a real Prometheus has an answer for every panel.

It reads a real operator and a real service at a real API server; only the pods pretend.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from chart import CHART, WORK, objects, of_kind
from control_plane import ControlPlane
from daemons import NotReady
from ecg_operator.metrics import Metrics as OperatorMetrics
from ecg_shim.metrics import Metrics as ServiceMetrics
from ecg_shim.relay.metrics import RelayMetrics
from fake_kubelet import FakeKubelet, Outcome, Pod, succeed
from operators import Site, finished, render_job, start_operator
from panels import BOARDS, FED, QUERIES
from ports import free_ports
from prometheus_tools import Prometheus
from shim_client_backend import ClientBackend

RULES = [
    rule for group in yaml.safe_load((CHART / "files/alerts.yaml").read_text())["groups"] for rule in group["rules"]
]
NAMESPACE = "videos"
PRICES = {"currency": "USD", "hourly": {"g6.2xlarge": "0.978"}, "otherwise": "1.00"}
CAPACITY = {
    "timeZone": "Asia/Seoul",
    "windows": [],
    "otherwise": {"floor": 2, "ceiling": 6},
    "outAbove": 10,
    "inBelow": 3,
    "inAfterSeconds": 600,
}
OF_OTHERS = """\
DCGM_FI_DEV_ENC_UTIL{exported_container="renderer",gpu="0",Hostname="n"} 40
DCGM_FI_DEV_DEC_UTIL{exported_container="renderer",gpu="0",Hostname="n"} 10
DCGM_FI_DEV_FB_USED{exported_container="renderer",gpu="0",Hostname="n"} 4000
DCGM_FI_DEV_FB_FREE{exported_container="renderer",gpu="0",Hostname="n"} 11000
container_cpu_usage_seconds_total{container="renderer",node="n",exported_pod="p"} TIME
container_memory_working_set_bytes{container="renderer",node="n",exported_pod="p"} 3e9
container_spec_memory_limit_bytes{container="renderer",node="n",exported_pod="p"} 6e9
machine_cpu_cores{node="n"} 8
"""
"""What exporters of others tell, of a GPU where Prometheus has renamed the label `container`."""


def names(registry: CollectorRegistry) -> set[str]:
    """Return the names of a registry's series, those of counters and histograms with their endings."""
    endings = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
    return {metric.name + end for metric in registry.collect() for end in endings.get(metric.type, [""])}


def test_every_metric_of_an_alert_or_a_dashboard_is_one_of_the_code_or_of_a_known_exporter() -> None:
    service = ServiceMetrics()
    RelayMetrics(service.registry)
    ours = names(OperatorMetrics("1.2.3").registry) | names(service.registry)
    known = ours | set(re.findall(r"^\w+", OF_OTHERS, re.M))
    asked = {
        (where, name)
        for where, text in [*QUERIES, *((rule["alert"], rule["expr"]) for rule in RULES)]
        for name in re.findall(r"\b(?:ecg|DCGM|container|machine|kube|node)_\w+", re.sub(r'"[^"]*"', "", text))
    }
    assert {one for one in asked if one[1] not in known} == set()
    assert {name for _, name in asked} >= {"ecg_leader", "ecg_render_healthy", "ecg_callback_dead_letters"}


def test_every_alert_that_a_dashboard_names_is_one() -> None:
    named = set(re.findall(r"\bEcg[A-Z]\w+", json.dumps(list(BOARDS.values()))))
    assert named <= {rule["alert"] for rule in RULES}
    assert len(named) > 10


@contextmanager
def exporter() -> Iterator[int]:
    """Serve what the exporters of others would tell; yield the port."""

    class Exporter(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(OF_OTHERS.replace("TIME", str(time.monotonic())).encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Exporter)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def parts(plane: ControlPlane, backend: ClientBackend, folder: Path) -> Iterator[dict[str, int]]:
    """Run operator and service as processes in a namespace; yield the ports at which they tell their metrics."""
    operator_port, service_port = free_ports(2)
    settings = {"HEALTH_PORT": str(operator_port), "PRICES": json.dumps(PRICES), "CAPACITY": json.dumps(CAPACITY)}
    operator = start_operator(plane.kubeconfig, NAMESPACE, folder / "operator.log", **settings)
    backend.service = f"http://127.0.0.1:{service_port}"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
        "KUBECONFIG": str(plane.kubeconfig),
        "ECG_NAMESPACE": NAMESPACE,
        "ECG_OPERATOR_LEASE": f"{NAMESPACE}/ecg-operator",
        "S3_BUCKET": "videos",
        "ECG_SCENARIO_STORE": "configmap",
        "ECG_PUBLIC_URL": backend.service,
        "BACKEND_CALLBACK_URL": "http://127.0.0.1",
    }
    command = [sys.executable, "-m", "ecg_shim", "--mode", "kubernetes", "--port", str(service_port)]
    with (folder / "service.log").open("wb") as log:
        service = Popen(command, env=environment, stdout=log, stderr=log)
    try:
        yield {"operator": operator_port, "service": service_port}
    finally:
        for process in (service, operator):
            process.terminate()
        assert (service.wait(60), operator.wait(60)) == (0, 0)


def slow_enough_to_count(pod: Pod) -> Outcome:
    outcome = succeed(pod, segments=2)
    return replace(outcome, seconds=1.5) if pod.role == "segments" else outcome


def jobs_are_refused(plane: ControlPlane) -> bool:
    """Tell whether the quota counts already."""
    probe = ("create", "job", "probe", "--image=i", "--dry-run=server", f"--namespace={NAMESPACE}")
    return "forbidden" in plane.kubectl(*probe, check=False)


async def work(plane: ControlPlane, backend: ClientBackend) -> None:
    """Let jobs come by HTTP and by hand, one after another; one is held back by a quota for a while."""
    async with Site(plane.kubeconfig, NAMESPACE) as site:
        for number in range(3):
            job_id = backend.create({"version": "2.0", "cues": []}, video_url="s3://in/clip.mp4")
            await site.apply(render_job(f"by-hand-{number}"))
            await site.until(f"by-hand-{number}", finished)
            row = await asyncio.to_thread(backend.wait, job_id)
            assert row.status == "completed", row
        plane.kubectl("create", "quota", "none", "--hard=count/jobs.batch=0", f"--namespace={NAMESPACE}")
        await site.until_true(lambda: asyncio.to_thread(jobs_are_refused, plane))
        await site.apply(render_job("held-back"))

        async def is_refused() -> bool:
            return any(event["reason"] == "Refused" for event in await site.events("held-back"))

        await site.until_true(is_refused)
        plane.kubectl("delete", "quota", "none", f"--namespace={NAMESPACE}")
        await site.until("held-back", finished)


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that has read operator and service while jobs came, were rendered and ended."""
    folder = tmp_path_factory.mktemp("run")
    with (
        ControlPlane(folder / "plane", controllers=True) as plane,
        FakeKubelet(plane.kubeconfig) as kubelet,
        ClientBackend(has_usage_row=True) as backend,
        exporter() as others,
    ):
        plane.kubectl("create", "namespace", NAMESPACE)
        kubelet.scripts[NAMESPACE] = slow_enough_to_count
        with parts(plane, backend, folder) as ports:
            targets = [
                {"targets": [f"127.0.0.1:{port}"], "labels": {"namespace": NAMESPACE, "pod": part, "job": part}}
                for part, port in {**ports, "others": others}.items()
            ]
            with Prometheus(folder / "prometheus", [{"job_name": "ecg", "static_configs": targets}]) as running:
                asyncio.run(work(plane, backend))
                yield running


@pytest.mark.parametrize(
    ("panel", "query"), QUERIES, ids=[f"{panel}-{number}" for number, (panel, _) in enumerate(QUERIES)]
)
def test_a_panel_shows_what_was_going_on(prometheus: Prometheus, panel: str, query: str) -> None:
    with suppress(NotReady):  # what came last may not have been asked for yet
        prometheus.until(lambda: prometheus.shown(query), 20)
    assert prometheus.shown(query), f"{panel} shows nothing: {query}"
    assert (panel in FED) == (not re.search(r"\becg_", query))


def test_panels_lie_side_by_side_and_say_what_they_show() -> None:
    for name, board in BOARDS.items():
        taken: set[tuple[int, int]] = set()
        for panel in board["panels"]:
            at = panel["gridPos"]
            cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            assert not cells & taken, f"{name}: {panel['title']} lies on another one"
            assert at["x"] + at["w"] <= 24
            taken |= cells
            assert panel["type"] == "row" or panel["description"]


def test_the_chart_ships_each_as_a_config_map_that_grafana_finds() -> None:
    maps = of_kind(objects(WORK, "dashboards.enabled=true", "dashboards.annotations.grafana_folder=ECG"), "ConfigMap")
    shipped = {name: one for one in maps for name in one["data"] if name.endswith(".json")}
    assert {name: json.loads(one["data"][name]) for name, one in shipped.items()} == BOARDS
    for one in shipped.values():
        assert one["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert one["metadata"]["annotations"] == {"grafana_folder": "ECG"}
