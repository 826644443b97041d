"""The operator runs on a person's machine, against the cluster of a kubeconfig."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster import Cluster
from deployment import make_namespace
from s3 import Bucket
from studio import Studio, operator_outside

NAMESPACE = "outside"


@pytest.fixture(scope="module")
def outside(cluster: Cluster, bucket: Bucket, studio: Studio) -> Studio:
    """A namespace that the operator in the cluster does not serve."""
    make_namespace(cluster, NAMESPACE)
    return Studio(cluster, bucket, NAMESPACE)


def test_it_renders_by_a_kubeconfig(outside: Studio, tmp_path: Path) -> None:
    with operator_outside(outside, tmp_path):
        status = outside.submit("by-kubeconfig").finished()

    assert status["phase"] == "Succeeded", status


def test_an_image_that_cannot_be_pulled_is_said_within_ten_seconds(outside: Studio, tmp_path: Path) -> None:
    with operator_outside(outside, tmp_path, RENDERER_IMAGE="localhost/nobody-made-this:1"):
        job = outside.submit("no-image", deadlines={"pendingSeconds": 20})
        said = job.until(lambda one: _image_problem(one.condition("Scheduled")), seconds=12)
        status = job.finished(40)

    assert "localhost/nobody-made-this:1" in said, said
    assert status["reason"] == "PendingDeadlineExceeded", status
    assert "nobody-made-this" in status["failure"]["message"], status


def _image_problem(condition: dict[str, str]) -> str:
    return condition["message"] if condition.get("reason") == "ImagePullFailed" else ""
