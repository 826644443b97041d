"""What a person may ask for while a job runs: cancel, suspend, resume, delete; and an operator that comes and goes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from cluster import Cluster
from deployment import NAMESPACE, OPERATOR
from studio import Studio, wait_until

LONG = 60
ONE_SEGMENT = {"targetSeconds": 600}


def test_cancel_ends_the_pods_within_five_seconds(studio: Studio) -> None:
    # Something else may have kept the machine busy in one moment, and not in each.
    assert any(_seconds_to_cancel(studio, f"cancelled-{number}") < 5 for number in range(3))


def _seconds_to_cancel(studio: Studio, name: str) -> float:
    """Return after how many seconds the pods of a cancelled job were gone, of which nothing is left then."""
    job = studio.submit(name, seconds=LONG, segments=ONE_SEGMENT)
    job.rendering_pod()

    job.patch(cancel=True)
    began = time.monotonic()
    job.until(lambda one: not one.pods("segments"))

    seconds = time.monotonic() - began
    status = job.finished()
    assert (status["phase"], status["reason"]) == ("Cancelled", "Cancelled")
    job.until(lambda one: not one.work_files())
    assert f"out/{name}.mp4" not in studio.bucket.keys
    assert studio.bucket.unfinished == set()
    return seconds


def test_a_suspended_job_keeps_what_it_has(studio: Studio) -> None:
    # So many segments that some are left when it is suspended, however late that is.
    job = studio.submit("suspended", seconds=16, segments={"targetSeconds": 2})
    job.until(lambda one: one.status().get("segments", {}).get("succeeded"))

    job.patch(suspend=True)
    job.until(lambda one: not one.pods("segments", "Running") and one.status()["phase"] == "Suspended")
    kept = {key for key in job.work_files() if key.endswith(".mp4")}
    job.patch(suspend=False)
    status = job.finished()

    assert kept
    assert status["phase"] == "Succeeded", status
    assert status["output"]["frames"] == 480
    assert status["run"]["round"] >= 1, "the rest is a round of its own"


def test_delete_takes_the_pods_and_the_work_files_with_it(studio: Studio) -> None:
    job = studio.submit("deleted", seconds=LONG, segments=ONE_SEGMENT)
    job.rendering_pod()

    job.delete()

    wait_until(lambda: not job.pods("segments"), 25)
    wait_until(lambda: not job.work_files(), 30)


def test_delete_works_without_the_operator(studio: Studio, cluster: Cluster) -> None:
    job = studio.submit("orphan", seconds=LONG, segments=ONE_SEGMENT)
    job.rendering_pod()

    with _no_operator(cluster):
        job.delete()
        wait_until(lambda: not job.pods("segments"), 25)


def test_a_job_goes_on_when_the_operator_is_killed(studio: Studio, cluster: Cluster) -> None:
    job = studio.submit("goes-on", seconds=4, segments={"targetSeconds": 1})
    job.until(lambda one: one.pods("segments", "Running"))

    chosen = "--selector=app.kubernetes.io/name=ecg-operator"
    cluster.kubectl("--namespace", NAMESPACE, "delete", "pod", chosen, "--grace-period=0", "--force")

    status = job.finished()
    assert status["phase"] == "Succeeded", status
    assert status["output"]["frames"] == 120


@contextmanager
def _no_operator(cluster: Cluster) -> Iterator[None]:
    """Stop the operator, and start it again afterwards."""
    deployment = ("--namespace", NAMESPACE, "scale", f"deployment/{OPERATOR}")
    pods = ("--namespace", NAMESPACE, "get", "pods", "--output=name")
    cluster.kubectl(*deployment, "--replicas=0")
    wait_until(lambda: not cluster.kubectl(*pods))
    yield
    cluster.kubectl(*deployment, "--replicas=1")
    cluster.kubectl("--namespace", NAMESPACE, "rollout", "status", f"deployment/{OPERATOR}", "--timeout=180s")
