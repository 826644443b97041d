"""Jobs in each phase go from the operator of the first release, out of the history, to that of this one, and back."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

import releases
from control_plane import CRD, ControlPlane
from ecg_api.failures import Failure, FailureCode
from ecg_api.pods import FailureReport, encode_report
from fake_kubelet import FakeKubelet, Outcome, Pod, succeed
from operators import render_job, start_operator
from studio import wait_until

AT_WORK = {"Pending", "Planning", "Rendering", "Merging"}
HELD = ("plan", "segments", "merge")
NOT_MINE = Failure(
    code=FailureCode.RENDER_ERROR, message="The work file plan.json cannot be understood.", retryable=True
)


@pytest.fixture(autouse=True)
def first(plane: ControlPlane) -> Iterator[str]:
    """Put the first release's CRD into the cluster; return where its operator's code is."""
    tree = releases.tree(releases.FIRST)
    plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(tree / "crds" / "renderjob.yaml"))
    yield os.pathsep.join([str(tree / "operator"), str(tree / "crds")])
    plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CRD))


@contextmanager
def operator(plane: ControlPlane, namespace: str, folder: Path, **variables: str) -> Iterator[None]:
    """Run an operator as a process; it lets in as many jobs as are held, and must end in order."""
    log = folder / "log"
    process = start_operator(plane.kubeconfig, namespace, log, MAX_CONCURRENT_JOBS=str(len(HELD)), **variables)
    try:
        yield
        assert process.poll() is None, log.read_text()
        process.terminate()
        assert process.wait(20) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def phases(plane: ControlPlane, namespace: str) -> set[str]:
    path = "--output=jsonpath={.items[*].status.phase}"
    return set(plane.kubectl("get", "renderjobs", path, f"--namespace={namespace}").split())


def begin(plane: ControlPlane, kubelet: FakeKubelet, namespace: str, seconds: float) -> None:
    """Apply a job for each phase, which stays in it for a while, and one that waits, all with segments of `seconds`."""

    def script(pod: Pod) -> Outcome:
        held = pod.job == pod.role and pod.name not in seen
        seen.add(pod.name)
        return replace(succeed(pod), seconds=15.0 if held else 0.05)

    seen: set[str] = set()
    kubelet.scripts[namespace] = script
    for name in (*HELD, "waits"):
        job = render_job(name)
        job["metadata"]["namespace"] = namespace
        resources = {"limits": {"cpu": 1.5 if seconds % 1 else "1.5"}}
        job["spec"] |= {"segments": {"targetSeconds": seconds}, "placement": {"gpus": 1, "resources": resources}}
        plane.kubectl("apply", "-f", "-", stdin=json.dumps(job))
    wait_until(lambda: phases(plane, namespace) >= AT_WORK, 60, lambda: str(phases(plane, namespace)))


def test_jobs_in_each_phase_end_with_this_release(
    plane: ControlPlane, kubelet: FakeKubelet, namespace: str, tmp_path: Path, first: str
) -> None:
    with operator(plane, namespace, tmp_path, PYTHONPATH=first):
        begin(plane, kubelet, namespace, 1.5)
    refused: set[str] = set()

    def unreadable(pod: Pod) -> Outcome:
        """Return the outcome of a pod that finds the first release's plan: it cannot read that one."""
        if pod.job == "plan" or pod.role == "plan" or pod.job in refused:
            return succeed(pod)
        refused.add(pod.job)
        return Outcome(96, encode_report(FailureReport(failure=NOT_MINE, plan_again=True)))

    kubelet.scripts[namespace] = unreadable
    plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CRD))
    with operator(plane, namespace, tmp_path):
        wait_until(lambda: phases(plane, namespace) == {"Succeeded"}, 90, lambda: str(phases(plane, namespace)))
    assert "segments" in refused


def test_jobs_in_each_phase_begin_anew_with_the_first_release_after_a_rollback(
    plane: ControlPlane, kubelet: FakeKubelet, namespace: str, tmp_path: Path, first: str
) -> None:
    plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CRD))
    with operator(plane, namespace, tmp_path):
        begin(plane, kubelet, namespace, 2)
    documented = releases.commands("Rollback")
    let_begin_anew = documented[documented.index("kubectl delete jobs") : documented.index("helm ")]
    releases.run(let_begin_anew, plane.kubeconfig)
    assert phases(plane, namespace) == set()
    kubelet.scripts[namespace] = succeed
    with operator(plane, namespace, tmp_path, PYTHONPATH=first):
        wait_until(lambda: phases(plane, namespace) == {"Succeeded"}, 90, lambda: str(phases(plane, namespace)))
