"""The HTTP service in the cluster: a backend posts a job, pods render it, the backend is told and fetches the video."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import captions
import clips
import deployment
from cluster import Cluster
from s3 import Bucket
from shim_client_backend import ClientBackend
from studio import Job, Studio, wait_until

OPTIONS = {"width": 320, "height": 180, "fps": 30}


@pytest.fixture(scope="module")
def backend(cluster: Cluster, studio: Studio, bucket: Bucket) -> Iterator[ClientBackend]:
    """A backend beside the cluster, and two replicas of the service in it."""
    host = cluster.network.host
    deployment.give_storage(cluster, deployment.NAMESPACE, cluster.s3.environment())
    operator = {"namespaces": [studio.namespace]}
    service = {
        "enabled": True,
        "type": "NodePort",
        "namespace": studio.namespace,
        "bucket": bucket.name,
        "secret": deployment.SECRET,
        "callbackUrl": f"http://{host}",
        "listNodes": True,
        "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}},
    }
    deployment.install(cluster.kubeconfig, bucket.uri("work"), **operator, service=service)
    chosen = ("service", deployment.SERVICE, "--namespace", deployment.NAMESPACE)
    port = cluster.kubectl("get", *chosen, "--output=jsonpath={.spec.ports[0].nodePort}")
    with ClientBackend(f"http://{cluster.network.node}:{port}", has_usage_row=True, host=host) as listening:
        yield listening
    deployment.install(cluster.kubeconfig, bucket.uri("work"), **operator)


def test_a_posted_job_ends_as_a_video_that_the_backend_is_told_of(
    backend: ClientBackend, studio: Studio, tmp_path: Path
) -> None:
    job_id = backend.create(captions.talk(1), OPTIONS, video_url=studio.clip(1))
    row = backend.wait(job_id)

    assert row.status == "completed", row
    assert backend.statuses(job_id) == ["processing", "completed"]
    progress = [one.body["progress"] for one in backend.of(job_id)]
    assert progress == sorted(progress) and progress[-1] == 100
    assert [one.answered for one in backend.of(job_id)] == [200] * len(progress)

    answer = httpx.get(
        f"{backend.service}/api/render/{job_id}/download", follow_redirects=True, trust_env=False, timeout=60
    )
    (tmp_path / "downloaded.mp4").write_bytes(answer.content)
    assert answer.status_code == 200
    assert len(answer.content) == row.file_size
    assert [shown.source for shown in clips.read_counters(tmp_path / "downloaded.mp4")] == list(range(30))
    assert row.download_url and httpx.get(row.download_url, trust_env=False, timeout=60).content == answer.content


def test_a_job_can_be_watched_and_the_end_is_all_of_it(backend: ClientBackend, studio: Studio) -> None:
    job_id = backend.create(captions.talk(1), {**OPTIONS, "live": True}, video_url=studio.clip(1))
    assert backend.wait(job_id).status == "completed"

    playlist = f"{backend.service}/api/render/{job_id}/live.m3u8"
    command = ["ffprobe", "-v", "error", "-count_frames", "-select_streams", "v", "-of", "csv=p=0"]
    told = subprocess.run(
        [*command, "-show_entries", "stream=nb_read_frames", playlist], capture_output=True, text=True, timeout=150
    )
    assert set(told.stdout.split()) == {"30"}, told.stderr


def test_a_cancel_ends_the_pods_and_is_told_last(backend: ClientBackend, studio: Studio) -> None:
    job_id = backend.create(captions.talk(60), OPTIONS, video_url=studio.clip(60))
    job = Job(studio, job_id)
    wait_until(lambda: job_id in studio.kubectl("get", "renderjobs"))
    job.rendering_pod()

    kept = [key for key in studio.bucket.keys if key.startswith(f"rendered/{job_id}/scenario-")]
    said = backend.cancel(job_id)
    job.until(lambda one: not one.pods("segments"))
    wait_until(lambda: backend.statuses(job_id)[-1:] == ["cancelled"])

    assert len(kept) == 1, "too long for a RenderJob, it goes to S3"
    assert said["success"], said
    assert job.finished()["phase"] == "Cancelled"
    assert backend.statuses(job_id) == ["processing", "cancelled"]
    assert f"rendered/{job_id}/output.mp4" not in studio.bucket.keys


@pytest.mark.parametrize(
    ("video", "break_scenario", "options", "code"),
    [
        ("nothing", False, {}, "INVALID_VIDEO_URL"),
        ("text", False, {}, "INVALID_VIDEO_FORMAT"),
        ("clip", True, {}, "SCENARIO_PARSE_ERROR"),
        ("clip", False, {"width": 99999}, "INVALID_RENDER_OPTIONS"),
    ],
)
def test_each_failure_is_told_with_its_code(
    backend: ClientBackend, studio: Studio, video: str, break_scenario: bool, options: dict[str, int], code: str
) -> None:
    urls = {"nothing": studio.bucket.uri("nothing.mp4"), "clip": studio.clip(1)}
    url = urls.get(video) or studio.bucket.put("text.mp4", b"This is no video. " * 100)
    scenario = (
        captions.scenario([{"id": "backwards", "start": 3, "end": "soon"}]) if break_scenario else captions.talk(1)
    )

    row = backend.wait(backend.create(scenario, {**OPTIONS, **options}, video_url=url))

    assert (row.status, row.error_code) == ("failed", code), row
    assert row.error_message
    assert backend.statuses(row.job_id)[-1] == "failed"
    assert sum(one.body["status"] == "failed" for one in backend.of(row.job_id)) == 1


def test_service_and_operator_may_be_killed_while_pods_render(
    backend: ClientBackend, cluster: Cluster, studio: Studio
) -> None:
    job_id = backend.create(captions.talk(60), OPTIONS, video_url=studio.clip(60))
    job = Job(studio, job_id)
    wait_until(lambda: job_id in studio.kubectl("get", "renderjobs"))
    job.rendering_pod()

    cluster.kubectl("delete", "pods", "--all", "--namespace", deployment.NAMESPACE, "--grace-period=0", "--force")
    row = backend.wait(job_id, 180)
    for name in (deployment.SERVICE, deployment.OPERATOR):
        cluster.kubectl("rollout", "status", f"deploy/{name}", "--namespace", deployment.NAMESPACE, "--timeout=180s")

    assert row.status == "completed", row
    status = job.status()
    assert status["attempts"] == status["segments"]["total"], "no segment was rendered twice"
    assert backend.statuses(job_id) == ["processing", "completed"]
    assert sum(one.body["status"] == "completed" for one in backend.of(job_id)) == 1


def test_the_service_knows_its_cluster(backend: ClientBackend) -> None:
    # The node may lead to a replica that was killed before for a moment more.
    with httpx.Client(transport=httpx.HTTPTransport(retries=5), trust_env=False, timeout=60) as client:
        health = client.get(f"{backend.service}/health").json()

    assert health["status"] == "healthy", health
    assert health["gpu_count"] == 2, health


def test_a_person_asks_in_a_pod_for_callbacks_that_were_given_up(backend: ClientBackend, cluster: Cluster) -> None:
    replica = ("exec", f"deploy/{deployment.SERVICE}", "--namespace", deployment.NAMESPACE)
    command = ("python", "-m", "ecg_shim", "callbacks")

    listed = cluster.kubectl(*replica, "--", *command, "list")
    replayed = cluster.kubectl(*replica, "--", *command, "replay", "no-such-job", check=False)

    assert listed == "", "all were told"
    assert "no-such-job is not among the callbacks that were given up" in replayed


def test_the_service_may_do_nothing_beyond_its_task(backend: ClientBackend, cluster: Cluster, studio: Studio) -> None:
    account = f"--as=system:serviceaccount:{deployment.NAMESPACE}:{deployment.SERVICE}"

    def may(verb: str, what: str, namespace: str = studio.namespace) -> bool:
        words = ("auth", "can-i", verb, what, account, "--namespace", namespace)
        return cluster.kubectl(*words, check=False).startswith("yes")

    assert may("create", "renderjobs")
    for verb, what in (("get", "secrets"), ("create", "jobs"), ("list", "pods"), ("update", "leases/other")):
        assert not may(verb, what), (verb, what)
    assert not may("list", "configmaps", deployment.NAMESPACE)
    assert not may("update", f"leases/{deployment.OPERATOR}", deployment.NAMESPACE)
