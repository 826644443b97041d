"""Where the seconds of a short job go in a cluster of one node, beside `ecg-render run` of the same job here.

Writes bench/timeline.md. Needs root, and builds our images (minutes the first time).

python -m bench.timeline [--seconds 10] [--rounds 4]
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer
import yaml

from bench.conditions import conditions
from bench.errors import BenchError
from ecg_api.names import JOB_LABEL, ROLE_LABEL
from ecg_api.renderjob import API_VERSION, KIND
from ecg_cluster.cache import Cache, Key, Record
from ecg_cluster.client import PODS, RENDER_JOBS, load_connection
from ecg_cluster.reflector import Reflector, Source
from ecg_operator.cluster import Cluster as Api

SUPPORT = Path(__file__).parents[1] / "tests" / "support"
sys.path.insert(0, str(SUPPORT))  # the cluster is the one that the tests use

import captions  # noqa: E402
import clips  # noqa: E402
import deployment  # noqa: E402
from cluster import Cluster  # noqa: E402
from go_tools import tool  # noqa: E402
from studio import Studio  # noqa: E402

RESULTS = Path(__file__).with_name("timeline.md")
NAMESPACE = "videos"
LONGEST_SECONDS = 300
GOAL_SECONDS = 3.0
BUSY = """\
The machine had other work to do. Pods get CPU by what they ask for, 0.2 cores here, and so wait for it more than a
process outside of the cluster does: on a machine without other work the difference is smaller."""


@dataclass
class Timeline:
    """What happened to one RenderJob, in seconds of this machine's clock."""

    name: str
    kubeconfig: Path
    marks: dict[str, float] = field(default_factory=dict)
    applied: float = 0.0
    failed: str = ""
    done: asyncio.Event = field(default_factory=asyncio.Event)
    logs: dict[str, subprocess.Popen[str]] = field(default_factory=dict)

    def mark(self, what: str, at: float | None = None) -> None:
        """Note a moment, the first time."""
        self.marks.setdefault(what, time.time() if at is None else at)

    def pod_seen(self, obj: dict[str, Any]) -> None:
        """Take in what a watch says of a pod."""
        name, role = obj["metadata"]["name"], obj["metadata"]["labels"][ROLE_LABEL]
        self.mark(f"{role} pod: there")
        status = obj.get("status") or {}
        containers: list[dict[str, Any]] = status.get("containerStatuses") or [{}]
        state = containers[0].get("state") or {}
        if "running" in state or "terminated" in state:
            self.mark(f"{role} pod: runs")
            self._follow(name)
        if "terminated" in state:
            self.mark(f"{role} pod: has ended")

    def job_seen(self, obj: dict[str, Any]) -> None:
        """Take in what a watch says of the RenderJob."""
        status = obj.get("status") or {}
        if status.get("encoder"):
            self.mark("status: encoder is known")
        for condition in status.get("conditions") or ():
            if condition["status"] == "True" and condition["type"] in ("Planned", "Rendered", "Succeeded", "Finished"):
                self.mark(f"status: {condition['type']}")
        if any(one["type"] == "Finished" and one["status"] == "True" for one in status.get("conditions") or ()):
            self.failed = "" if status["phase"] == "Succeeded" else f"{self.name} has not succeeded: {status}"
            self.done.set()

    def _follow(self, pod: str) -> None:
        if pod not in self.logs:
            command = [str(tool("kubectl")), f"--kubeconfig={self.kubeconfig}", f"--namespace={NAMESPACE}"]
            following = [*command, "logs", "--follow", "--timestamps", pod]
            self.logs[pod] = subprocess.Popen(following, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def read_logs(self) -> None:
        """Take in what the pods have written, by the times that the kubelet has noted."""
        for pod, log in self.logs.items():
            role = pod.removeprefix(f"{self.name}-").partition("-")[0]
            out, _ = log.communicate(timeout=20)
            for line in out.splitlines():
                at, _, said = line.partition(" ")
                if said and not said.startswith("{"):
                    self.mark(f"{role} pod says: {said[:70]}", datetime.fromisoformat(at).timestamp())

    def stop(self) -> None:
        """End what still follows a log."""
        for log in self.logs.values():
            with log:
                log.kill()

    def rows(self) -> list[tuple[str, float, float]]:
        """Return what happened, after how many seconds, and how many after the one before."""
        ordered = sorted(self.marks.items(), key=lambda mark: mark[1])
        before, rows = self.applied, []
        for what, at in ordered:
            rows.append((what, at - self.applied, at - before))
            before = at
        return rows

    @property
    def seconds(self) -> float:
        """From apply to Succeeded."""
        return self.marks["status: Succeeded"] - self.applied


async def observed(studio: Studio, number: int, seconds: int) -> Timeline:
    """Render a job in the cluster, and watch it.

    Raises BenchError if it does not succeed, TimeoutError if it does not end.
    """
    name = f"clip-{number}"
    kubeconfig = studio.cluster.kubeconfig
    timeline = Timeline(name, kubeconfig)
    api = Api(await load_connection(str(kubeconfig)))

    def learning(see: Any) -> Cache[dict[str, Any]]:
        return Cache(_record, lambda record, before: see(record.value), lambda record: None)

    sources = (
        (Source(PODS, NAMESPACE, f"{JOB_LABEL}={name}"), timeline.pod_seen),
        (Source(RENDER_JOBS, NAMESPACE), lambda obj: timeline.job_seen(obj) if _is(obj, name) else None),
    )
    reflectors = [Reflector(api, source, learning(see)) for source, see in sources]
    watching = [asyncio.create_task(reflector.run()) for reflector in reflectors]
    try:
        for reflector in reflectors:
            await reflector.synced.wait()
        manifest = job_of(studio, number, seconds)
        timeline.applied = time.time()
        await api.create(RENDER_JOBS, NAMESPACE, manifest)
        async with asyncio.timeout(LONGEST_SECONDS):
            await timeline.done.wait()
        if timeline.failed:
            raise BenchError(timeline.failed)
        timeline.read_logs()
    finally:
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        await api.close()
        timeline.stop()
    return timeline


def job_of(studio: Studio, number: int, seconds: int) -> dict[str, Any]:
    """Return a job over a clip of 1280x720 with captions on every frame, which no other job has at these times."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": f"clip-{number}", "namespace": NAMESPACE},
        "spec": {
            "source": {"uri": studio.bucket.uri("clip.mp4")},
            "scenario": {"inline": captions.talk(seconds, cue_seconds=0.8 + number / 100)},
            "output": {"uri": studio.bucket.uri(f"out/clip-{number}.mp4")},
            "options": {"encoder": "cpu"},
            "placement": {"gpus": 0},
        },
    }


def _is(obj: dict[str, Any], name: str) -> bool:
    return bool(obj["metadata"]["name"] == name)


def _record(obj: dict[str, Any]) -> Record[dict[str, Any]]:
    meta = obj["metadata"]
    key = Key(meta["namespace"], meta["name"])
    return Record(meta["namespace"], meta["name"], meta["uid"], int(meta["resourceVersion"]), key, obj)


def locally(manifest: dict[str, Any], clip: Path, folder: Path) -> float:
    """Return the seconds of `ecg-render run` for the same job; what it keeps is kept in `folder`."""
    spec = manifest["spec"] | {"source": {"uri": str(clip)}, "output": {"uri": str(folder / "local.mp4")}}
    job = folder / "job.yaml"
    job.write_text(yaml.safe_dump({**manifest, "spec": spec}))
    program = Path(sys.executable).with_name("ecg-render")
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    began = time.monotonic()
    subprocess.run([program, "run", job], check=True, capture_output=True, env=environment)
    return time.monotonic() - began


@contextmanager
def _studio(folder: Path, clip: Path) -> Iterator[Studio]:
    with Cluster(folder / "cluster", gpus=0) as cluster:
        deployment.load_images(cluster)
        bucket = cluster.s3.new_bucket()
        deployment.make_namespace(cluster, NAMESPACE)
        deployment.install(cluster.kubeconfig, bucket.uri("work"), namespaces=[NAMESPACE])
        bucket.put("clip.mp4", clip.read_bytes())
        yield Studio(cluster, bucket, NAMESPACE)


def main(
    seconds: Annotated[int, typer.Option(min=1, help="Length of the video.")] = 10,
    rounds: Annotated[int, typer.Option(min=2, help="Jobs, each rendered here and there.")] = 4,
) -> None:
    """Measure, print, and write bench/timeline.md."""
    facts = conditions()
    clip = clips.counter(clips.Clip(frames=30 * seconds, width=1280, height=720))
    with tempfile.TemporaryDirectory(prefix="ecg-") as name, _studio(Path(name), clip) as studio:
        here: list[float] = []
        there: list[Timeline] = []
        for number in range(rounds):
            here.append(locally(job_of(studio, number, seconds), clip, Path(name)))
            there.append(asyncio.run(observed(studio, number, seconds)))
            sys.stderr.write(f"bench: here {here[-1]:.1f} s, in the cluster {there[-1].seconds:.1f} s\n")
    page = _page(seconds, here, there, facts)
    print(page)
    RESULTS.write_text(page)


def _page(seconds: int, here: list[float], there: list[Timeline], facts: dict[str, str]) -> str:
    # The first one finds neither what is known of the source nor that this browser's pictures were compared.
    cold, *later = there
    middle = sorted(later, key=lambda timeline: timeline.seconds)[len(later) // 2]
    fastest = min(later, key=lambda timeline: timeline.seconds)
    rows = [
        ("first job of its namespace", here[0], cold),
        ("later ones, median", median(here[1:]), middle),
        ("later ones, fastest of each", min(here[1:]), fastest),
    ]
    lines = ["| | `ecg-render run` | apply to Succeeded | more |", "|---|---:|---:|---:|"]
    for what, local, timeline in rows:
        more = timeline.seconds - local
        lines.append(f"| {what} | {local:.1f} s | {timeline.seconds:.1f} s | {more:.1f} s |")
    lines += ["", "| after | step | |", "|---:|---:|---|"]
    lines += [f"| {at:.1f} s | {step:.1f} s | {what} |" for what, at, step in middle.rows()]
    about = "\n".join(f"- {name}: {value}" for name, value in facts.items())
    if float(facts["load average at the start"]) > 1:
        about += "\n\n" + BUSY
    return (
        "# The timeline of a short job\n\n"
        f"`make bench-timeline`: {seconds} s of 1280x720 at 30 pictures a second with captions on each, encoded\n"
        f"by x264 in one segment, in a cluster of one node; {len(here)} jobs.\n"
        f"The goal is at most {GOAL_SECONDS:g} s more than on the same machine without a cluster.\n\n{about}\n\n"
        + "\n".join(lines)
        + "\n"
    )


if __name__ == "__main__":
    typer.run(main)
