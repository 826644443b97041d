"""RenderJobs in a running cluster, handled as a person does it: by kubectl.

studio = Studio(cluster, bucket, "videos")
job = studio.submit("clip", seconds=3, segments={"targetSeconds": 1})
job.finished()                      waits as `kubectl wait --for=condition=Finished` does, returns the status
job.patch(cancel=True); job.pods("segments"); job.events(); job.delete()
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import captions
import clips
from cluster import Cluster
from deployment import SECRET
from s3 import Bucket

Json = dict[str, Any]
T = TypeVar("T")
SECONDS = 180.0  # a machine may be slow, and render something else meanwhile
LONGEST_INLINE = 10


class Studio:
    """A namespace of a cluster, and a bucket, for rendering small clips."""

    def __init__(self, cluster: Cluster, bucket: Bucket, namespace: str) -> None:
        self.cluster = cluster
        self.bucket = bucket
        self.namespace = namespace

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """Run kubectl in the namespace."""
        return self.cluster.kubectl("--namespace", self.namespace, *arguments, stdin=stdin, check=check)

    def read(self, *arguments: str) -> Json:
        """Run `kubectl get` and return the object or list as JSON."""
        found: Json = json.loads(self.kubectl("get", *arguments, "--output=json"))
        return found

    def clip(self, seconds: int) -> str:
        """Put a clip of so many seconds, 320x180 at 30 fps, into the bucket; return its URI."""
        key = f"clip-{seconds}.mp4"
        if key not in self.bucket.keys:
            return self.bucket.put(key, clips.counter(clips.Clip(frames=30 * seconds)).read_bytes())
        return self.bucket.uri(key)

    def scenario(self, seconds: int) -> Json:
        """Return captions for so many seconds: inline, or in the bucket if they are too long for that."""
        talk = captions.talk(seconds)
        if seconds <= LONGEST_INLINE:
            return {"inline": talk}
        return {"uri": self.bucket.put(f"talk-{seconds}.json", json.dumps(talk).encode())}

    def manifest(self, name: str, seconds: int = 1, **spec: Any) -> Json:
        """Return a RenderJob over a clip with captions on every frame, rendered anew; `spec` over what that says."""
        ours = {
            "source": {"uri": self.clip(seconds)},
            "scenario": self.scenario(seconds),
            "output": {"uri": self.bucket.uri(f"out/{name}.mp4")},
            "options": {"preset": "ultrafast"},
            "placement": {"gpus": 1},
            "reuse": False,
        }
        return {
            "apiVersion": "render.ecg.dev/v1alpha1",
            "kind": "RenderJob",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {**ours, **spec},
        }

    def submit(self, name: str, seconds: int = 1, **spec: Any) -> Job:
        """Apply the manifest of that name."""
        self.kubectl("apply", "-f", "-", stdin=json.dumps(self.manifest(name, seconds, **spec)))
        return Job(self, name)


def wait_until(answer: Callable[[], T], seconds: float = SECONDS, otherwise: Callable[[], str] = lambda: "") -> T:
    """Ask again and again until the answer is true, and return it; AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := answer()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s {otherwise()}"
        time.sleep(0.2)
    return found


@dataclass(frozen=True)
class Job:
    """A RenderJob that was applied."""

    studio: Studio
    name: str

    def read(self) -> Json:
        """Return the object."""
        return self.studio.read("renderjob", self.name)

    def status(self) -> Json:
        """Return the status, empty before the operator has written one."""
        status: Json = self.read().get("status", {})
        return status

    def condition(self, kind: str) -> Json:
        """Return a condition, empty if it is not there."""
        found = [one for one in self.status().get("conditions", []) if one["type"] == kind]
        return found[0] if found else {}

    def finished(self, seconds: float = SECONDS) -> Json:
        """Wait for the end, whatever it is; return the status then."""
        self.kubectl("wait", "--for=condition=Finished", f"--timeout={seconds:.0f}s", f"renderjob/{self.name}")
        return self.status()

    def until(self, holds: Callable[[Job], T], seconds: float = SECONDS) -> T:
        """Wait until `holds` returns something true, and return that; AssertionError with the status otherwise."""
        return wait_until(lambda: holds(self), seconds, lambda: json.dumps(self.status(), indent=1))

    def pods(self, role: str = "", phase: str = "") -> list[Json]:
        """Return the pods of the job, of one role, in one phase."""
        labels = f"render.ecg.dev/job={self.name}" + (f",render.ecg.dev/role={role}" if role else "")
        found: list[Json] = self.studio.read("pods", "--selector", labels)["items"]
        return [pod for pod in found if phase in ("", pod["status"]["phase"])]

    def rendering_pod(self, role: str = "segments") -> Json:
        """Wait until a pod of `role` has rendered a part of its segment, and return the pod."""
        self.until(lambda job: job.status().get("progress", {}).get("framesDone"))
        return self.until(lambda job: job.pods(role, "Running"))[0]

    def events(self) -> dict[str, str]:
        """Return what the operator has told: the last message of each reason."""
        chosen = f"involvedObject.name={self.name},involvedObject.kind=RenderJob"
        found = self.studio.read("events", "--field-selector", chosen)["items"]
        return {event["reason"]: event["message"] for event in found}

    def patch(self, **spec: Any) -> None:
        """Change the spec."""
        self.kubectl("patch", "renderjob", self.name, "--type=merge", "--patch", json.dumps({"spec": spec}))

    def delete(self, seconds: float = 60) -> None:
        """Delete the object and wait until it is gone."""
        self.kubectl("delete", "renderjob", self.name, f"--timeout={seconds:.0f}s")

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl in the job's namespace."""
        return self.studio.kubectl(*arguments)

    def work_files(self) -> set[str]:
        """Return the keys of the job's work files."""
        return {key for key in self.studio.bucket.keys if key.startswith(f"work/{self.studio.namespace}/{self.name}-")}


@contextmanager
def operator_outside(studio: Studio, folder: Path, **changes: str) -> Iterator[None]:
    """Run an operator on this machine that serves the studio's namespace; `changes` are to its settings."""
    settings = {
        "RENDERER_IMAGE": "localhost/ecg-render-renderer:test",
        "WORK_URI": studio.bucket.uri("work"),
        "WORKER_SECRET": SECRET,
        "HEALTH_PORT": "0",
        "SCRATCH_REQUEST": "",  # this kubelet measures no disks
        "SEGMENT_CPU": "200m",
        "SEGMENT_MEMORY": "512Mi",
        "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
        **changes,
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
