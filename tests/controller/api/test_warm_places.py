"""The Deployment of placeholder pods, scaled on a real API server with the rights that the chart gives."""

from __future__ import annotations

import json
from dataclasses import replace

from chart import NAMESPACE, WORK, objects, of_kind
from control_plane import ControlPlane
from ecg_cluster.client import DEPLOYMENTS
from ecg_operator.warm_places import ANNOTATION
from fake_kubelet import FakeKubelet, succeed
from operators import Site, on_a_loop, render_job

WARM = "ecg-render-warm"
ALWAYS = {"otherwise": {"floor": 2, "ceiling": 4}, "outAbove": 3, "inBelow": 1, "outPauseSeconds": 1}


def install(plane: ControlPlane, namespace: str) -> None:
    """Apply what the chart makes of warm places and of the operator's rights, in a namespace of the test's own."""
    found = objects(WORK, "capacity.enabled=true", f"namespaces={{{namespace}}}")
    kinds = ("ServiceAccount", "Role", "RoleBinding", "PriorityClass")
    wanted = [one for kind in kinds for one in of_kind(found, kind)] + of_kind(found, "Deployment", WARM)
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": wanted})
    plane.kubectl("apply", "-f", "-", stdin=text.replace(f'"{NAMESPACE}"', f'"{namespace}"'))


@on_a_loop
async def test_segments_that_wait_bring_places_with_no_more_rights_than_needed(
    plane: ControlPlane, kubelet: FakeKubelet, namespace: str
) -> None:
    install(plane, namespace)
    kubelet.scripts[namespace] = lambda pod: replace(succeed(pod, segments=2), seconds=60)  # they plan and plan
    account = plane.kubeconfig_for("ecg-render-operator", namespace)
    async with Site(plane.kubeconfig, namespace) as site:
        for number in range(5):
            await site.apply(render_job(f"clip-{number}"))
        variables = {"CAPACITY": json.dumps(ALWAYS), "WARM_DEPLOYMENT": WARM, "LEASE_NAMESPACE": namespace}
        async with site.operator(kubeconfig=account, **variables):

            async def scaled() -> bool:
                return bool((await site.cluster.get(DEPLOYMENTS, namespace, WARM))["spec"].get("replicas") == 4)

            await site.until_true(scaled)
        found = await site.cluster.get(DEPLOYMENTS, namespace, WARM)
        note = json.loads(found["metadata"]["annotations"][ANNOTATION])
        assert (note["places"], note["reason"]) == (4, "5 segments wait, more than 3")
    other = ("auth", "can-i", "patch", "deployments/other", "-n", namespace)
    who = f"--as=system:serviceaccount:{namespace}:ecg-render-operator"
    assert plane.kubectl(*other, who, check=False).strip().endswith("no")
