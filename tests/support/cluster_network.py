"""The network of a test cluster: a network namespace of its own, so that clusters disturb neither host nor each other.

    host 10.242.N.1 ── veth ── 10.242.N.2 namespace ecgN ── bridge 10.243.N.1/24 ── pods
         servers that pods use         API server, kube-proxy's rules

Pods reach the host's servers at 10.242.N.1, the host reaches pods at their own addresses. There is no way further out.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

MOST_CLUSTERS = 200


class NetworkProblem(Exception):
    """The kernel, or what limits this machine, does not let a network be made; the message is `ip`'s."""


class Network:
    """Network number N of this machine.

    Attributes:
        host: the host's address on the link to the cluster.
        node: address of the node and of the API server.
        gateway: address of the bridge, which pods see as their router.
        pods: the pods' addresses.
        prefix: words before a command that run it in the namespace.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.name = f"ecg{number}"
        self.host = f"10.242.{number}.1"
        self.node = f"10.242.{number}.2"
        self.gateway = f"10.243.{number}.1"
        self.pods = f"10.243.{number}.0/24"
        # Not `ip netns exec`: it mounts /sys anew, without the cgroups that containers need.
        self.prefix = ("nsenter", f"--net=/run/netns/{self.name}", "--")

    @classmethod
    def create(cls) -> Network:
        """Make the first network that is not in use; making its namespace is what reserves it."""
        for number in range(MOST_CLUSTERS):
            network = cls(number)
            try:
                _run("ip", "netns", "add", network.name)
            except NetworkProblem:
                if network.exists:
                    continue
                raise
            try:
                network._connect()
            except BaseException:
                network.delete()
                raise
            return network
        raise NetworkProblem(f"all {MOST_CLUSTERS} test networks are in use: `ip netns` lists them")

    @property
    def exists(self) -> bool:
        """Whether somebody has made this network."""
        return Path(f"/run/netns/{self.name}").exists()

    def _connect(self) -> None:
        outside, inside, bridge = f"{self.name}h", f"{self.name}c", f"{self.name}br"
        _run("ip", "link", "add", outside, "type", "veth", "peer", "name", inside, "netns", self.name)
        _run("ip", "addr", "add", f"{self.host}/30", "dev", outside)
        _run("ip", "link", "set", outside, "up")
        for words in (
            f"link set {inside} up",
            "link set lo up",
            f"addr add {self.node}/30 dev {inside}",
            # An address of its own: else a bridge takes the lowest of its pods', another with each that comes or
            # goes, and what pods send to the one that they know is lost for seconds.
            f"link add {bridge} address {_hardware_address(self.gateway)} type bridge",
            f"addr add {self.gateway}/24 dev {bridge}",
            f"link set {bridge} up",
        ):
            _run("ip", "-netns", self.name, *words.split())
        _run(*self.prefix, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        _run("ip", "route", "add", self.pods, "via", self.node)

    def write_cni(self, folder: Path) -> None:
        """Write the configuration by which containerd connects pods to the bridge."""
        ranges = [[{"subnet": self.pods}]]
        ipam = {
            "type": "host-local",
            "dataDir": str(folder / "ipam"),
            "ranges": ranges,
            "routes": [{"dst": "0.0.0.0/0"}],
        }
        bridge = {"type": "bridge", "bridge": f"{self.name}br", "isGateway": True, "hairpinMode": True, "ipam": ipam}
        config = {"cniVersion": "0.4.0", "name": self.name, "plugins": [bridge]}
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "10-bridge.conflist").write_text(json.dumps(config))

    def delete(self) -> None:
        """Remove the namespace; bridge, links, routes and packet filter rules go with it."""
        with suppress(NetworkProblem):
            # The host's end would stay until the kernel has cleaned up the namespace.
            _run("ip", "link", "delete", f"{self.name}h")
        with suppress(NetworkProblem):
            _run("ip", "netns", "delete", self.name)
        for file in _cni_results(self.name):
            file.unlink(missing_ok=True)


def _hardware_address(address: str) -> str:
    """Return a locally administered hardware address for an IPv4 address."""
    return ":".join(["0a", "58", *(f"{int(part):02x}" for part in address.split("."))])


def _cni_results(name: str) -> Iterator[Path]:
    return Path("/var/lib/cni/results").glob(f"{name}-*")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise NetworkProblem(f"{' '.join(command)}: {done.stderr.strip()}")
