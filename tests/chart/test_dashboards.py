"""Dashboards and alerts ask for metrics that the code has, with the labels that it gives them."""

from __future__ import annotations

import json
import re
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest

from chart import CHART, WORK, objects, of_kind
from ecg_api.status import Phase
from ecg_operator.metrics import Metrics as OperatorMetrics
from ecg_shim.metrics import Metrics as ServiceMetrics
from ecg_shim.relay.metrics import RelayMetrics
from ports import free_ports
from prometheus_tools import program

BOARDS = {file.name: json.loads(file.read_text()) for file in sorted((CHART / "files/dashboards").glob("*.json"))}
RULES = [
    rule for group in yaml.safe_load((CHART / "files/alerts.yaml").read_text())["groups"] for rule in group["rules"]
]
QUERIES = [
    (f"{board['title']}: {panel['title']}", target["expr"])
    for board in BOARDS.values()
    for panel in board["panels"]
    for target in panel.get("targets", [])
]
# Metrics of others, by the exporter that is known to have them.
OTHERS = """\
DCGM_FI_DEV_ENC_UTIL{exported_container="renderer",gpu="0",Hostname="n"} 40
DCGM_FI_DEV_DEC_UTIL{exported_container="renderer",gpu="0",Hostname="n"} 10
DCGM_FI_DEV_FB_USED{exported_container="renderer",gpu="0",Hostname="n"} 4000
DCGM_FI_DEV_FB_FREE{exported_container="renderer",gpu="0",Hostname="n"} 11000
container_cpu_usage_seconds_total{container="renderer",node="n",exported_pod="p"} TIME
container_memory_working_set_bytes{container="renderer",node="n",exported_pod="p"} 3e9
container_spec_memory_limit_bytes{container="renderer",node="n",exported_pod="p"} 6e9
machine_cpu_cores{node="n"} 8
"""


class Parts:
    """Operator, service and relay, as far as Prometheus sees them."""

    def __init__(self) -> None:
        self.operator = OperatorMetrics("1.2.3")
        self.service = ServiceMetrics()
        self.relay = RelayMetrics(self.service.registry)

    def work(self) -> None:
        """Let something happen to every metric; called again, more of it."""
        for registry in (self.operator.registry, self.service.registry):
            for metric in set(registry._names_to_collectors.values()):
                for labels in _labels(metric):
                    one = metric.labels(**labels) if labels else metric
                    (one.observe if hasattr(one, "observe") else one.inc)(1)
        self.operator.leader.set(1)

    def text(self) -> str:
        """Return what all of them would tell, and the exporters of others."""
        own = b"".join(generate_latest(one) for one in (self.operator.registry, self.service.registry)).decode()
        return own + OTHERS.replace("TIME", str(time.monotonic()))


def _labels(metric: Any) -> list[dict[str, str]]:
    """Return the label values to give a metric: every phase, and for other labels one that is nobody's."""
    if metric._labelnames == ("phase",):
        return [{"phase": phase.value} for phase in Phase]
    return [dict.fromkeys(metric._labelnames, "x")]


def names(registry: CollectorRegistry) -> set[str]:
    """Return the names of a registry's series, those of counters and histograms with their endings."""
    endings = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
    return {metric.name + end for metric in registry.collect() for end in endings.get(metric.type, [""])}


def test_every_metric_of_an_alert_or_a_dashboard_is_one_of_the_code_or_of_a_known_exporter() -> None:
    parts = Parts()
    known = names(parts.operator.registry) | names(parts.service.registry) | set(re.findall(r"^\w+", OTHERS, re.M))
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


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prometheus that has read the metrics of working parts a few times; its address."""
    parts, folder = Parts(), tmp_path_factory.mktemp("prometheus")

    class Exporter(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts.work()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(parts.text().encode())

        def log_message(self, *_: Any) -> None:
            pass

    exporter = ThreadingHTTPServer(("127.0.0.1", 0), Exporter)
    threading.Thread(target=exporter.serve_forever, daemon=True).start()
    target = {"targets": [f"127.0.0.1:{exporter.server_port}"], "labels": {"namespace": "render", "pod": "one"}}
    config = {
        "global": {"scrape_interval": "500ms", "scrape_timeout": "400ms"},
        "scrape_configs": [{"job_name": "ecg", "static_configs": [target]}],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))
    (port,) = free_ports(1)
    flags = [
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "log").open("w") as log:
        server = Popen([program("prometheus"), *flags], stdout=DEVNULL, stderr=log)
    try:
        _wait_for_samples(f"http://127.0.0.1:{port}", folder)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()
        exporter.shutdown()
        exporter.server_close()


@pytest.mark.parametrize(
    ("panel", "query"), QUERIES, ids=[f"{where}-{number}" for number, (where, _) in enumerate(QUERIES)]
)
def test_a_panel_shows_what_the_parts_tell(prometheus: str, panel: str, query: str) -> None:
    found = _ask(prometheus, query.replace("$namespace", ".*").replace("$price", "0.978"))
    assert found, f"{panel}: no data for {query}"
    assert not [one for one in found if one["value"][1] == "NaN"], f"{panel}: {query}"


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


def _wait_for_samples(address: str, folder: Path) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            found = _ask(address, "count_over_time(ecg_leader[1m])")
        except OSError:
            found = []
        if found and int(found[0]["value"][1]) >= 4:
            return
        time.sleep(0.2)
    raise AssertionError(f"Prometheus has read nothing: {(folder / 'log').read_text()[-2000:]}")


def _ask(address: str, query: str) -> list[dict[str, Any]]:
    words = urllib.parse.urlencode({"query": query})
    with urllib.request.urlopen(f"{address}/api/v1/query?{words}", timeout=10) as answer:
        found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return found
