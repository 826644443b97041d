"""A Kubernetes control plane for tests: etcd and a real API server, with controllers and scheduler if wanted.

    with ControlPlane(folder, controllers=True) as plane:
        plane.kubectl("apply", "-f", "-", stdin=manifest)
        plane.kill_api_server(); plane.start_api_server()    # the same port, the same data

It needs no root and takes about three seconds. There is no kubelet: pods stay pending unless somebody plays the node
(kwok, or a test that writes pod statuses).
"""

from __future__ import annotations

import json
import secrets
import ssl
import subprocess
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from daemons import Daemons
from go_tools import tool
from ports import free_ports

CRD = Path(__file__).parents[2] / "crds" / "renderjob.yaml"
SECONDS_TO_START = 90.0


@dataclass(frozen=True)
class Listen:
    """Where the servers of one control plane listen."""

    host: str
    api: int
    etcd: int
    etcd_peers: int

    @classmethod
    def locally(cls) -> Listen:
        """Return free ports of this machine's loopback address."""
        return cls("127.0.0.1", *free_ports(3))


class ControlPlane:
    """One control plane; all its files lie in `folder`.

    Args:
        folder: for data, certificates, logs and the kubeconfig; need not exist.
        controllers: run kube-controller-manager (Jobs make pods, owners are garbage collected).
        scheduler: run kube-scheduler (pods get nodes).
        listen: addresses to listen on; free local ports without it.
        api_flags: further flags for kube-apiserver.
        prefix: words before each command, such as those that enter a network namespace.
    """

    def __init__(
        self,
        folder: Path,
        *,
        controllers: bool = False,
        scheduler: bool = False,
        listen: Listen | None = None,
        api_flags: tuple[str, ...] = (),
        prefix: tuple[str, ...] = (),
    ) -> None:
        self.folder = folder
        self.listen = listen or Listen.locally()
        self.daemons = Daemons(folder / "run")
        self.kubeconfig = folder / "kubeconfig"
        self.ca_file = folder / "pki" / "apiserver.crt"
        self._controllers = controllers
        self._scheduler = scheduler
        self._api_flags = api_flags
        self._prefix = prefix
        self._token = secrets.token_hex(16)

    @property
    def url(self) -> str:
        """Address of the API server."""
        return f"https://{self.listen.host}:{self.listen.api}"

    def start(self) -> None:
        """Start everything, wait until the API answers, install the CRD of RenderJobs."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write_credentials()
        self._start_etcd()
        self.start_api_server()
        if self._controllers:
            self.start_controllers()
        if self._scheduler:
            flags = (f"--kubeconfig={self.kubeconfig}", "--leader-elect=false", "--secure-port=0")
            self._run("kube-scheduler", *flags)
        self.kubectl("apply", "--server-side", "-f", str(CRD))
        self.daemons.wait_until("kube-apiserver", self._serves_render_jobs, SECONDS_TO_START)

    def stop(self) -> None:
        """End all processes; the files stay."""
        self.daemons.stop("kube-scheduler", "kube-controller-manager", seconds=3)
        # The API server would wait up to a minute for open watches.
        self.daemons.kill("kube-apiserver")
        self.daemons.stop("etcd")

    def start_api_server(self, wait: bool = True) -> None:
        """Start the API server, after kill_api_server() on the same port with the same data."""
        key, listen = self.folder / "service-accounts.key", self.listen
        self._run(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{listen.etcd}",
            f"--cert-dir={self.ca_file.parent}",
            f"--bind-address={listen.host}",
            f"--advertise-address={listen.host}",
            f"--secure-port={listen.api}",
            "--endpoint-reconciler-type=lease",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            "--authorization-mode=Node,RBAC",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--allow-privileged=true",
            *self._api_flags,
        )
        if wait:
            self.daemons.wait_until("kube-apiserver", self.is_ready, SECONDS_TO_START)

    def kill_api_server(self) -> None:
        """End the API server at once; etcd keeps the data."""
        self.daemons.kill("kube-apiserver")

    def start_controllers(self) -> None:
        """Start kube-controller-manager, and wait until it cares for new namespaces."""
        self._run(
            "kube-controller-manager",
            f"--kubeconfig={self.kubeconfig}",
            "--leader-elect=false",
            "--secure-port=0",
            f"--service-account-private-key-file={self.folder / 'service-accounts.key'}",
            f"--root-ca-file={self.ca_file}",
            "--use-service-account-credentials=false",
            "--controllers=*,-node-ipam-controller,-service-lb-controller,-cloud-node-lifecycle-controller",
        )
        self.daemons.wait_until("kube-controller-manager", self._has_default_account, SECONDS_TO_START)

    def is_ready(self) -> bool:
        """Return whether the API server answers and has finished its own start."""
        try:
            trust = ssl.create_default_context(cafile=str(self.ca_file))
            request = urllib.request.Request(f"{self.url}/readyz", headers={"Authorization": f"Bearer {self._token}"})
            with urllib.request.urlopen(request, timeout=2, context=trust) as answer:
                return bool(answer.status == 200)
        except OSError:  # refused, not ready (503), or the certificate is not written yet
            return False

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """Run kubectl as the cluster's administrator; return what it prints.

        Raises AssertionError with its error text when it fails, unless `check` is off.
        """
        done = subprocess.run(
            [tool("kubectl"), f"--kubeconfig={self.kubeconfig}", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=300,
        )
        if check and done.returncode:
            raise AssertionError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout if done.returncode == 0 else done.stdout + done.stderr

    def new_namespace(self) -> str:
        """Create a namespace in which pods can be made; return its name."""
        name = f"t-{secrets.token_hex(4)}"
        self.kubectl("create", "namespace", name)
        self.kubectl("wait", "--for=create", "serviceaccount/default", f"--namespace={name}", "--timeout=20s")
        return name

    def kubeconfig_for(self, account: str, namespace: str) -> Path:
        """Return a kubeconfig that acts as a ServiceAccount, to try its permissions for real."""
        token = self.kubectl("create", "token", account, "--namespace", namespace, "--duration=2h").strip()
        return self._write_kubeconfig(self.folder / f"kubeconfig-{namespace}-{account}", token)

    def __enter__(self) -> ControlPlane:
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

    def _start_etcd(self) -> None:
        client = f"http://127.0.0.1:{self.listen.etcd}"
        self._run(
            "etcd",
            f"--data-dir={self.folder / 'etcd'}",
            "--unsafe-no-fsync",
            "--log-level=warn",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls=http://127.0.0.1:{self.listen.etcd_peers}",
        )

    def _run(self, name: str, *flags: str) -> None:
        self.daemons.start(name, [*self._prefix, tool(name), *flags])

    def _serves_render_jobs(self) -> bool:
        # Not `kubectl wait`: it fails where the new CRD has no conditions yet.
        return '"renderjobs"' in self.kubectl("get", "--raw", "/apis/render.ecg.dev/v1alpha1", check=False)

    def _has_default_account(self) -> bool:
        return bool(self.kubectl("get", "serviceaccount", "default", "--ignore-not-found", "--output=name"))

    def _write_credentials(self) -> None:
        key = self.folder / "service-accounts.key"
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(key))
        tokens = self.folder / "tokens.csv"
        tokens.touch(mode=0o600)
        tokens.write_text(f"{self._token},admin,admin,system:masters\n")
        self._write_kubeconfig(self.kubeconfig, self._token)

    def _write_kubeconfig(self, path: Path, token: str) -> Path:
        # The API server's self-signed certificate is its own authority.
        cluster = {"server": self.url, "certificate-authority": str(self.ca_file)}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "current-context": "test",
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps(config))
        return path


def openssl(*arguments: str) -> None:
    """Run openssl; raise AssertionError with what it said if it fails."""
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
