"""The operator runs on a person's machine, against the cluster of a kubeconfig."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cluster import Cluster
from deployment import SECRET, make_namespace
from s3 import Bucket
from studio import Studio

NAMESPACE = "outside"


@pytest.fixture(scope="module")
def outside(cluster: Cluster, bucket: Bucket, studio: Studio) -> Studio:
    """A namespace that the operator in the cluster does not serve."""
    make_namespace(cluster, NAMESPACE)
    return Studio(cluster, bucket, NAMESPACE)


def test_it_renders_by_a_kubeconfig(outside: Studio, tmp_path: Path) -> None:
    with _operator(outside, tmp_path, "localhost/ecg-render-renderer:test"):
        status = outside.submit("by-kubeconfig").finished()

    assert status["phase"] == "Succeeded", status


def test_an_image_that_cannot_be_pulled_is_said_within_ten_seconds(outside: Studio, tmp_path: Path) -> None:
    with _operator(outside, tmp_path, "localhost/nobody-made-this:1"):
        job = outside.submit("no-image", deadlines={"pendingSeconds": 20})
        said = job.until(lambda one: _image_problem(one.condition("Scheduled")), seconds=12)
        status = job.finished(40)

    assert "localhost/nobody-made-this:1" in said, said
    assert status["reason"] == "PendingDeadlineExceeded", status
    assert "nobody-made-this" in status["failure"]["message"], status


def _image_problem(condition: dict[str, str]) -> str:
    return condition["message"] if condition.get("reason") == "ImagePullFailed" else ""


@contextmanager
def _operator(studio: Studio, folder: Path, image: str) -> Iterator[None]:
    settings = {
        "RENDERER_IMAGE": image,
        "WORK_URI": studio.bucket.uri("work"),
        "WORKER_SECRET": SECRET,
        "HEALTH_PORT": "0",
        "SCRATCH_REQUEST": "",  # this kubelet measures no disks
        "SEGMENT_CPU": "200m",
        "SEGMENT_MEMORY": "512Mi",
        "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
    }
    words = ["--dev", "--namespace", studio.namespace, "--kubeconfig", str(studio.cluster.kubeconfig)]
    with (folder / "operator.log").open("wb") as log:
        command = [sys.executable, "-m", "ecg_operator", *words]
        running = subprocess.Popen(command, env={**os.environ, **settings}, stderr=log, stdout=log)
        try:
            yield
            assert running.poll() is None, (folder / "operator.log").read_text()[-2000:]
        finally:
            running.terminate()
            assert running.wait(20) == 0, (folder / "operator.log").read_text()[-2000:]
