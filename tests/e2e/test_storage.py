"""Results of pods go to the storage profile that a job names, and a copy to a second S3 server; one of them is away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cluster import Cluster
from deployment import give_storage, make_namespace
from ports import free_ports
from s3 import Bucket, S3Server
from studio import Studio, operator_outside

NAMESPACE = "profiles"


@dataclass(frozen=True)
class Places:
    """A namespace whose jobs choose among profiles: `near` is a bucket of a server that nothing else leads to."""

    studio: Studio
    near: Bucket
    far: Bucket
    log: Path


@pytest.fixture(scope="module")
def places(cluster: Cluster, bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    make_namespace(cluster, NAMESPACE)
    folder = tmp_path_factory.mktemp("places")
    host = cluster.s3.url.removeprefix("http://").rpartition(":")[0]
    nobody = f"http://{host}:{free_ports(1, host)[0]}"
    with S3Server(folder / "near", host=host) as server:
        near, other, far = server.new_bucket(), server.new_bucket(), cluster.s3.new_bucket()
        for name, owner in (("s3-near", server), ("s3-far", cluster.s3)):
            keys = {"AWS_ACCESS_KEY_ID": owner.access_key, "AWS_SECRET_ACCESS_KEY": owner.secret_key}
            give_storage(cluster, NAMESPACE, keys, name)
        reached = {"endpoint": server.url, "secret": "s3-near"}
        profiles = [
            {"name": "near", "bucket": near.name, **reached, "replica": "far"},
            {"name": "lonely", "bucket": other.name, **reached, "replica": "away"},
            {"name": "far", "bucket": far.name, "endpoint": cluster.s3.url, "secret": "s3-far"},
            {"name": "away", "bucket": "copies", "endpoint": nobody, "secret": "s3-far"},
            {"name": "keyless", "bucket": "keyless-1", "endpoint": server.url, "secret": "nobody-made-this"},
        ]
        there = Studio(cluster, bucket, NAMESPACE)
        with operator_outside(there, folder, ECG_STORAGE_PROFILES=json.dumps(profiles)):
            jobs = {
                name: there.submit(name, output={"uri": f"s3:///out/{name}.mp4"}, storage={"profile": name})
                for name in ("near", "lonely", "keyless")
            }
            for job in jobs.values():
                job.finished()
            yield Places(there, near, far, folder / "operator.log")


def test_the_result_lies_at_the_profile_and_its_copy_on_the_second_server(places: Places) -> None:
    status = places.studio.read("renderjob", "near")["status"]
    assert status["phase"] == "Succeeded", status
    assert status["storage"] == {"profile": "near", "bucket": places.near.name}
    assert status["output"]["uri"] == places.near.uri("out/near.mp4")
    assert status["output"]["replica"] == {"profile": "far", "uri": places.far.uri("out/near.mp4"), "problem": ""}
    assert "warnings" not in status or status["warnings"] == []
    assert len(places.near.get("out/near.mp4")) == status["output"]["sizeBytes"]
    assert places.near.get("out/near.mp4") == places.far.get("out/near.mp4")


def test_a_second_server_that_is_away_is_a_warning(places: Places) -> None:
    status = places.studio.read("renderjob", "lonely")["status"]
    assert status["phase"] == "Succeeded", status
    assert "away" in status["output"]["replica"]["problem"]
    assert any("The copy in away" in warning for warning in status["warnings"]), status
    assert any("The copy in away" in condition["message"] for condition in status["conditions"])


def test_a_profile_whose_secret_is_missing_fails_its_job_and_names_what_is_missing(places: Places) -> None:
    status = places.studio.read("renderjob", "keyless")["status"]
    assert status["phase"] == "Failed", status
    assert "ECG_STORAGE_KEYLESS_ACCESS_KEY_ID" in status["failure"]["message"] + status["failure"]["hint"], status


def test_secret_keys_stand_nowhere_but_in_secrets(places: Places, cluster: Cluster) -> None:
    seen = places.studio.kubectl("get", "renderjobs,jobs,pods,events,configmaps", "--output=json")
    seen += places.log.read_text()
    for server in (places.near.server, cluster.s3):
        assert server.secret_key not in seen
