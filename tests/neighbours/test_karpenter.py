"""Karpenter with the chart's own NodePools: GPU nodes come with a burst, busy ones stay, quiet takes others away."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime

import pytest

import chart
from ecg_operator.settings import read_settings
from karpenter import GPU, NODE_CLASS, RUNS_FOR, Json, KarpenterPlane
from operators import Site, finished, on_a_loop, render_job

VALUES = (chart.CHART / "values-eks-karpenter.yaml",)
SETTINGS = ("work.uri=s3://videos/work", "service.bucket=videos", "commonLabels.cluster=prod")
OURS = ("ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "PriorityClass")
NODE_FACTS = "karpenter.k8s.aws/"
GOES_AFTER = "10s"
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KarpenterPlane]:
    with KarpenterPlane(tmp_path_factory.mktemp("plane")) as running:
        running.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": chart.NAMESPACE}})
        running.apply({"apiVersion": "karpenter.kwok.sh/v1alpha1", "kind": "KWOKNodeClass",
                       "metadata": {"name": NODE_CLASS["name"]}})  # fmt: skip
        yield running


def install(plane: KarpenterPlane, *settings: str) -> dict[str, str]:
    """Apply what the chart makes of its values for Karpenter; return the variables of its operator."""
    found = chart.objects(*SETTINGS, *settings, values=VALUES)
    pools = [_quicker(pool) for pool in chart.of_kind(found, "NodePool")]
    rights = [one for kind in OURS for one in chart.of_kind(found, kind)]
    plane.apply(*rights, *pools, *chart.of_kind(found, "Deployment", "ecg-render-warm"))
    variables = {one["name"]: one["value"] for one in chart.container(found)["env"] if "value" in one}
    return {**variables, "HEALTH_PORT": "0", "OPERATOR_NAMESPACES": chart.NAMESPACE}


def _quicker(pool: Json) -> Json:
    """Return a NodePool of the chart for nodes of kwok, which go after seconds, by day and by night."""
    assert pool["spec"]["disruption"]["consolidateAfter"] == "10m"
    pool["spec"]["disruption"]["consolidateAfter"] = GOES_AFTER
    pool["spec"]["disruption"]["budgets"] = [
        one for one in pool["spec"]["disruption"]["budgets"] if "schedule" not in one
    ]
    pool["spec"]["template"]["spec"]["nodeClassRef"] = NODE_CLASS
    return pool


@on_a_loop
async def test_a_burst_brings_gpu_nodes_quiet_takes_them_away_and_a_busy_one_never(plane: KarpenterPlane) -> None:
    variables = install(plane)
    account = plane.kubeconfig_for("ecg-render-operator", chart.NAMESPACE)
    operator = {"kubeconfig": account, "settings": read_settings(variables)}
    async with Site(plane.kubeconfig, chart.NAMESPACE) as site, site.operator(**operator):
        began = time.monotonic()
        await site.apply(_job("long", "3m"))
        for number in range(5):
            await site.apply(_job(f"short-{number}", "10s"))
        await _until(lambda: len(_gpu_nodes(plane)) == 6 and len(_segment_pods(plane, "Running")) == 6, 90)
        _say("six nodes render", began)
        nodes = _gpu_nodes(plane)
        assert {_label(node, "instance-family") for node in nodes} <= {"g4dn", "g5", "g6"}
        assert {_label(node, "instance-cpu") for node in nodes} <= {"8", "16"}
        assert set(_capacity_types(plane)) == {"spot"}
        assert {node["status"]["allocatable"][GPU] for node in nodes} == {"1"}
        choices = {"g4dn.2xlarge", "g5.2xlarge", "g6.2xlarge", "g6.4xlarge"}
        assert [_types(claim) for claim in plane.items("nodeclaims")] == [choices] * 6
        (busy,) = [pod for pod in _segment_pods(plane) if pod["metadata"]["name"].startswith("long")]

        for number in range(5):
            job = await site.until(f"short-{number}", finished, 60)
            assert job["status"]["phase"] == "Succeeded", job["status"]
        quiet = time.monotonic()
        await _until(lambda: len(_gpu_nodes(plane)) == 1, 90)
        _say("five empty nodes are gone", quiet)
        assert [node["metadata"]["name"] for node in _gpu_nodes(plane)] == [busy["spec"]["nodeName"]]

        # Another template: Karpenter replaces nodes that are not of it. A busy one gets no more pods, and is left.
        _change_pools(plane, {"template": {"metadata": {"labels": {"test": "drift"}}}})
        await _until(lambda: bool(_draining(plane)), 90)
        await asyncio.sleep(15)
        (same,) = _segment_pods(plane, "Running")
        assert same["metadata"]["uid"] == busy["metadata"]["uid"]
        assert "deletionTimestamp" not in same["metadata"]
        job = await site.until("long", finished, 180)
        assert job["status"]["phase"] == "Succeeded", job["status"]
        assert job["status"]["run"].get("disrupted", []) == []
        quiet = time.monotonic()
        await _until(lambda: not _gpu_nodes(plane), 120)
        _say("nothing is left", quiet)


@on_a_loop
async def test_placeholders_keep_nodes_warm_and_make_room_without_bringing_others(plane: KarpenterPlane) -> None:
    always = (
        "capacity.enabled=true",
        "capacity.windows[0].floor=2",
        "capacity.windows[0].ceiling=2",
        "capacity.windows[0].begin=00:00",
        "capacity.windows[0].end=24:00",
        "capacity.otherwise.floor=2",
        "capacity.otherwise.ceiling=2",
    )
    variables = install(plane, *always)
    account = plane.kubeconfig_for("ecg-render-operator", chart.NAMESPACE)
    operator = {"kubeconfig": account, "settings": read_settings(variables)}
    async with Site(plane.kubeconfig, chart.NAMESPACE) as site, site.operator(**operator):
        began = time.monotonic()
        await _until(lambda: len(_warm(plane)) == 2, 90)
        _say("two places are warm", began)
        kept = {node["metadata"]["name"] for node in _gpu_nodes(plane)}
        assert {pod["spec"]["nodeName"] for pod in _warm(plane)} == kept
        await asyncio.sleep(40)
        assert {node["metadata"]["name"] for node in _gpu_nodes(plane)} == kept, "longer than an empty one lives"

        # In the chart's ten minutes they come back; in the test's ten seconds the nodes would be gone before.
        _change_pools(plane, {"disruption": {"consolidateAfter": "5m"}})
        for number in range(2):
            await site.apply(_job(f"quick-{number}", "20s"))
        await _until(lambda: len(_segment_pods(plane, "Running")) == 2, 30)
        pods = _segment_pods(plane, "Running")
        assert {pod["spec"]["nodeName"] for pod in pods} == kept
        waited = [_seconds_to_a_node(pod) for pod in pods]
        sys.stderr.write(f"karpenter: segments had their nodes after {waited} s\n")
        assert max(waited) <= 5
        for number in range(2):
            await site.until(f"quick-{number}", finished, 90)
        came = [claim["metadata"]["name"] for claim in plane.items("nodeclaims")]
        assert len(came) == 2, f"nobody waited, so no node had to come: {came}"
        await _until(lambda: len(_warm(plane)) == 2, 120)
        assert {node["metadata"]["name"] for node in _gpu_nodes(plane)} == kept
    _change_pools(plane, {"disruption": {"consolidateAfter": GOES_AFTER}})
    plane.kubectl("delete", "deployment", "ecg-render-warm", f"--namespace={chart.NAMESPACE}")
    await _until(lambda: not _gpu_nodes(plane), 120)


@on_a_loop
async def test_where_no_spot_is_left_renders_get_nodes_on_demand_and_spot_again_when_there_is(
    plane: KarpenterPlane,
) -> None:
    variables = install(plane)
    account = plane.kubeconfig_for("ecg-render-operator", chart.NAMESPACE)
    operator = {"kubeconfig": account, "settings": read_settings(variables)}
    async with Site(plane.kubeconfig, chart.NAMESPACE) as site, site.operator(**operator):
        for has_spot, kind in ((False, "on-demand"), (True, "spot")):
            plane.start_karpenter(has_spot=has_spot)
            began = time.monotonic()
            for number in range(2):
                await site.apply(_job(f"{kind}-{number}", "15s"))
            await _until(lambda: len(_segment_pods(plane, "Running")) == 2, 90)
            _say(f"two nodes of {kind} render", began)
            assert [node["metadata"]["labels"]["karpenter.sh/capacity-type"] for node in _gpu_nodes(plane)] == [
                kind
            ] * 2
            for number in range(2):
                job = await site.until(f"{kind}-{number}", finished, 60)
                assert job["status"]["phase"] == "Succeeded", job["status"]
            await _until(lambda: not _gpu_nodes(plane), 120)


def _change_pools(plane: KarpenterPlane, spec: Json) -> None:
    names = [pool["metadata"]["name"] for pool in plane.items("nodepools")]
    plane.kubectl("patch", "nodepool", *names, "--type=merge", f"--patch={json.dumps({'spec': spec})}")


def _warm(plane: KarpenterPlane) -> list[Json]:
    found = plane.items("pods", f"--namespace={chart.NAMESPACE}", "--selector=app.kubernetes.io/name=ecg-warm")
    return [pod for pod in found if pod["status"]["phase"] == "Running"]


def _seconds_to_a_node(pod: Json) -> float:
    (placed,) = (one for one in pod["status"]["conditions"] if one["type"] == "PodScheduled")
    began, ended = (
        datetime.fromisoformat(at) for at in (pod["metadata"]["creationTimestamp"], placed["lastTransitionTime"])
    )
    return (ended - began).total_seconds()


def _job(name: str, runs_for: str) -> Json:
    overrides = {"metadata": {"annotations": {RUNS_FOR: runs_for}}}
    return render_job(name, placement={"podTemplateOverrides": overrides})


def _gpu_nodes(plane: KarpenterPlane) -> list[Json]:
    return plane.items("nodes", "--selector=karpenter.sh/nodepool")


def _capacity_types(plane: KarpenterPlane) -> list[str]:
    return [node["metadata"]["labels"]["karpenter.sh/capacity-type"] for node in _gpu_nodes(plane)]


def _draining(plane: KarpenterPlane) -> list[Json]:
    return [claim for claim in plane.items("nodeclaims") if "deletionTimestamp" in claim["metadata"]]


def _segment_pods(plane: KarpenterPlane, phase: str = "") -> list[Json]:
    found = plane.items("pods", f"--namespace={chart.NAMESPACE}", "--selector=render.ecg.dev/role=segments")
    return [pod for pod in found if phase in ("", pod["status"]["phase"])]


def _label(node: Json, name: str) -> str:
    return str(node["metadata"]["labels"][f"{NODE_FACTS}{name}"])


def _types(claim: Json) -> set[str]:
    wanted = "node.kubernetes.io/instance-type"
    return set(next(one["values"] for one in claim["spec"]["requirements"] if one["key"] == wanted))


async def _until(wanted: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not await asyncio.to_thread(wanted):
        assert time.monotonic() < deadline, f"not after {seconds} s"
        await asyncio.sleep(1)


def _say(what: str, since: float) -> None:
    sys.stderr.write(f"karpenter: {what} after {time.monotonic() - since:.0f} s\n")
