"""RenderJobs with fractions that an earlier CRD let in, where today's has whole numbers or text, go on to their end.

Today's CRD refuses fractions in what is new or changes; what is stored and stays as it is does not stand in the way.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy

import pytest
import yaml

from control_plane import CRD, ControlPlane
from ecg_api.structural import KEEP_UNKNOWN
from ecg_cluster.client import Json
from ecg_cluster.errors import Invalid
from fake_kubelet import FakeKubelet, Outcome, succeed
from operators import Site, finished, in_phase, on_a_loop, render_job

FRACTIONS: dict[str, Json] = {
    "rate": {"options": {"fps": 29.97}},
    "seconds": {"segments": {"targetSeconds": 1.5}},
    "cpu": {"placement": {"resources": {"requests": {"cpu": 1.5}, "limits": {"memory": "4Gi"}}}},
}


def earlier_definition() -> Json:
    """Return today's CRD, but for what 564b649 let in."""
    definition: Json = deepcopy(yaml.safe_load(CRD.read_text()))
    spec = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    parts = spec["properties"]
    parts["options"]["properties"]["fps"] = {KEEP_UNKNOWN: True}
    parts["segments"]["properties"]["targetSeconds"] = {"type": "number"}
    parts["placement"]["properties"]["resources"] = {"type": "object", KEEP_UNKNOWN: True}
    return definition


@contextmanager
def defined_as_earlier(plane: ControlPlane) -> Iterator[None]:
    """Put the earlier CRD in the place of today's for a while."""
    plane.kubectl("replace", "-f", "-", stdin=json.dumps(earlier_definition()))
    try:
        yield
    finally:
        plane.kubectl("replace", "-f", str(CRD))


async def let_in_earlier(plane: ControlPlane, site: Site, jobs: Mapping[str, Json]) -> None:
    """Create RenderJobs with these specs under the earlier CRD; today's is there again afterwards."""

    async def goes_by(newer: bool) -> bool:
        try:
            await site.apply(render_job("probe", **FRACTIONS["rate"]))
        except Invalid:
            return newer
        await site.delete("probe")
        return not newer

    with defined_as_earlier(plane):
        await site.until_true(lambda: goes_by(newer=False))
        for name, spec in jobs.items():
            await site.apply(render_job(name, **spec))
    await site.until_true(lambda: goes_by(newer=True))


@on_a_loop
async def test_jobs_with_fractions_are_rendered_to_their_end(
    plane: ControlPlane, kubelet: FakeKubelet, namespace: str
) -> None:
    async with Site(plane.kubeconfig, namespace) as site:
        await let_in_earlier(plane, site, FRACTIONS)
        stored = {name: await site.get(name) for name in FRACTIONS}
        async with site.operator():
            for name in FRACTIONS:
                job = await site.until(name, finished)
                assert job["status"]["phase"] == "Succeeded", job["status"]
                assert job["spec"] == stored[name]["spec"], "what was let in is kept as it is"


@on_a_loop
async def test_jobs_with_fractions_can_be_cancelled_and_deleted_while_they_run(
    plane: ControlPlane, kubelet: FakeKubelet, namespace: str
) -> None:
    kubelet.scripts[namespace] = lambda pod: Outcome(seconds=None) if pod.role == "segments" else succeed(pod)
    ends = {f"{name}-{end}": spec for end in ("cancelled", "deleted") for name, spec in FRACTIONS.items()}
    async with Site(plane.kubeconfig, namespace) as site:
        await let_in_earlier(plane, site, ends)
        async with site.operator():
            for name in ends:
                await site.until(name, in_phase("Rendering"))
            for name in FRACTIONS:
                await site.change(f"{name}-cancelled", cancel=True)
                await site.delete(f"{name}-deleted")
            for name in FRACTIONS:
                job = await site.until(f"{name}-cancelled", finished)
                assert job["status"]["phase"] == "Cancelled", job["status"]
                await site.until(f"{name}-deleted", lambda job: not job)


@on_a_loop
async def test_another_fraction_is_refused_and_all_else_is_immutable_as_ever(
    plane: ControlPlane, namespace: str
) -> None:
    async with Site(plane.kubeconfig, namespace) as site:
        await let_in_earlier(plane, site, {"clip": FRACTIONS["rate"]})
        with pytest.raises(Invalid, match=r"spec\.options\.fps"):
            await site.change("clip", options={"fps": 23.976})
        with pytest.raises(Invalid, match="cannot be changed after creation"):
            await site.change("clip", segments={"targetSeconds": 20})
        await site.apply(render_job("whole", options={"fps": "29.97"}))
        for fps in ("30", 30):
            with pytest.raises(Invalid, match="cannot be changed after creation"):
                await site.change("whole", options={"fps": fps})
