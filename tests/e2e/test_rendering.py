"""A RenderJob is applied, and the video lies in S3."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import captions
import clips
import command_line
from cluster import Cluster
from studio import Job, Studio

SPEC: dict[str, Any] = {"seconds": 3, "segments": {"targetSeconds": 1}}


@pytest.fixture(scope="module")
def job(studio: Studio) -> Job:
    """A job of three segments that has succeeded."""
    submitted = studio.submit("clip", **SPEC)
    status = submitted.finished()
    assert status["phase"] == "Succeeded", status
    return submitted


def test_the_output_in_s3_equals_what_this_machine_renders(studio: Studio, job: Job, tmp_path: Path) -> None:
    (tmp_path / "cluster.mp4").write_bytes(studio.bucket.get("out/clip.mp4"))
    (tmp_path / "video.mp4").write_bytes(studio.bucket.get("clip-3.mp4"))
    manifest = studio.manifest("clip", **SPEC)
    manifest["spec"] |= {"source": {"uri": "video.mp4"}, "output": {"uri": "local.mp4"}}
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(manifest))

    ended = command_line.ecg_render("run", "job.yaml", cwd=tmp_path)

    assert ended.code == 0, ended.err
    assert _decoded(tmp_path / "cluster.mp4") == _decoded(tmp_path / "local.mp4")


def test_a_second_job_takes_what_the_first_one_rendered(studio: Studio) -> None:
    first = studio.submit("first-take", **SPEC, reuse=True).finished()
    second = studio.submit("second-take", **SPEC, reuse=True).finished()

    assert (first["phase"], second["phase"]) == ("Succeeded", "Succeeded"), second
    assert (first["usage"]["cellsTotal"], second["usage"]["cellsTotal"]) == (3, 3)
    assert (first["usage"].get("cellsReused", 0), second["usage"]["cellsReused"]) == (0, 3)
    takes = [studio.bucket.get(f"out/{name}-take.mp4") for name in ("first", "second")]
    assert takes[0] == takes[1]


def test_a_short_video_without_a_gpu_is_made_by_one_pod(studio: Studio, tmp_path: Path) -> None:
    job = studio.submit("short", seconds=3, placement={"gpus": 0})
    status = job.finished()

    assert status["phase"] == "Succeeded", status
    assert (status["attempts"], status["segments"]["summary"], status["encoder"]) == (1, "1/1", "x264")
    (tmp_path / "short.mp4").write_bytes(studio.bucket.get("out/short.mp4"))
    assert len(clips.frames(tmp_path / "short.mp4")) == 90
    made = studio.read("events", "--field-selector=reason=SuccessfulCreate,involvedObject.kind=Job")["items"]
    jobs = [event["involvedObject"]["name"] for event in made]
    assert [name for name in jobs if name.startswith("short-")] == ["short-plan"]
    job.until(lambda one: not one.pods())
    assert job.work_files() == set()


def test_one_job_makes_every_export(studio: Studio, tmp_path: Path) -> None:
    names = ("tall.mp4", "captions.mov", "captions.srt")
    tall, alone, text = ({"uri": studio.bucket.uri(f"out/{name}")} for name in names)
    status = studio.submit(
        "exports", **SPEC, renditions=[{**tall, "width": 180, "height": 320}, alone, text]
    ).finished()

    assert status["phase"] == "Succeeded", status
    assert [output["name"] for output in status["outputs"]] == ["main", *names]
    for output in status["outputs"]:
        file = tmp_path / output["name"]
        file.write_bytes(studio.bucket.get(output["uri"].removeprefix(studio.bucket.uri(""))))
        assert hashlib.sha256(file.read_bytes()).hexdigest() == output["sha256"]
    assert [len(clips.frames(tmp_path / name)) for name in names[:2]] == [90, 90]
    assert "00:00:00," in (tmp_path / "captions.srt").read_text()


def test_a_rendition_that_cannot_be_rendered_costs_nothing_but_itself(studio: Studio) -> None:
    huge, tall, text = ({"uri": studio.bucket.uri(f"out/lost-{name}")} for name in ("8k.mp4", "tall.mp4", "text.srt"))
    sizes = [{**huge, "width": 7680, "height": 4320}, {**tall, "width": 180, "height": 320}, text]
    memory = {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "900Mi"}}
    job = studio.submit(
        "lost",
        renditions=sizes,
        placement={"gpus": 1, "resources": memory},
        retry={"perSegment": 0},
    )
    status = job.finished()

    assert (status["phase"], status["reason"]) == ("Failed", "RenditionFailed"), status
    assert [output["name"] for output in status["outputs"]] == ["main", "lost-8k.mp4", "lost-tall.mp4", "lost-text.srt"]
    (failed,) = (output for output in status["outputs"] if "failure" in output)
    assert failed["uri"] == huge["uri"]
    assert "memory" in failed["failure"]["message"] and failed["failure"]["hint"], failed
    assert failed["failure"]["message"] in status["failure"]["message"]
    assert (status["segments"]["succeeded"], status["segments"]["failed"]) == (2, 1)
    for output in status["outputs"]:
        if output is not failed:
            content = studio.bucket.get(output["uri"].removeprefix(studio.bucket.uri("")))
            assert (len(content), hashlib.sha256(content).hexdigest()) == (output["sizeBytes"], output["sha256"])
    assert "out/lost-8k.mp4" not in studio.bucket.keys
    # Events come after the status, in their own time.
    job.until(lambda one: "lost-8k.mp4 cannot be made, the rest goes on" in one.kubectl("describe", "rj", "lost"))


def test_a_person_sees_what_happened(job: Job) -> None:
    columns = job.kubectl("get", "rj", "clip").split()
    # Events come after the status, in their own time.
    job.until(lambda one: "Succeeded" in one.events())
    told = job.kubectl("describe", "rj", "clip")

    assert columns[:7] == ["NAME", "PHASE", "REASON", "PROGRESS", "SEGMENTS", "ETA", "ENCODER"]
    assert {"clip", "Succeeded", "100", "3/3", "x264"} <= set(columns)
    for reason in ("Admitted", "Planned", "SegmentsStarted", "EncoderFallback", "Merging", "Succeeded"):
        assert reason in told, told
    assert "NVENC is not available" in job.status()["encoderReason"]
    assert "clip" in job.kubectl("get", "render", "--output=custom-columns=:metadata.name")


def test_a_finished_job_leaves_its_output_and_nothing_else(studio: Studio, job: Job) -> None:
    job.until(lambda one: not one.pods())

    assert "clip" not in job.kubectl("get", "jobs", "--output=name")
    assert job.work_files() == set()
    assert studio.bucket.unfinished == set()
    assert "finalizers" not in job.read()["metadata"]
    assert not any("kopf" in name for name in job.read()["metadata"].get("annotations", {}))


def test_a_scenario_can_be_in_a_config_map_compressed(studio: Studio) -> None:
    packed = gzip.compress(json.dumps(captions.talk(1)).encode())
    config_map = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "captions"},
        "binaryData": {"scenario.json.gz": base64.b64encode(packed).decode()},
    }
    studio.kubectl("apply", "-f", "-", stdin=json.dumps(config_map))
    reference = {"configMapRef": {"name": "captions", "key": "scenario.json.gz"}}

    status = studio.submit("config-map", scenario=reference).finished()

    assert status["phase"] == "Succeeded", status


def test_the_doctor_finds_all_that_rendering_needs_in_the_image(studio: Studio, cluster: Cluster) -> None:
    pod = _locked_down_pod("doctor", ["doctor", "--json"])
    studio.kubectl("apply", "-f", "-", stdin=json.dumps(pod))
    studio.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=180s", "pod/doctor")

    found = {check["name"]: check for check in json.loads(studio.kubectl("logs", "doctor"))["checks"]}

    not_ok = {name: check["found"] for name, check in found.items() if check["state"] != "ok"}
    # containerd's default profile lets no process make a namespace, and with none Chromium's sandbox is off.
    assert not_ok.keys() == {"NVENC", "Sandbox"}, not_ok
    assert "canvas" in found["Capture"]["found"]
    studio.kubectl("delete", "pod", "doctor", "--wait=false")


def test_the_operator_may_do_nothing_beyond_its_task(cluster: Cluster, studio: Studio) -> None:
    account = "--as=system:serviceaccount:render:ecg-render-operator"

    def may(*words: str, namespace: str = studio.namespace) -> bool:
        return cluster.kubectl("auth", "can-i", *words, account, "--namespace", namespace, check=False).startswith(
            "yes"
        )

    assert may("create", "jobs")
    for forbidden in (("get", "secrets"), ("create", "pods"), ("patch", "renderjobs"), ("list", "configmaps")):
        assert not may(*forbidden), forbidden
    assert not may("list", "renderjobs", namespace="default")


def _decoded(video: Path) -> list[bytes]:
    return [frame.tobytes() for frame in clips.frames(video, "yuv420p")]


def _locked_down_pod(name: str, arguments: list[str]) -> dict[str, object]:
    """Return a pod with the security settings, volumes and resources of those that render."""
    memory = {"medium": "Memory", "sizeLimit": "1Gi"}
    container = {
        "name": "renderer",
        "image": "localhost/ecg-render-renderer:test",
        "imagePullPolicy": "Never",
        "args": arguments,
        # Without, it gets next to nothing of a busy node's CPUs.
        "resources": {"requests": {"cpu": "200m", "memory": "512Mi"}, "limits": {"memory": "3Gi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}, {"name": "shm", "mountPath": "/dev/shm"}],
    }
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "shm", "emptyDir": memory}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
