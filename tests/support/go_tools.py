"""Programs that the tests run, built from pinned Go modules: etcd, Kubernetes, helm and others, and neighbours.

    tool("kubectl") -> ~/.cache/ecg-render/bin/kubectl, built from tests/cluster/tools/kubernetes if it is not there

A program is built anew when the go.mod or go.sum that it came from changed. A lock file lets test runs that start
together build once. `ECG_TOOLS` names another folder for the programs.

    python tests/support/go_tools.py [NAME ...]     build what is missing, without names all but neighbours; print paths
"""

from __future__ import annotations

import fcntl
import functools
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

MODULES = Path(__file__).parents[1] / "cluster" / "tools"
FOLDER = Path(os.environ.get("ECG_TOOLS", "~/.cache/ecg-render/bin")).expanduser()

PACKAGES = {
    "etcd": ("etcd", "go.etcd.io/etcd/server/v3"),
    "kube-apiserver": ("kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver"),
    "kube-controller-manager": ("kubernetes", "k8s.io/kubernetes/cmd/kube-controller-manager"),
    "kube-scheduler": ("kubernetes", "k8s.io/kubernetes/cmd/kube-scheduler"),
    "kubelet": ("kubernetes", "k8s.io/kubernetes/cmd/kubelet"),
    "kube-proxy": ("kubernetes", "k8s.io/kubernetes/cmd/kube-proxy"),
    "kubectl": ("kubernetes", "k8s.io/kubernetes/cmd/kubectl"),
    "kwok": ("kwok", "sigs.k8s.io/kwok/cmd/kwok"),
    "helm": ("helm", "helm.sh/helm/v3/cmd/helm"),
    "versitygw": ("versitygw", "github.com/versity/versitygw/cmd/versitygw"),
    "pause": ("pause", "."),
    "kube-network-policies": ("networkpolicies", "sigs.k8s.io/kube-network-policies/cmd"),
    "karpenter": ("neighbours", "sigs.k8s.io/karpenter/kwok"),
    "kueue": ("neighbours", "sigs.k8s.io/kueue/cmd/kueue"),
}
"""Name of each program: the folder of the module that pins it, and its package."""

NEIGHBOURS = ("karpenter", "kueue")
"""Built for `make test-neighbours` only: each takes minutes."""

OLDEST_GO = (1, 26, 6)
"""What every go.mod of these modules is content with."""
GO_VERSION = "1.26.8"
GO_DIGESTS = {
    "amd64": "h1:ZOmGe1OnfREDMIdb1Qi4G9JSuDPBLGExZMQ4nis1RXM=",
    "arm64": "h1:sYL/O6MqS68ML0kjsQ36WoYIpJqkw60TxizWUYUKQMc=",
}
"""Digest of that Go release as a module, by Go's word for the processor."""


class ToolMissing(Exception):
    """A program cannot be had; the message says why and what to do."""


@functools.cache
def tool(name: str) -> Path:
    """Return the path of a program, building it if it is missing; raise ToolMissing when that fails."""
    module, package = PACKAGES[name]
    program, made_from = FOLDER / name, FOLDER / f".{name}.from"
    with _locked(module):
        digest = _digest(MODULES / module)
        if not (program.is_file() and made_from.is_file() and made_from.read_text() == digest):
            made_from.unlink(missing_ok=True)
            _build(MODULES / module, package, program)
            made_from.write_text(digest)
    return program


@contextmanager
def _locked(module: str) -> Iterator[None]:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / f".{module}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _digest(module: Path) -> str:
    return sha256(b"".join(file.read_bytes() for file in sorted(module.iterdir()))).hexdigest()


def _build(module: Path, package: str, program: Path) -> None:
    _say(f"building {program.name} (minutes the first time)")
    unfinished = program.with_name(f".{program.name}.new")
    flags = f"-s -w {_version_flags(module)}".strip()
    command = [_go(), "build", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", str(unfinished), package]
    environment = _go_environment() | {"CGO_ENABLED": "0"}
    done = subprocess.run(command, cwd=module, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise ToolMissing(f"{program.name} could not be built in {module}:\n{done.stderr[-2000:]}")
    unfinished.rename(program)


def _version_flags(module: Path) -> str:
    """Return linker flags that tell a program its own version, or that of Kubernetes; builds leave it out otherwise."""
    pinned = re.search(r"k8s\.io/(kubernetes v1|client-go v0)\.(\d+)\.(\d+)", (module / "go.mod").read_text())
    if pinned is None:
        return ""
    minor, patch = pinned[2], pinned[3]
    values = {
        "kubernetes": {
            "k8s.io/component-base/version.gitVersion": f"v1.{minor}.{patch}",
            "k8s.io/component-base/version.gitMajor": "1",
            "k8s.io/component-base/version.gitMinor": minor,
        },
        # What a chart's kubeVersion is compared with when there is no cluster to ask.
        "helm": {
            "helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor": "1",
            "helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor": minor,
        },
    }
    return " ".join(f"-X {name}={value}" for name, value in values.get(module.name, {}).items())


@functools.cache
def _go() -> str:
    """Return the command of a Go that is new enough: the one in PATH, or the pinned one fetched with it."""
    found = shutil.which("go")
    if found is None:
        raise ToolMissing("no Go here: install the package golang (any version; a newer Go is fetched if needed)")
    text = subprocess.run([found, "env", "GOVERSION"], capture_output=True, text=True, check=True).stdout
    version = re.match(r"go(\d+)\.(\d+)(?:\.(\d+))?", text)
    if version and tuple(int(part or 0) for part in version.groups()) >= OLDEST_GO:
        return found
    return _fetched_go(found)


def _fetched_go(old_go: str) -> str:
    """Return the command of the pinned Go release, fetched as the Go module that it is published as.

    Distributions keep old releases (Debian 12: Go 1.19), and those cannot fetch a newer one by themselves. The
    digest is checked here, and by `old_go` against the public checksum database.
    """
    processor = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    release = f"golang.org/toolchain@v0.0.1-go{GO_VERSION}.linux-{processor}"
    root = _fetched(old_go, release, GO_DIGESTS[processor])
    for program in (*(root / "bin").iterdir(), *(root / "pkg" / "tool").glob("*/*")):
        program.chmod(0o555)  # modules hold no executable files
    return str(root / "bin" / "go")


def module_folder(release: str, digest: str) -> Path:
    """Return the folder of a Go module, MODULE@VERSION, for files that it holds beside programs."""
    return _fetched(_go(), release, digest)


def _fetched(go: str, release: str, digest: str) -> Path:
    with tempfile.TemporaryDirectory() as nowhere:  # outside of any module
        command = [go, "mod", "download", "-json", release]
        done = subprocess.run(command, cwd=nowhere, env=_go_environment(), capture_output=True, text=True)
    if done.returncode:
        raise ToolMissing(f"{release} could not be fetched:\n{done.stdout}{done.stderr}")
    facts = json.loads(done.stdout)
    if facts["Sum"] != digest:
        raise ToolMissing(f"{release} has the digest {facts['Sum']}, not {digest}")
    return Path(facts["Dir"])


def _go_environment() -> dict[str, str]:
    """Return the environment without settings that would let another Go than the found one build."""
    return {name: value for name, value in os.environ.items() if name not in ("GOFLAGS", "GOROOT", "GOTOOLCHAIN")} | {
        "GOTOOLCHAIN": "local"
    }


def _say(text: str) -> None:
    sys.stderr.write(f"tools: {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    try:
        for wanted in sys.argv[1:] or [name for name in PACKAGES if name not in NEIGHBOURS]:
            sys.stdout.write(f"{tool(wanted)}\n")
    except ToolMissing as failed:
        sys.exit(f"tools: {failed}")
