"""A real Kubernetes with one node on this machine: our images run in real pods. Needs root and a few packages.

with Cluster(folder, gpus=2) as cluster:
    cluster.load(Path("image.tar"))
    cluster.kubectl("apply", "-f", "-", stdin=manifest)

PYTHONPATH=tests/support python -m cluster up | down | load FILE.tar     one that stays, for a developer
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import sys
from pathlib import Path
from types import TracebackType

from cluster_network import Network
from cluster_node import CNI_PLUGINS, NODE, Node
from control_plane import ControlPlane, Listen
from go_tools import tool
from s3 import S3Server

KEPT = Path("~/.cache/ecg-render/cluster").expanduser()
GPU = "nvidia.com/gpu"
LONGEST_FOLDER = 60

PROGRAMS = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "nft": "nftables",
    "iptables": "iptables",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "sysctl": "procps",
    "openssl": "openssl",
    str(CNI_PLUGINS / "bridge"): "containernetworking-plugins",
}
"""Program: the Debian package that it comes with."""


class CannotRun(Exception):
    """This machine or user cannot run a cluster; the message says what is missing."""


class Cluster:
    """A control plane, a node and an S3 server (`s3`); all files lie below `folder`.

    Args:
        folder: for everything; removed by stop().
        gpus: GPUs that the node claims to have. The scheduler counts them, no pod gets a device.
    """

    def __init__(self, folder: Path, gpus: int = 2) -> None:
        self.folder = folder
        self._gpus = gpus
        if (folder / "network").exists():
            self._assemble(Network(int((folder / "network").read_text())))

    @property
    def kubeconfig(self) -> Path:
        """Path of the administrator's kubeconfig."""
        return self.plane.kubeconfig

    def start(self) -> None:
        """Start everything; about five seconds once the programs are built."""
        check_machine()
        if len(str(self.folder)) > LONGEST_FOLDER:
            raise CannotRun(f"{self.folder}: sockets below it would have longer names than the kernel allows")
        self.folder.mkdir(parents=True)
        network = Network.create()
        (self.folder / "network").write_text(str(network.number))
        self._assemble(network)
        self.node.write_certificates()
        self.s3.start()
        self.plane.start()
        self.node.start(self.plane)
        self.set_gpus(self._gpus)

    def stop(self) -> None:
        """End all processes, remove all mounts, the network and the folder."""
        if (self.folder / "network").exists():
            self.node.stop(self.plane)
            self.s3.kill()
            self.plane.stop()
            self.network.delete()
        if self.folder.exists():
            shutil.rmtree(self.folder)

    @property
    def runs(self) -> bool:
        """Whether it was started, and has not ended since, as it does when the machine starts anew."""
        return (self.folder / "network").exists() and self.plane.daemons.process("kube-apiserver") is not None

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """Run kubectl as the cluster's administrator; return what it prints; AssertionError when it fails."""
        return self.plane.kubectl(*arguments, stdin=stdin, check=check)

    def load(self, archive: Path) -> None:
        """Give the node the images of an archive as `docker save` or `buildah push` write it."""
        self.node.load(archive)

    def set_gpus(self, count: int) -> None:
        """Let the node have `count` GPUs from now on; pods that run already stay."""
        resources = {GPU: str(count)}
        status = json.dumps({"status": {"capacity": resources, "allocatable": resources}})
        self.kubectl("patch", "node", NODE, "--subresource=status", "--type=merge", "--patch", status)

    def __enter__(self) -> Cluster:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _assemble(self, network: Network) -> None:
        self.network = network
        self.node = Node(self.folder / "node", network)
        # On the link to the cluster: pods and this machine reach it by the same address.
        self.s3 = S3Server(self.folder / "s3", host=network.host)
        self.plane = ControlPlane(
            self.folder / "plane",
            controllers=True,
            scheduler=True,
            listen=Listen(network.node, 6443, 2379, 2380),
            api_flags=self.node.api_flags,
            prefix=network.prefix,
        )


def check_machine() -> None:
    """Raise CannotRun unless this user can run a cluster here."""
    if os.geteuid() != 0:
        raise CannotRun("a kubelet needs root: run this as root (the other tests need none)")
    missing = sorted({package for program, package in PROGRAMS.items() if not shutil.which(program)})
    if missing:
        raise CannotRun(f"missing here: apt-get install {' '.join(missing)}")


def up(gpus: int) -> None:
    """Start the cluster that stays, unless it runs; print how to use it."""
    notes = KEPT / "environment"
    cluster = Cluster(KEPT, gpus)
    if not (cluster.runs and notes.exists()):
        try:
            cluster.stop()  # what an interrupted start has left
            cluster.start()
        except BaseException:
            cluster.stop()
            raise
        settings = {"KUBECONFIG": str(cluster.kubeconfig), **cluster.s3.environment()}
        words = " ".join(f"{name}={shlex.quote(value)}" for name, value in settings.items())
        notes.touch(mode=0o600)
        notes.write_text(f"export PATH={shlex.quote(str(tool('kubectl').parent))}:$PATH {words}\n")
    sys.stdout.write(notes.read_text())


def main() -> None:
    """Serve the command line."""
    parser = argparse.ArgumentParser(prog="cluster", description="A Kubernetes with one node that stays.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("up", help="start it and print an export line").add_argument("--gpus", type=int, default=2)
    verbs.add_parser("down", help="end it and remove everything")
    verbs.add_parser("load", help="give it an image").add_argument("archive", type=Path)
    asked = parser.parse_args()
    try:
        if asked.verb == "up":
            up(asked.gpus)
        elif asked.verb == "down":
            Cluster(KEPT).stop()
        else:
            Cluster(KEPT).load(asked.archive)
    except CannotRun as refused:
        sys.exit(f"cluster: {refused}")


if __name__ == "__main__":
    main()
