"""One of several namespaces is deleted, and with it the rights that the chart gives there: the others are served on."""

from __future__ import annotations

import json

import pytest

from chart import NAMESPACE, WORK, objects, of_kind
from control_plane import ControlPlane
from fake_kubelet import FakeKubelet
from operators import Site, finished, on_a_loop, render_job, settings_for


def give_rights(plane: ControlPlane, home: str, *namespaces: str) -> None:
    """Apply the chart's rights for an operator in `home` that serves `namespaces`."""
    found = objects(WORK, f"namespaces={{{','.join(namespaces)}}}")
    wanted = [one for kind in ("ServiceAccount", "Role", "RoleBinding") for one in of_kind(found, kind)]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": wanted})
    plane.kubectl("apply", "-f", "-", stdin=text.replace(f'"{NAMESPACE}"', f'"{home}"'))


@on_a_loop
async def test_a_namespace_that_is_gone_stops_no_other_and_is_served_again_when_it_is_back(
    plane: ControlPlane, kubelet: FakeKubelet, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    other = plane.new_namespace()
    give_rights(plane, namespace, namespace, other)
    account = plane.kubeconfig_for("ecg-render-operator", namespace)
    plane.kubectl("delete", "namespace", other, "--wait=true", "--timeout=60s")
    settings = settings_for(f"{namespace},{other}")
    async with (
        Site(plane.kubeconfig, namespace) as site,
        Site(plane.kubeconfig, other) as gone,
        site.operator(kubeconfig=account, settings=settings) as operator,
    ):
        assert operator.health.unserved() == {other}
        for reflector in operator.reflectors:
            if reflector.source.namespace == other:
                reflector._heard_at -= 1000
        assert operator.health.problems() == operator.health.waiting_for() == []
        operator.health.measure(operator.metrics)
        assert "ecg_unserved_namespaces 1.0" in operator.metrics.text().decode()
        await site.apply(render_job("clip"))
        assert (await site.until("clip", finished))["status"]["phase"] == "Succeeded"

        plane.kubectl("create", "namespace", other)
        give_rights(plane, namespace, namespace, other)

        async def served() -> bool:
            return not operator.health.unserved() and f"in {namespace}, {other}" in caplog.text

        caplog.set_level("INFO")
        await site.until_true(served)
        await gone.apply(render_job("clip", suspend=True))
        await gone.until("clip", lambda job: "status" in job)
        await gone.change("clip", cancel=True)
        assert (await gone.until("clip", finished))["status"]["phase"] == "Cancelled"
