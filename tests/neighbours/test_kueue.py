"""Kueue as a neighbour: it lets Jobs in, holds them back and stops them again, and none of that is a failure."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator

import pytest

from ecg_api.names import ROLE_LABEL
from fake_kubelet import FakeKubelet, Outcome, Pod, succeed
from kueue import Json, KueuePlane, priority, queue
from operators import Site, condition, finished, on_a_loop, render_job

ROOM = {"cpu": "20", "memory": "40Gi", "ephemeral-storage": "40Gi"}
QUEUE = "captions"
pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KueuePlane]:
    with KueuePlane(tmp_path_factory.mktemp("plane")) as running:
        running.apply(priority("low", 10), priority("high", 1000))
        yield running


@pytest.fixture(scope="module")
def kubelet(plane: KueuePlane) -> Iterator[FakeKubelet]:
    with FakeKubelet(plane.kubeconfig) as running:
        yield running


@pytest.fixture
def namespace(plane: KueuePlane) -> str:
    return plane.new_namespace()


def give(plane: KueuePlane, namespace: str, **amounts: str) -> None:
    """Give the namespace's queue so much of each resource."""
    plane.apply(*queue(QUEUE, namespace, **{**ROOM, **amounts}))


def queued(name: str, of_priority: str = "low", **spec: object) -> Json:
    """Return a RenderJob for Kueue."""
    labels = {"kueue.x-k8s.io/queue-name": QUEUE, "kueue.x-k8s.io/priority-class": of_priority}
    job = render_job(name, **spec)
    return {**job, "metadata": {**job["metadata"], "labels": labels}}


@on_a_loop
async def test_what_kueue_holds_back_says_why_takes_nobodys_place_and_has_no_deadline(
    plane: KueuePlane, kubelet: FakeKubelet, namespace: str
) -> None:
    give(plane, namespace, **{"cpu": "0", "nvidia.com/gpu": "0"})
    async with Site(plane.kubeconfig, namespace) as site, site.operator(MAX_CONCURRENT_JOBS="1"):
        await site.apply(queued("held", deadlines={"activeSeconds": 6, "pendingSeconds": 3}))
        why = "insufficient quota for cpu in flavor default-flavor"
        await site.until("held", lambda job: why in condition(job, "Scheduled").get("message", ""), 60)
        await site.apply(render_job("other"))
        job = await site.until("other", finished)
        assert job["status"]["phase"] == "Succeeded", job["status"]
        await asyncio.sleep(6)
        assert not finished(await site.get("held"))
        give(plane, namespace, **{"nvidia.com/gpu": "8"})
        job = await site.until("held", finished, 60)
        assert job["status"]["phase"] == "Succeeded", job["status"]
    assert _workers(kubelet, namespace, "held") == {"plan": 1, "segments": 3, "merge": 1}


@on_a_loop
async def test_what_kueue_stops_for_another_goes_on_later_and_loses_no_try(
    plane: KueuePlane, kubelet: FakeKubelet, namespace: str
) -> None:
    give(plane, namespace, **{"nvidia.com/gpu": "3"})

    def script(pod: Pod) -> Outcome:
        stays = pod.role == "segments" and pod.job.startswith("patient") and pod.segment and pod.attempt == 1
        return Outcome(seconds=None) if stays else succeed(pod)

    kubelet.scripts[namespace] = script
    async with Site(plane.kubeconfig, namespace) as site, site.operator():
        await site.apply(queued("patient", retry={"perSegment": 0, "disruptions": 0}))
        await site.until("patient", lambda job: job.get("status", {}).get("segments", {}).get("succeeded") == 1, 60)
        await site.apply(queued("urgent", "high"))
        await site.until("patient", lambda job: condition(job, "Scheduled").get("reason") == "QuotaExceeded", 60)
        job = await site.until("urgent", finished, 60)
        assert job["status"]["phase"] == "Succeeded", job["status"]
        job = await site.until("patient", finished, 90)
        assert job["status"]["phase"] == "Succeeded", job["status"]
        told = [event["reason"] for event in await site.events("patient") if event["type"] == "Warning"]
        assert told == []
    tries = Counter(pod.segment for pod in kubelet.started if pod.job.startswith("patient-seg"))
    assert tries == {0: 1, 1: 2, 2: 2}, "what was finished stays so"


@on_a_loop
async def test_one_that_is_held_back_can_be_cancelled_and_its_work_files_go_when_there_is_room(
    plane: KueuePlane, kubelet: FakeKubelet, namespace: str
) -> None:
    give(plane, namespace, **{"nvidia.com/gpu": "0"})
    async with Site(plane.kubeconfig, namespace) as site, site.operator():
        await site.apply(queued("unwanted"))
        await site.until("unwanted", lambda job: "nvidia.com/gpu" in condition(job, "Scheduled").get("message", ""), 60)
        give(plane, namespace, **{"cpu": "0", "nvidia.com/gpu": "0"})
        await site.change("unwanted", cancel=True)
        job = await site.until("unwanted", finished)
        assert job["status"]["phase"] == "Cancelled", job["status"]

        async def only_cleaning_waits() -> bool:
            jobs = (await site.jobs()).values()
            return [(one["metadata"]["labels"][ROLE_LABEL], one["spec"]["suspend"]) for one in jobs] == [
                ("clean", True)
            ]

        await site.until_true(only_cleaning_waits)
        give(plane, namespace, **{"nvidia.com/gpu": "0"})

        async def cleaned() -> bool:
            return _workers(kubelet, namespace, "unwanted")["clean"] == 1

        await site.until_true(cleaned)
        left = plane.kubectl("get", "workloads", f"--namespace={namespace}", "--output=name").split()
        assert all("clean" in name for name in left), left


def _workers(kubelet: FakeKubelet, namespace: str, job: str) -> Counter[str]:
    started = (pod for pod in kubelet.started if pod.namespace == namespace and pod.job.startswith(f"{job}-"))
    return Counter(pod.role for pod in started)
