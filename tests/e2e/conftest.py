"""One cluster for all tests of this folder: our images in it, the operator installed by the chart."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import deployment
from cluster import Cluster
from needs_root import needs_root
from s3 import Bucket
from studio import Studio

NAMESPACE = "videos"


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of one node with two GPUs, so the scheduler thinks, and our images on it."""
    needs_root()
    with Cluster(tmp_path_factory.mktemp("e2e") / "cluster", gpus=2) as running:
        deployment.load_images(running)
        yield running


@pytest.fixture(scope="session")
def bucket(cluster: Cluster) -> Bucket:
    """A bucket of the cluster's S3 server."""
    return cluster.s3.new_bucket()


@pytest.fixture(scope="session")
def studio(cluster: Cluster, bucket: Bucket) -> Studio:
    """A namespace in which the operator of the chart renders."""
    deployment.make_namespace(cluster, NAMESPACE)
    deployment.install(cluster.kubeconfig, bucket.uri("work"), namespaces=[NAMESPACE])
    return Studio(cluster, bucket, NAMESPACE)
