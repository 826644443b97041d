"""The one node of a test cluster: containerd with runc, kubelet, kube-proxy. Needs root."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psutil

from archives import write_image
from cluster_network import Network
from control_plane import ControlPlane, openssl
from daemons import wait_until_ended
from go_tools import tool

NODE = "node-1"
PAUSE_IMAGE = "registry.local/pause:1"
CNI_PLUGINS = Path("/usr/lib/cni")
SECONDS_TO_START = 60.0
SECONDS_TO_EMPTY = 15.0


class Node:
    """A node below `folder`, in the network namespace of `network`."""

    def __init__(self, folder: Path, network: Network) -> None:
        self.folder = folder
        self.network = network
        self.socket = folder / "containerd.sock"

    @property
    def api_flags(self) -> tuple[str, ...]:
        """Flags by which the API server reaches the kubelet for logs, exec and port-forward."""
        certificate, key = self.folder / "api-client.crt", self.folder / "api-client.key"
        return (
            f"--kubelet-client-certificate={certificate}",
            f"--kubelet-client-key={key}",
            "--kubelet-preferred-address-types=InternalIP",
        )

    def write_certificates(self) -> None:
        """Make an authority and the certificate by which the API server shows itself to the kubelet."""
        self.folder.mkdir(parents=True, exist_ok=True)
        ca, client = self.folder / "ca", self.folder / "api-client"
        new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        openssl(
            "req", "-x509", *new, "-days", "30", "-subj", "/CN=node-ca", "-keyout", f"{ca}.key", "-out", f"{ca}.crt"
        )
        subject = ("-subj", "/O=system:masters/CN=apiserver")
        openssl("req", *new, *subject, "-keyout", f"{client}.key", "-out", f"{client}.csr")
        authority = ("-CA", f"{ca}.crt", "-CAkey", f"{ca}.key", "-CAcreateserial")
        openssl("x509", "-req", "-days", "30", "-in", f"{client}.csr", *authority, "-out", f"{client}.crt")

    def start(self, plane: ControlPlane) -> None:
        """Start the node's programs and wait until Kubernetes calls it ready."""
        daemons, config = plane.daemons, f"--kubeconfig={plane.kubeconfig}"
        self.network.write_cni(self.folder / "cni")
        (self.folder / "containerd.toml").write_text(self._containerd_config())
        (self.folder / "kubelet.json").write_text(json.dumps(self._kubelet_config()))
        daemons.start("containerd", [*self.network.prefix, "containerd", "-c", self.folder / "containerd.toml"])
        daemons.wait_until("containerd", self._runtime_answers, SECONDS_TO_START)
        write_image(tool("pause"), PAUSE_IMAGE, self.folder / "pause.tar")
        self.load(self.folder / "pause.tar")
        self._start(
            plane,
            "kubelet",
            config,
            f"--config={self.folder / 'kubelet.json'}",
            f"--hostname-override={NODE}",
            f"--root-dir={self.folder / 'kubelet'}",
            f"--cert-dir={self.folder / 'kubelet-pki'}",
            f"--node-ip={self.network.node}",
        )
        self._start(
            plane,
            "kube-proxy",
            config,
            f"--hostname-override={NODE}",
            "--proxy-mode=nftables",
            f"--cluster-cidr={self.network.pods}",
            "--conntrack-max-per-core=0",
        )
        daemons.wait_until("kubelet", lambda: _is_ready(plane), SECONDS_TO_START)

    def load(self, archive: Path) -> None:
        """Give the node the image of an archive."""
        self._ctr("images", "import", str(archive))

    def process_of(self, container: str) -> int:
        """Return the process of a container, which is named as a pod's status names it."""
        tasks = self._ctr("tasks", "ls").splitlines()
        name = container.removeprefix("containerd://")
        return next(int(line.split()[1]) for line in tasks if line.startswith(name))

    def stop(self, plane: ControlPlane) -> None:
        """End pods, programs and mounts; nothing of the node is left but files."""
        plane.daemons.stop("kubelet", seconds=3)
        if plane.daemons.process("containerd"):
            self._remove_containers()
        plane.daemons.stop("kube-proxy", "containerd", seconds=5)
        self._kill_left_shims()
        _unmount_below(self.folder)

    def _start(self, plane: ControlPlane, name: str, *flags: str) -> None:
        plane.daemons.start(name, [*self.network.prefix, tool(name), *flags])

    def _remove_containers(self) -> None:
        deadline = time.monotonic() + SECONDS_TO_EMPTY
        while (tasks := self._listed("tasks")) and time.monotonic() < deadline:
            with suppress(subprocess.CalledProcessError):  # one that ended meanwhile
                self._ctr("tasks", "rm", "--force", *tasks)

    def _listed(self, kind: str) -> list[str]:
        return self._ctr(kind, "ls", "-q").split()

    def _ctr(self, *words: str) -> str:
        command = ["ctr", "--address", str(self.socket), "--namespace", "k8s.io", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def _runtime_answers(self) -> bool:
        try:
            self._ctr("version")
        except subprocess.CalledProcessError:
            return False
        return True

    def _kill_left_shims(self) -> None:
        left = [process for process in psutil.process_iter() if str(self.socket) in _command_line(process)]
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        wait_until_ended(left, 5)

    def _containerd_config(self) -> str:
        return f"""\
version = 2
root = "{self.folder}/containerd/root"
state = "{self.folder}/containerd/state"
[grpc]
  address = "{self.socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI_PLUGINS}"
    conf_dir = "{self.folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    # crun refuses machines that mount cgroup v1 and v2 side by side; runc does not mind.
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        BinaryName = "{shutil.which("runc")}"
        SystemdCgroup = false
"""

    def _kubelet_config(self) -> dict[str, object]:
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(self.folder / "ca.crt")},
            },
            "authorization": {"mode": "Webhook"},
            "containerRuntimeEndpoint": f"unix://{self.socket}",
            "address": self.network.node,
            "readOnlyPort": 0,
            "healthzPort": 0,
            # There is no DNS in the cluster: nobody listens there, so names fail at once.
            "clusterDNS": [self.network.gateway],
            "resolvConf": "",
            # A machine that is a container or a small virtual one: no cgroups of kubelet's own, no swap questions.
            "cgroupDriver": "cgroupfs",
            "failCgroupV1": False,
            "cgroupsPerQOS": False,
            "enforceNodeAllocatable": [],
            "localStorageCapacityIsolation": False,
            "failSwapOn": False,
            # Images come from archives; the garbage collection would remove what nobody can pull again.
            "imageGCHighThresholdPercent": 100,
            "evictionHard": {"memory.available": "100Mi"},
        }


def _is_ready(plane: ControlPlane) -> bool:
    path = "jsonpath={.status.conditions[?(@.type=='Ready')].status}"
    return plane.kubectl("get", "node", NODE, "--ignore-not-found", "--output", path, check=False) == "True"


def _command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _unmount_below(folder: Path) -> None:
    lines = Path("/proc/self/mounts").read_text().splitlines()
    mounts = [mount for line in lines if (mount := line.split()[1]).startswith(f"{folder}/")]
    for mount in sorted(mounts, reverse=True):
        subprocess.run(["umount", "--lazy", mount], check=False, capture_output=True)
