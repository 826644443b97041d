"""From the first release to this one while jobs are posted all the time, back, removed, and installed again.

first chart ── upgrade ──> this one ── rollback ──> first ── upgrade ──> this one ── uninstall ──> CRD, jobs ── install
"""

from __future__ import annotations

import json
import re
import shlex
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

import captions
import clips
import deployment
import images
import releases
from cluster import Cluster
from control_plane import CRD as CRD_FILE
from s3 import Bucket
from shim_client_backend import TERMINAL, ClientBackend
from studio import Job, Studio, wait_until

CRD = "renderjobs.render.ecg.dev"
ROOT = Path(__file__).parents[2]
NAMESPACE = "upgrades"
JOBS = "films"
OPTIONS = {"width": 320, "height": 180, "fps": 30}
NOT_OVER = 6
"""So many posted jobs at all times; the operator takes four."""
LEFT = {"CustomResourceDefinition", "APIService", "RenderJob"}  # the API server has an APIService for each CRD


class Release:
    """The release, whose chart and images change."""

    def __init__(self, cluster: Cluster, bucket: Bucket, backend: ClientBackend) -> None:
        self._cluster = cluster
        self._backend = backend
        self._values = {
            "namespaces": [JOBS],
            "work": {"uri": bucket.uri("work")},
            "limits": {"concurrentJobs": 4},
            "service": {
                "enabled": True,
                "type": "NodePort",
                "namespace": JOBS,
                "bucket": bucket.name,
                "secret": deployment.SECRET,
                "callbackUrl": f"http://{cluster.network.host}",
            },
        }

    def install(self, tree: Path, tag: str, *more: str) -> None:
        """Install the chart of a working tree, or upgrade to it."""
        values = {**self._values, "operator": {"image": {"tag": tag}}, "renderer": {"image": {"tag": tag}}}
        if tree == ROOT:
            values["crds"] = {"install": True}
        files = ("--values", str(tree / "tests" / "cluster" / "values.yaml"), *more)
        chart = str(tree / "helm" / "ecg-render")
        command = ("upgrade", "--install", deployment.RELEASE, chart, *files, "--wait", "--timeout", "120s")
        self.helm(*command, values=values)
        where = ("service", deployment.SERVICE, "--namespace", NAMESPACE, "--output=jsonpath={.spec.ports[0].nodePort}")
        self._backend.service = f"http://{self._cluster.network.node}:{self._cluster.kubectl('get', *where)}"

    def follow(self, heading: str) -> None:
        """Do what docs/operations.md says: the first commands below a heading."""
        releases.run(releases.commands(heading), self._cluster.kubeconfig, NAMESPACE=NAMESPACE, JOBS=JOBS)

    def helm(self, *words: str, values: dict[str, Any] | None = None) -> str:
        """Run helm in the release's namespace."""
        return deployment.helm(self._cluster.kubeconfig, *words, namespace=NAMESPACE, values=values)

    def everything(self) -> set[str]:
        """Return the names of all objects in the cluster, but for events and what the control plane renews."""
        listed = self._cluster.kubectl("api-resources", "--verbs=list", "--output=name").split()
        asked = ",".join(kind for kind in listed if not kind.startswith(("events", "componentstatuses")))
        columns = "custom-columns=A:.kind,B:.metadata.namespace,C:.metadata.name"
        lines = self._cluster.kubectl("get", asked, "--all-namespaces", "--no-headers", f"--output={columns}")
        return {" ".join(line.split()) for line in lines.splitlines()}


@pytest.fixture
def films(cluster: Cluster, bucket: Bucket) -> Iterator[Studio]:
    """The namespaces, and a cluster without a CRD, as the first chart finds it."""
    cluster.kubectl("delete", "crd", CRD)
    for namespace in (JOBS, NAMESPACE):
        deployment.make_namespace(cluster, namespace)
    for name in images.NAMES:
        cluster.load(releases.archive(releases.FIRST, name))
    yield Studio(cluster, bucket, JOBS)
    deployment.helm(cluster.kubeconfig, "uninstall", deployment.RELEASE, "--ignore-not-found", namespace=NAMESPACE)
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CRD_FILE))


def test_no_job_is_lost_by_upgrade_rollback_and_removal(films: Studio, tmp_path: Path) -> None:
    with ClientBackend(has_usage_row=True, host=films.cluster.network.host) as backend:
        release = Release(films.cluster, films.bucket, backend)
        before = release.everything()
        release.install(releases.tree(releases.FIRST), releases.tag(releases.FIRST))
        by_hand = submit_by_hand(films)
        with posted_all_the_time(backend, films):
            at_work(films)
            before_upgrade = list(backend.rows)
            upgrade(release, films.cluster)
            assert by_hand.finished()["phase"] == "Succeeded", by_hand.status()
            for job_id in before_upgrade:
                backend.wait(job_id)
            at_work(films)
            release.follow("Rollback")
            last = backend.create(captions.talk(1), OPTIONS, video_url=films.clip(1))
        backend.wait(last)
        all_ended(backend, films, tmp_path)
        release.install(ROOT, images.TAG)

        release.follow("Removal")
        wait_until(lambda: kinds(release.everything() - before) == LEFT, 90, lambda: str(release.everything() - before))
        release.install(ROOT, images.TAG)
        all_shown(backend)
        backend.wait(backend.create(captions.talk(1), OPTIONS, video_url=films.clip(1)))
        all_ended(backend, films, tmp_path)


def kinds(objects: set[str]) -> set[str]:
    """Return of which kinds they are; tickets of the service stay with their RenderJobs."""
    named = (one.split() for one in objects)
    return {kind for kind, _, name in named if not (kind == "ConfigMap" and name.startswith("ecg-job-"))}


def upgrade(release: Release, cluster: Cluster) -> None:
    """Upgrade to this release; it takes the CRD over by the commands that helm says."""
    with pytest.raises(AssertionError, match="no release owns it") as refused:
        release.install(ROOT, images.TAG)
    for command in re.findall(r"^ +kubectl (.*)$", str(refused.value), re.M):
        cluster.kubectl(*shlex.split(command))
    release.install(ROOT, images.TAG)


@contextmanager
def posted_all_the_time(backend: ClientBackend, films: Studio) -> Iterator[None]:
    """Post a job as soon as fewer than NOT_OVER are going on, whatever happens meanwhile."""
    over, url = threading.Event(), films.clip(1)

    def post() -> None:
        while not over.wait(0.5):
            if sum(row.status not in TERMINAL for row in list(backend.rows.values())) < NOT_OVER:
                # Each of another quality: what one has rendered is of no use to the next.
                options = OPTIONS | {"quality": 10 + len(backend.rows) % 90}
                backend.create(captions.talk(1), options, video_url=url, wait=False)

    posting = threading.Thread(target=post)
    posting.start()
    try:
        yield
    finally:
        over.set()
        posting.join()


def submit_by_hand(films: Studio) -> Job:
    """Apply a RenderJob of many segments, as the first release takes it."""
    manifest = films.manifest("long", 6, segments={"targetSeconds": 2})
    del manifest["spec"]["reuse"]  # which the first release does not know
    films.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
    return Job(films, "long")


def at_work(films: Studio) -> None:
    """Wait until some jobs wait and some are rendered, at once."""
    path = "--output=jsonpath={.items[*].status.phase}"
    wait_until(lambda: set(films.kubectl("get", "renderjobs", path).split()) >= {"Pending", "Rendering"}, 180)


def all_shown(backend: ClientBackend) -> None:
    """Ask the service for the jobs that it had before it was removed."""
    for job_id in backend.rows:
        told = httpx.get(f"{backend.service}/api/render/{job_id}/status", trust_env=False, timeout=60).json()
        assert (told["status"], told["progress"]) == ("completed", 100), told


def all_ended(backend: ClientBackend, films: Studio, folder: Path) -> None:
    """Wait for the end of all posted jobs: each has its video, and its backend was told once."""
    for job_id in backend.rows:
        row = backend.wait(job_id)
        assert row.status == "completed", (row, Job(films, job_id).read())
        assert backend.statuses(job_id) == ["processing", "completed"]
        ends = [one.answered for one in backend.of(job_id) if one.body["status"] == "completed"]
        assert ends == [200], job_id
        video = folder / f"{job_id}.mp4"
        video.write_bytes(films.bucket.get(f"rendered/{job_id}/output.mp4"))
        assert [shown.source for shown in clips.read_counters(video)] == list(range(30))
