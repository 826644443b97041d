"""The chart on a real API server: every file of values is accepted; the CRD is adopted, upgraded, and stays."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from chart import CHART, helm_template
from control_plane import CRD, ControlPlane
from foreign_crds import crd_files
from go_tools import tool
from studio import wait_until

FILES = sorted(file.name for file in CHART.glob("values*.yaml"))
SETTINGS = ("work.uri=s3://videos/work", "service.bucket=videos", "commonLabels.cluster=prod", "crds.install=false")
EVERYTHING = (
    "service.enabled=true", "service.secret=ecg", "service.autoscaling.enabled=true", "service.listNodes=true",
    "service.callbackUrl=http://backend.editor.svc:8000", "service.callbackHosts={other.editor.svc,10.1.2.3,fd00::5}",
    "service.ingress.enabled=true", "service.ingress.className=alb",
    "service.ingress.hosts={render.example.com}", "service.ingress.tls[0].secretName=cert",
    "service.ingress.tls[0].hosts={render.example.com}", "service.httpRoute.enabled=true",
    "service.httpRoute.parentRefs[0].name=gw", "service.httpRoute.hostnames={render.example.com}",
    "networkPolicy.enabled=true", "networkPolicy.apiServer={172.20.0.1/32,10.0.0.0/16,2600:1f18::/64}",
    "metrics.tokenKey=ECG_API_TOKEN", "alerts.enabled=true", "dashboards.enabled=true",
    "worker.serviceAccount.create=true", "capacity.enabled=true", "prices.enabled=true", "prices.otherwise:=\"1.5\"",
    "priorityClasses.ecg-test.value=-5", "commonLabels.team=video",
)  # fmt: skip
RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """An API server with the CRDs of others: Prometheus operator, Gateway API, Karpenter."""
    with ControlPlane(tmp_path_factory.mktemp("plane")) as running:
        for file in crd_files():
            running.kubectl("apply", "--server-side", "-f", str(file))
        running.kubectl("wait", "--for=condition=Established", "--timeout=120s", "crd", "--all")
        running.kubectl("create", "namespace", "render")
        # Also of Deployments: their pods would not be let in.
        running.kubectl("label", "namespace", "render", RESTRICTED, RESTRICTED.replace("enforce", "warn"))
        yield running


@pytest.mark.parametrize("file", FILES)
def test_every_file_of_values_is_accepted(plane: ControlPlane, file: str) -> None:
    _apply(plane, helm_template(*SETTINGS, values=(CHART / file,)))


@pytest.mark.parametrize("monitor", ["PodMonitor", "ServiceMonitor"])
def test_everything_at_once_is_accepted(plane: ControlPlane, monitor: str) -> None:
    _apply(plane, helm_template(*SETTINGS, *EVERYTHING, f"metrics.monitor={monitor}"))


def test_a_release_takes_over_a_crd_that_it_finds_keeps_it_and_its_objects_and_comes_again(plane: ControlPlane) -> None:
    plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CRD))
    refused = _helm(plane, "install", "ecg", str(CHART), "--set=work.uri=s3://videos/work")
    assert refused.returncode != 0 and "no release owns it" in refused.stderr
    for command in re.findall(r"^ +kubectl (.*)$", refused.stderr, re.M):
        plane.kubectl(*shlex.split(command))

    _succeeds(_helm(plane, "install", "ecg", str(CHART), "--set=work.uri=s3://videos/work"))
    other = _helm(plane, "install", "other", str(CHART), "--set=work.uri=s3://videos/work")
    assert other.returncode != 0 and "belongs to the release ecg in namespace render" in other.stderr
    _succeeds(_helm(plane, "install", "other", str(CHART), "--set=work.uri=s3://videos/work,crds.install=false"))
    _succeeds(_helm(plane, "uninstall", "other"))
    plane.kubectl("apply", "-f", "-", stdin=json.dumps(_job()))
    _succeeds(_helm(plane, "upgrade", "ecg", str(CHART), "--reuse-values", "--set=operator.replicas=3"))
    _succeeds(_helm(plane, "uninstall", "ecg"))

    kinds = "all,cm,sa,role,rolebinding,pdb,networkpolicy"
    left = plane.kubectl("get", kinds, "-n", "render", "-l", "app.kubernetes.io/instance=ecg", "-o", "name")
    cluster = plane.kubectl(
        "get", "clusterrole,clusterrolebinding,crd", "-l", "app.kubernetes.io/instance=ecg", "-o", "name"
    )
    assert (left.split(), cluster.split()) == (
        [],
        ["customresourcedefinition.apiextensions.k8s.io/renderjobs.render.ecg.dev"],
    )
    assert "kept" in plane.kubectl("get", "renderjobs", "-n", "render", "-o", "name")
    _succeeds(_helm(plane, "install", "ecg", str(CHART), "--set=work.uri=s3://videos/work"))
    _succeeds(_helm(plane, "uninstall", "ecg"))


def test_a_test_that_has_succeeded_leaves_nothing_that_outlives_the_release(plane: ControlPlane) -> None:
    everything = ("get", "all,cm,sa,role,rolebinding,pdb,networkpolicy,secrets,leases", "-n", "render", "-o", "name")
    before = plane.kubectl(*everything)
    _succeeds(_helm(plane, "install", "ecg", str(CHART), "--set=work.uri=s3://videos/work,crds.install=false"))
    command = [str(tool("helm")), f"--kubeconfig={plane.kubeconfig}", "--namespace=render", "test", "ecg"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as test:
        ran = ("patch", "pod", "ecg-test", "-n", "render", "--subresource=status", "--type=merge")
        plane.kubectl("wait", "--for=create", "pod/ecg-test", "-n", "render", "--timeout=120s")
        plane.kubectl(*ran, "-p", '{"status": {"phase": "Succeeded"}}')  # no kubelet is here to run it
        said, _ = test.communicate(timeout=120)
    assert test.returncode == 0, said
    _succeeds(_helm(plane, "uninstall", "ecg"))
    wait_until(lambda: plane.kubectl(*everything) == before, 60, lambda: plane.kubectl(*everything))


def test_an_upgrade_brings_a_changed_crd(plane: ControlPlane, tmp_path: Path) -> None:
    plane.kubectl("delete", "crd", "renderjobs.render.ecg.dev", "--ignore-not-found")
    older = tmp_path / "older"
    subprocess.run(["cp", "-r", CHART, older], check=True)
    file = older / "files/renderjob.yaml"
    file.write_text(
        file.read_text().replace("shortNames: [rj]", "shortNames: [old]").replace("    - rj\n", "    - old\n")
    )
    _succeeds(_helm(plane, "install", "ecg", str(older), "--set=work.uri=s3://videos/work"))
    path = ("get", "crd", "renderjobs.render.ecg.dev", "-o", "jsonpath={.spec.names.shortNames}")
    assert json.loads(plane.kubectl(*path)) == ["old"]
    _succeeds(_helm(plane, "upgrade", "ecg", str(CHART), "--reuse-values"))
    assert json.loads(plane.kubectl(*path)) == ["rj"]
    _succeeds(_helm(plane, "rollback", "ecg", "1"))
    assert json.loads(plane.kubectl(*path)) == ["old"]
    _succeeds(_helm(plane, "uninstall", "ecg"))


def test_whoever_may_edit_a_namespace_may_render_in_it_and_not_write_a_status(plane: ControlPlane) -> None:
    # Without controllers nobody fills the cluster's own roles in: the chart's are bound as they are.
    _apply(plane, helm_template(*SETTINGS))
    for role in ("view", "edit"):
        name = f"render-ecg-render-{role}"
        plane.kubectl("create", "rolebinding", name, "-n", "render", f"--clusterrole={name}", f"--user={role}er")

    def may(user: str, verb: str, *more: str) -> bool:
        words = ("auth", "can-i", verb, "renderjobs.render.ecg.dev", *more, "-n", "render", f"--as={user}")
        return plane.kubectl(*words, check=False).split()[0] == "yes"

    # The API server goes by a role that it has taken a moment later.
    wait_until(lambda: may("viewer", "list") and may("editer", "delete"), 60)
    assert [may("viewer", verb) for verb in ("list", "create", "delete")] == [True, False, False]
    assert [may("editer", verb) for verb in ("watch", "create", "patch", "delete")] == [True] * 4
    assert [may("editer", verb, "--subresource=status") for verb in ("get", "patch")] == [True, False]


def _apply(plane: ControlPlane, rendered: subprocess.CompletedProcess[str]) -> None:
    assert rendered.returncode == 0, rendered.stderr
    command = ("apply", "--server-side", "--force-conflicts", "--warnings-as-errors", "-n", "render", "-f", "-")
    try:
        plane.kubectl(*command, stdin=rendered.stdout)
    finally:
        plane.kubectl("delete", "pod", "--all", "-n", "render", "--grace-period=0", "--force", check=False)


def _helm(plane: ControlPlane, *words: str) -> subprocess.CompletedProcess[str]:
    command = [str(tool("helm")), f"--kubeconfig={plane.kubeconfig}", "--namespace=render", *words]
    return subprocess.run(command, capture_output=True, text=True)


def _succeeds(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr


def _job() -> dict[str, object]:
    spec = {
        "source": {"uri": "s3://videos/in.mp4"},
        "scenario": {"inline": {"cues": []}},
        "output": {"uri": "s3://videos/out.mp4"},
    }
    metadata = {"name": "kept", "namespace": "render"}
    return {"apiVersion": "render.ecg.dev/v1alpha1", "kind": "RenderJob", "metadata": metadata, "spec": spec}
