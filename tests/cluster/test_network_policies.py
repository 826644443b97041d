"""Who reaches whom by the chart's NetworkPolicies, by packets: real pods, and a plugin that enforces policies.

The plugin is SIG Network's kube-network-policies: the kernel hands it the first packet of each connection. Addresses
outside of the cluster are those of a network namespace behind it.
"""

from __future__ import annotations

import ipaddress
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence

import pytest

import chart
from archives import write_image
from cluster import Cluster
from cluster_network import Network
from cluster_node import PAUSE_IMAGE
from go_tools import tool
from needs_root import needs_root
from network_cases import CASES, ON, Pod
from studio import wait_until

PLUGIN = "registry.local/kube-network-policies:1"
QUEUE = "100"
ROUNDS = 5
Case = tuple[Pod | str, Pod | str, int, bool]
# Who refuses a connection was reached; whose packets are dropped waits for an answer.
TRIES = """\
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor

def reached(case):
    own, address, port = case
    with socket.socket() as trying:
        trying.settimeout(2)
        if own:
            trying.bind((own, 0))
        try:
            trying.connect((address, port))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return True

with ThreadPoolExecutor(50) as pool:
    print(json.dumps(list(pool.map(reached, json.load(sys.stdin)))))
"""


def _by_packets(case: Case) -> bool:
    """Tell whether a case can be tried here, where addresses are of IPv4; a pod's loopback is itself."""
    address = case[1]
    return isinstance(address, Pod) or (":" not in address and not ipaddress.ip_address(address).is_loopback)


TRIED = [case for case in CASES if _by_packets(case)]
OUTSIDE = sorted({one for case in TRIED for one in case[:2] if isinstance(one, str)})


class Place:
    """The pods of the table, each in its network namespace, and what is outside of the cluster."""

    def __init__(self, cluster: Cluster, outside: str) -> None:
        self._cluster = cluster
        self._outside = outside
        self.pods = {case[0]: f"from-{number}" for number, case in enumerate(CASES) if isinstance(case[0], Pod)}
        self.targets = {case[1]: f"to-{number}" for number, case in enumerate(CASES) if isinstance(case[1], Pod)}

    def make_pods(self) -> None:
        """Make the pods, and wait until all run."""
        made = [*self.pods.items(), *self.targets.items()]
        for namespace in {pod.namespace for pod, _ in made} - {"kube-system"}:
            self._cluster.kubectl("create", "namespace", namespace)
        for namespace in {pod.namespace for pod, _ in made}:
            self._cluster.kubectl("wait", "--for=create", "serviceaccount/default", "-n", namespace, "--timeout=30s")
        apply(self._cluster, [_manifest(pod, name) for pod, name in made])
        self._cluster.kubectl("wait", "--for=condition=Ready", "pods", "--all", "-A", "--timeout=120s")

    def reached(self, source: Pod | str, cases: Sequence[Case]) -> list[bool]:
        """Return which targets of these cases `source` reaches."""
        own = source if isinstance(source, str) else ""
        asked = [(own, self._address(target), port) for _, target, port, _ in cases]
        command = [*self._namespace(source), sys.executable, "-c", TRIES]
        done = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, check=True)
        found: list[bool] = json.loads(done.stdout)
        return found

    def _address(self, target: Pod | str) -> str:
        if isinstance(target, str):
            return target
        words = ("get", "pod", self.targets[target], "--namespace", target.namespace)
        return self._cluster.kubectl(*words, "--output=jsonpath={.status.podIP}")

    def _namespace(self, source: Pod | str) -> list[str]:
        if isinstance(source, str):
            return ["nsenter", f"--net=/run/netns/{self._outside}", "--"]
        words = ("get", "pod", self.pods[source], "--namespace", source.namespace)
        container = self._cluster.kubectl(*words, "--output=jsonpath={.status.containerStatuses[0].containerID}")
        return ["nsenter", f"--net=/proc/{self._cluster.node.process_of(container)}/ns/net", "--"]


def _manifest(pod: Pod, name: str) -> chart.Json:
    container = {"name": "renderer", "image": PAUSE_IMAGE, "imagePullPolicy": "Never"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": pod.namespace, "labels": dict(pod.labels)},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }


def apply(cluster: Cluster, objects: Sequence[Mapping[str, object]]) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster whose network keeps to NetworkPolicies."""
    needs_root()
    folder = tmp_path_factory.mktemp("n")
    with Cluster(folder / "cluster") as running:
        write_image(tool("kube-network-policies"), PLUGIN, folder / "plugin.tar")
        running.load(folder / "plugin.tar")
        apply(running, _plugin(running.network))
        # The plugin's own rules want nft_queue, which not every kernel has; iptables' target is older.
        _run(*running.network.prefix, "iptables", "-A", "FORWARD", "-m", "conntrack", "--ctstate", "NEW",
             "-j", "NFQUEUE", "--queue-num", QUEUE)  # fmt: skip
        yield running


def _plugin(network: Network) -> list[chart.Json]:
    """Return the plugin as its project installs it, and the rights that it needs."""
    name = {"name": "kube-network-policies", "namespace": "kube-system"}
    rules = [
        {"apiGroups": [""], "resources": ["pods", "namespaces", "nodes"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": ["list", "watch"]},
    ]
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name["name"]}
    container = {
        "name": "plugin",
        "image": PLUGIN,
        "imagePullPolicy": "Never",
        "args": [
            "--hostname-override=node-1",
            f"--nfqueue-id={QUEUE}",
            "--disable-nri",
            "--netfilter-bug-1766-fix=false",
        ],
        "securityContext": {"privileged": True},
        # Services are kube-proxy's business, and of no use to who starts before it.
        "env": [
            {"name": "KUBERNETES_SERVICE_HOST", "value": network.node},
            {"name": "KUBERNETES_SERVICE_PORT", "value": "6443"},
        ],
    }
    spec = {"hostNetwork": True, "serviceAccountName": name["name"], "containers": [container]}
    rbac = "rbac.authorization.k8s.io/v1"
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": name},
        {"apiVersion": rbac, "kind": "ClusterRole", "metadata": {"name": name["name"]}, "rules": rules},
        {"apiVersion": rbac, "kind": "ClusterRoleBinding", "metadata": {"name": name["name"]}, "roleRef": role,
         "subjects": [{"kind": "ServiceAccount", **name}]},
        {"apiVersion": "v1", "kind": "Pod", "metadata": name, "spec": spec},
    ]  # fmt: skip


@pytest.fixture(scope="module")
def place(cluster: Cluster) -> Iterator[Place]:
    """The pods, and a network namespace with the addresses outside of the cluster."""
    network = cluster.network
    outside, ours, theirs = f"{network.name}o", f"{network.name}w", f"{network.name}x"
    _run("ip", "netns", "add", outside)
    try:
        _run(*network.prefix, "ip", "link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", outside)
        for words in (f"addr add 10.244.{network.number}.1/30 dev {ours}", f"link set {ours} up",
                      f"route add default via 10.244.{network.number}.2"):  # fmt: skip
            _run(*network.prefix, "ip", *words.split())
        for words in (f"addr add 10.244.{network.number}.2/30 dev {theirs}", f"link set {theirs} up", "link set lo up",
                      f"route add {network.pods} via 10.244.{network.number}.1",
                      *(f"addr add {address}/32 dev lo" for address in OUTSIDE)):  # fmt: skip
            _run("ip", "-netns", outside, *words.split())
        made = Place(cluster, outside)
        made.make_pods()
        yield made
    finally:
        _run("ip", "netns", "delete", outside)


@pytest.fixture(scope="module")
def reached(cluster: Cluster, place: Place) -> dict[Case, bool]:
    """Whether the source of each case reaches its target, under the chart's policies."""
    denied = next(case for case in TRIED if not case[3])
    wait_until(lambda: place.reached(denied[0], [denied]) == [True], 60, lambda: "without policies all is open")
    found = chart.of_kind(chart.objects(*chart.SERVICE, *ON), "NetworkPolicy")
    apply(cluster, found)
    wait_until(lambda: place.reached(denied[0], [denied]) == [False], 60, lambda: "nobody enforces policies")
    answers: dict[Case, bool] = {}
    for source in dict.fromkeys(case[0] for case in TRIED):
        answers |= _settled(place, source, [case for case in TRIED if case[0] == source])
    return answers


def _settled(place: Place, source: Pod | str, cases: list[Case]) -> dict[Case, bool]:
    """Return the answers when all are as they should be, or the last ones.

    A busy plugin lets packets wait, and hears of one policy after the other.
    """
    for _ in range(ROUNDS):
        found = dict(zip(cases, place.reached(source, cases), strict=True))
        if all(found[case] is case[3] for case in cases):
            break
    return found


def _words(case: Case) -> str:
    source, target = (one if isinstance(one, str) else one.labels[0][1] for one in case[:2])
    return f"{source} to {target}:{case[2]}"


@pytest.mark.parametrize("case", TRIED, ids=_words)
def test_who_reaches_whom_by_packets(reached: dict[Case, bool], case: Case) -> None:
    assert reached[case] is case[3]


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
