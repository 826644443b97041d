"""The cluster that other tests rely on: it runs pods, counts GPUs, stands beside another one, and leaves nothing."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

import cluster as one_node
from archives import write_image
from cluster import CannotRun, Cluster
from cluster_network import Network
from go_tools import tool
from needs_root import needs_root
from studio import wait_until

pytestmark = pytest.mark.timeout(300)

IMAGE = "registry.local/pause-as-job:1"


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a short name: sockets lie deep below it."""
    return tmp_path_factory.mktemp("c")


@pytest.fixture
def running(folder: Path) -> Iterator[Cluster]:
    """A cluster of one GPU with an image whose program waits for the signal to end."""
    needs_root()
    with Cluster(folder / "cluster", gpus=1) as started:
        write_image(tool("pause"), IMAGE, folder / "image.tar")
        started.load(folder / "image.tar")
        yield started


def test_the_scheduler_counts_gpus_and_the_node_can_get_more(running: Cluster) -> None:
    _apply(running, _pod("first"), _pod("second"))

    wait_until(lambda: _phases(running) == {"first": "Running", "second": "Pending"}, 90, lambda: str(_phases(running)))
    running.set_gpus(2)

    wait_until(lambda: _phases(running) == {"first": "Running", "second": "Running"}, 90, lambda: str(_phases(running)))


def test_two_clusters_stand_side_by_side_and_leave_nothing(running: Cluster, folder: Path) -> None:
    before = _networks()
    with Cluster(folder / "other") as other:
        assert other.network.number != running.network.number
        write_image(tool("pause"), IMAGE, folder / "other.tar")
        other.load(folder / "other.tar")
        _apply(other, _pod("alone"))
        wait_until(lambda: _phases(other) == {"alone": "Running"}, 90)
        address = json.loads(other.kubectl("get", "pod", "alone", "--output=json"))["status"]["podIP"]
        assert address.startswith("10.243.")
        network = other.network.name
        there = _traces(folder / "other", network)
        assert {trace.partition(" ")[0] for trace in there} == {"process", "mount", "namespace", "interface"}
        assert running.plane.is_ready()

    # The kernel takes a network apart in its own time; the next cluster of any test may have one of the same name.
    wait_until(lambda: not there & _traces(folder / "other", network), 60, lambda: str(there))
    wait_until(lambda: _networks() == before, 60, lambda: str(_networks() ^ before))
    assert not (folder / "other").exists()
    assert running.plane.is_ready()


def test_the_pods_router_keeps_its_hardware_address_when_pods_come_and_go() -> None:
    needs_root()
    network = Network.create()
    try:
        at_first = _hardware_address(network)
        for pod in range(8):
            _ip(network, f"link add pod{pod} type veth peer name of{pod}")
            _ip(network, f"link set pod{pod} master {network.name}br up")
            assert _hardware_address(network) == at_first
    finally:
        network.delete()


def test_who_is_not_root_is_told_what_is_missing(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(CannotRun, match="needs root"):
        Cluster(folder / "cluster").start()
    assert not (folder / "cluster").exists()


def test_a_folder_with_a_long_name_is_refused(folder: Path) -> None:
    needs_root()
    with pytest.raises(CannotRun, match="sockets"):
        Cluster(folder / ("long" * 20)).start()


def test_a_missing_program_is_named_by_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(one_node, "PROGRAMS", {"sh": "dash", "no-such-program": "its-package"})
    with pytest.raises(CannotRun, match="apt-get install its-package"):
        one_node.check_machine()


def _pod(name: str) -> dict[str, object]:
    container = {
        "name": "c",
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "resources": {"limits": {"nvidia.com/gpu": "1"}},
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [container]}}


def _apply(cluster: Cluster, *objects: dict[str, object]) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))


def _hardware_address(network: Network) -> str:
    (link,) = json.loads(_ip(network, f"-json link show {network.name}br"))
    return str(link["address"])


def _ip(network: Network, words: str) -> str:
    command = ["ip", "-netns", network.name, *words.split()]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _phases(cluster: Cluster) -> dict[str, str]:
    pods = json.loads(cluster.kubectl("get", "pods", "--output=json"))["items"]
    return {pod["metadata"]["name"]: pod["status"]["phase"] for pod in pods}


def _traces(folder: Path, network: str) -> set[str]:
    """Return what a cluster has on this machine: processes and mounts below `folder`, and its network."""
    commands = (process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"]))
    found = {f"process {words[0]} {words[-1]}" for words in commands if any(str(folder) in word for word in words)}
    lines = Path("/proc/self/mounts").read_text().splitlines()
    found |= {f"mount {line.split()[1]}" for line in lines if str(folder) in line}
    with suppress(FileNotFoundError):
        found.add(f"namespace {network}, {Path(f'/run/netns/{network}').stat().st_ino}")
        found.add(f"interface {network}h, {Path(f'/sys/class/net/{network}h/ifindex').read_text()}")
    return found


def _networks() -> set[str]:
    """Return this machine's network namespaces and interfaces, without those that clusters of tests have by number."""
    names = {path.name for place in ("/run/netns", "/sys/class/net") for path in Path(place).glob("*")}
    return {name for name in names if not re.match(r"ecg\d", name)}
