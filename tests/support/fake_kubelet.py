"""A node for tests that have an API server and controllers but no kubelet: pods run by writing their status.

    kubelet = FakeKubelet(plane.kubeconfig)
    kubelet.scripts["ns-1"] = lambda pod: Outcome(exit_code=98) if pod.role == "segments" else succeed(pod)
    with kubelet: ...

Pods are bound to one node, become Running, end with the exit code and the termination message that the script of their
namespace says, and go away with a grace period when they are deleted, as real ones do. It hears of them by a list and
a watch of its own: with the operator's, a mistake in those would hide on both sides.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp
from kubernetes.aio.client import Configuration

from ecg_api.failures import RULES, Failure, FailureCode
from ecg_api.names import CONTAINER, MANAGED_BY, OPERATOR, ROLE_LABEL, SEGMENTS_VARIABLE
from ecg_api.pods import FailureReport, encode_report
from ecg_api.ranges import parse_ranges
from ecg_cluster.client import NODES, PODS, delete_options, load_connection
from ecg_cluster.errors import Changed, NoAnswer, NotFound
from ecg_operator.cluster import Cluster
from pod_reports import report_of

NODE = "fake-node"
JOB_NAME = "batch.kubernetes.io/job-name"
LONGEST_LINE = 1 << 20


@dataclass(frozen=True)
class Pod:
    """What a script may want to know of a pod."""

    namespace: str
    name: str
    job: str
    role: str
    index: int
    segment: int
    attempt: int


@dataclass(frozen=True)
class Outcome:
    """How a pod fares.

    Attributes:
        seconds: from Running to the end; None runs until it is deleted.
        after: how many other pods of its Job have to end first.
        waiting: reason and message of a container that never starts.
        unschedulable: the scheduler's sentence; the pod then gets no node.
        disrupted: the node takes the pod away while it runs.
        stop_seconds: from a deletion to the end of the process.
        ip: of the pod, for whoever asks for its progress.
    """

    exit_code: int = 0
    message: str = ""
    seconds: float | None = 0.05
    after: int = 0
    ended: str = ""
    waiting: tuple[str, str] | None = None
    unschedulable: str = ""
    disrupted: bool = False
    stop_seconds: float = 0.05
    ip: str = ""


Script = Callable[[Pod], Outcome]


def succeed(pod: Pod, segments: int = 3) -> Outcome:
    """Return the outcome of a pod whose work is done, with the report of its role."""
    return Outcome(message=encode_report(report_of(pod.role, pod.segment, segments)))


def slow_segments(pod: Pod) -> Outcome:
    """Return the outcome of a pod whose work is done, after a while if it is a segment's."""
    return replace(succeed(pod), seconds=1.5) if pod.role == "segments" else succeed(pod)


def fail(code: FailureCode, message: str = "it did not work") -> Outcome:
    """Return the outcome of a pod that failed with `code` and reported so."""
    rule = RULES[code]
    report = FailureReport(failure=Failure(code=code, message=message, retryable=rule.retryable))
    return Outcome(exit_code=rule.exit_code, message=encode_report(report))


class FakeKubelet:
    """One node that runs all pods of ours, in a thread of its own.

    Attributes:
        scripts: how pods fare, by namespace; `succeed` where there is none.
        started: every pod that was started, in order.
    """

    def __init__(self, kubeconfig: Path) -> None:
        self.scripts: dict[str, Script] = {}
        self.started: list[Pod] = []
        self._kubeconfig = kubeconfig
        self._attempts: dict[tuple[str, str, int], int] = {}
        self._ended: Counter[tuple[str, str]] = Counter()
        self._thread = threading.Thread(target=self._thread_main, name="kubelet", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self._listed = asyncio.Event()
        self._wakes: dict[str, asyncio.Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> FakeKubelet:
        self._thread.start()
        assert self._ready.wait(20), "the fake kubelet does not start"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _thread_main(self) -> None:
        with asyncio.Runner() as runner:
            runner.run(self._run())

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        configuration = await load_connection(str(self._kubeconfig))
        self._cluster = Cluster(configuration)
        informing = asyncio.create_task(self._hear(configuration))
        await self._make_node()
        await self._listed.wait()
        self._ready.set()
        await self._stop.wait()
        tasks = [informing, *self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._cluster.close()

    async def _make_node(self) -> None:
        body = {"metadata": {"name": NODE}, "spec": {"taints": []}}
        await self._cluster.client.call("create", NODES, None, body=body)
        now = _now()
        condition = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "",
                     "lastHeartbeatTime": now, "lastTransitionTime": now}  # fmt: skip
        status = {"status": {"conditions": [condition]}}
        await self._cluster.client.call("patch", NODES, None, NODE, part="status", body=status)

    async def _hear(self, configuration: Configuration) -> None:
        """Follow all pods of ours, for ever: list them, and watch until that breaks off."""
        headers = {"Authorization": await configuration.get_api_key_with_prefix("BearerToken", "authorization") or ""}
        trust = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=configuration.ssl_ca_cert))
        patience = aiohttp.ClientTimeout(total=None, sock_connect=5)
        async with aiohttp.ClientSession(
            configuration.host, headers=headers, connector=trust, timeout=patience, read_bufsize=LONGEST_LINE
        ) as session:
            while True:
                with suppress(aiohttp.ClientError, OSError):  # the API server is away
                    await self._list_and_watch(session)
                await asyncio.sleep(0.1)

    async def _list_and_watch(self, session: aiohttp.ClientSession) -> None:
        ours = {"labelSelector": f"{MANAGED_BY}={OPERATOR}"}
        async with session.get("/api/v1/pods", params=ours, raise_for_status=True) as answer:
            listed = await answer.json()
        for uid in self._wakes.keys() - {pod["metadata"]["uid"] for pod in listed["items"]}:
            self._wakes[uid].set()
        for pod in listed["items"]:
            self._news(pod)
        self._listed.set()
        since = {"watch": "true", "resourceVersion": listed["metadata"]["resourceVersion"]}
        async with session.get("/api/v1/pods", params=ours | since, raise_for_status=True) as answer:
            async for line in answer.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                self._news(event["object"], gone=event["type"] == "DELETED")

    def _news(self, obj: dict[str, Any], gone: bool = False) -> None:
        meta = obj["metadata"]
        wake = self._wakes.get(meta["uid"])
        if wake is not None:
            if gone or "deletionTimestamp" in meta:
                wake.set()
            return
        # A pod of no Job gets no node.
        if gone or JOB_NAME not in meta["labels"] or obj.get("status", {}).get("phase") in ("Succeeded", "Failed"):
            return
        self._wakes[meta["uid"]] = asyncio.Event()
        task = asyncio.get_running_loop().create_task(self._live(obj))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _live(self, obj: dict[str, Any]) -> None:
        pod = self._describe(obj)
        outcome = self.scripts.get(pod.namespace, succeed)(pod)
        self.started.append(pod)
        with suppress(NotFound, Changed):  # somebody else has deleted it
            await self._play(pod, obj["metadata"]["uid"], outcome)

    async def _play(self, pod: Pod, uid: str, outcome: Outcome) -> None:
        wake = self._wakes[uid]
        started = _now()
        if outcome.unschedulable:
            scheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
            await self._write(pod, {"conditions": [{**scheduled, "message": outcome.unschedulable}]})
            await wake.wait()
            return
        await self._bind(pod)
        if outcome.waiting is not None:
            reason, message = outcome.waiting
            waiting = {"waiting": {"reason": reason, "message": message}}
            await self._write(pod, {"phase": "Pending", "containerStatuses": [_container(waiting)]})
            await wake.wait()
            await self._remove(pod, uid)
            return
        running = {"running": {"startedAt": started}}
        status = {"phase": "Running", "containerStatuses": [_container(running)]}
        if outcome.ip:
            status |= {"podIP": outcome.ip, "podIPs": [{"ip": outcome.ip}]}
        await self._write(pod, status)
        # Looked for, not waited for: two things can end it.
        while self._ended[pod.namespace, pod.job] < outcome.after and not wake.is_set():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        try:
            async with asyncio.timeout(outcome.seconds):
                await wake.wait()
        except TimeoutError:
            if outcome.disrupted:
                await self._disrupt(pod, started)
            else:
                await self._end(pod, started, outcome.exit_code, outcome.message, outcome.ended)
            await wake.wait()
            await self._remove(pod, uid)
            return
        await asyncio.sleep(outcome.stop_seconds)
        await self._end(pod, started, 143, "", "Error")
        await self._remove(pod, uid)

    async def _bind(self, pod: Pod) -> None:
        target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
        body = {"metadata": {"name": pod.name}, "target": target}
        with suppress(Changed):  # the answer to an earlier try was lost
            await self._surely(
                lambda: self._cluster.client.call("create", PODS, pod.namespace, pod.name, part="binding", body=body)
            )

    async def _write(self, pod: Pod, status: dict[str, Any]) -> None:
        patch = {"status": status}
        await self._surely(lambda: self._cluster.patch(PODS, pod.namespace, pod.name, patch, "status"))

    async def _surely(self, request: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Make a request until the API server answers."""
        while True:
            try:
                await request()
                return
            except NoAnswer:
                await asyncio.sleep(0.3)

    async def _end(self, pod: Pod, started: str, exit_code: int, message: str, reason: str) -> None:
        terminated = {
            "exitCode": exit_code,
            "reason": reason or ("Error" if exit_code else "Completed"),
            "message": message,
            "startedAt": started,
            "finishedAt": _now(),
        }
        phase = "Failed" if exit_code else "Succeeded"
        await self._write(pod, {"phase": phase, "containerStatuses": [_container({"terminated": terminated})]})
        self._ended[pod.namespace, pod.job] += 1

    async def _disrupt(self, pod: Pod, started: str) -> None:
        condition = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
                     "message": "Eviction API: evicting", "lastTransitionTime": _now()}  # fmt: skip
        await self._write(pod, {"conditions": [condition]})
        await self._end(pod, started, 143, "", "Error")

    async def _remove(self, pod: Pod, uid: str) -> None:
        """Confirm a deletion, as a kubelet does when everything of the pod has ended."""
        with suppress(NotFound):
            now = delete_options(gracePeriodSeconds=0, preconditions={"uid": uid})
            call = self._cluster.client.call
            await self._surely(lambda: call("delete", PODS, pod.namespace, pod.name, body=now))

    def _describe(self, obj: dict[str, Any]) -> Pod:
        meta, spec = obj["metadata"], obj["spec"]
        role = meta["labels"][ROLE_LABEL]
        index = int(meta.get("annotations", {}).get("batch.kubernetes.io/job-completion-index", 0))
        container = next(c for c in spec["containers"] if c["name"] == CONTAINER)
        variables = {v["name"]: v.get("value", "") for v in container.get("env", [])}
        segments = sorted(parse_ranges(variables.get(SEGMENTS_VARIABLE, "")))
        job = meta["labels"][JOB_NAME]
        place = (meta["namespace"], job, index)
        self._attempts[place] = self._attempts.get(place, 0) + 1
        segment = segments[index] if segments else 0
        return Pod(meta["namespace"], meta["name"], job, role, index, segment, self._attempts[place])


def _container(state: dict[str, Any]) -> dict[str, Any]:
    running = "running" in state
    return {"name": CONTAINER, "image": "renderer", "imageID": "", "ready": running, "started": running,
            "restartCount": 0, "state": state}  # fmt: skip


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
