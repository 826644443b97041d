"""What `helm test` runs in its pod: against a real API server and S3 server, with the rights that the chart gives.

There is no kubelet here: the test plays the operator.
"""

from __future__ import annotations

import importlib.util
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from chart import CHART, helm_template
from control_plane import ControlPlane
from s3 import Bucket, S3Server

NAME = "ecg-render-test"


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """An API server with what the hook of the chart makes for its pod, but for the pod."""
    with ControlPlane(tmp_path_factory.mktemp("plane")) as running:
        running.kubectl("create", "namespace", "render")
        rendered = yaml.safe_load_all(helm_template("work.uri=s3://b/work").stdout)
        for one in rendered:
            if one["metadata"]["name"] == NAME and one["kind"] in ("ServiceAccount", "Role", "RoleBinding"):
                running.kubectl("apply", "-f", "-", stdin=json.dumps(one))
        yield running


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with S3Server(tmp_path_factory.mktemp("s3")) as server:
        yield server.new_bucket()


@pytest.fixture
def script(plane: ControlPlane, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, in the surroundings of its pod."""
    spec = importlib.util.spec_from_file_location("render_test", CHART / "files/render_test.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "token").write_text(plane.kubectl("create", "token", NAME, "-n", "render").strip())
    (tmp_path / "ca.crt").write_bytes(plane.ca_file.read_bytes())
    monkeypatch.setattr(module, "ACCOUNT", tmp_path)
    monkeypatch.setattr(module, "CLIP", tmp_path / "clip.mp4")
    variables = {
        "NAMESPACE": "render", "JOB_NAME": NAME, "WORK_URI": bucket.uri("work"), "GPUS": "0", "TIMEOUT_SECONDS": "150",
        "KUBERNETES_SERVICE_HOST": plane.listen.host, "KUBERNETES_SERVICE_PORT": str(plane.listen.api),
        "AWS_DEFAULT_REGION": "us-east-1", **bucket.server.environment(),
    }  # fmt: skip
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return module


def test_it_renders_says_so_and_leaves_nothing(
    script: ModuleType, plane: ControlPlane, bucket: Bucket, capsys: pytest.CaptureFixture[str]
) -> None:
    with _operator(plane, bucket, "Succeeded"):
        script.main()
    said = capsys.readouterr().out
    assert "a clip of 2 s" in said and "Succeeded" in said and "bytes" in said
    assert list(bucket.keys) == []
    assert plane.kubectl("get", "renderjobs", "-n", "render", "-o", "name") == ""


def test_a_failure_is_told_in_its_own_words(script: ModuleType, plane: ControlPlane, bucket: Bucket) -> None:
    with _operator(plane, bucket, "Failed"), pytest.raises(SystemExit, match="Failed: the encoder is missing"):
        script.main()
    assert list(bucket.keys) == []
    assert plane.kubectl("get", "renderjobs", "-n", "render", "-o", "name") == ""


def test_without_an_operator_it_says_that_nobody_looks(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIMEOUT_SECONDS", "2")
    with pytest.raises(SystemExit, match="No operator looks at this namespace"):
        script.main()


class _operator:  # noqa: N801 (used as a function)
    """Ends the RenderJob, with the clip as its result, as soon as it is there."""

    def __init__(self, plane: ControlPlane, bucket: Bucket, phase: str) -> None:
        self._thread = threading.Thread(target=self._run, args=(plane, bucket, phase))

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._thread.join()

    def _run(self, plane: ControlPlane, bucket: Bucket, phase: str) -> None:
        until = time.monotonic() + 150
        while not plane.kubectl("get", "renderjobs", NAME, "-n", "render", "--ignore-not-found", "-o", "name"):
            if time.monotonic() > until:
                return
            time.sleep(0.2)
        folder = f"work/helm-test/{NAME}"
        if phase == "Succeeded":
            bucket.put(f"{folder}/out.mp4", bucket.get(f"{folder}/in.mp4"))
        condition = {
            "type": "Finished", "status": "True", "reason": "Completed", "message": "the encoder is missing",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }  # fmt: skip
        status = json.dumps({"status": {"phase": phase, "conditions": [condition]}})
        words = ("patch", "renderjob", NAME, "-n", "render", "--subresource=status", "--type=merge", "-p", status)
        plane.kubectl(*words)
