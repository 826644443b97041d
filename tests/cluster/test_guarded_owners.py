"""An API server that guards owners, as OpenShift's does: the chart's rights are enough to lead, before and after."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from chart import SERVICE, Json, objects, of_kind
from control_plane import ControlPlane
from ecg_cluster import client
from ecg_cluster.client import Client, load_connection
from ecg_cluster.election import Election

GUARD = "--enable-admission-plugins=OwnerReferencesPermissionEnforcement"
PARTS = [("ecg-render-operator", "ecg-render-operator"), ("ecg-render-service", "ecg-relay")]


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with ControlPlane(tmp_path_factory.mktemp("plane"), api_flags=(GUARD,)) as running:
        running.kubectl("create", "namespace", "render")
        yield running


@pytest.mark.parametrize(("account", "lease"), PARTS)
def test_a_lease_that_belongs_to_nobody_is_taken_and_belongs_to_the_account_from_then_on(
    plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, account: str, lease: str
) -> None:
    roles = given(plane, account)
    monkeypatch.setattr(client, "_ACCOUNT", tmp_path)
    assert asyncio.run(takes(plane, account, lease)), "as a release from before owners were written"
    assert "ownerReferences" not in metadata(plane, lease)

    uid = plane.kubectl("get", "serviceaccount", account, "-n", "render", "-o", "jsonpath={.metadata.uid}")
    (tmp_path / "namespace").write_text("render")
    (tmp_path / "token").write_text(plane.kubectl("create", "token", account, "-n", "render").strip())
    assert asyncio.run(takes(plane, account, lease))
    assert [owner["uid"] for owner in metadata(plane, lease)["ownerReferences"]] == [uid]

    fewer = json.dumps({"apiVersion": "v1", "kind": "List", "items": roles}).replace(', "delete"]', "]")
    plane.kubectl("apply", "-f", "-", stdin=fewer)
    assert asyncio.run(takes(plane, account, lease)), "a renewal changes no owners, and needs no right for that"


def given(plane: ControlPlane, account: str) -> list[Json]:
    """Apply the chart's account and what it may do in the release's namespace; return the Roles."""
    found = [one for one in objects(*SERVICE) if one["metadata"].get("namespace") == "render"]
    rights = [one for kind in ("ServiceAccount", "Role", "RoleBinding") for one in of_kind(found, kind)]
    plane.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": rights}))
    return of_kind(found, "Role")


def metadata(plane: ControlPlane, lease: str) -> Json:
    found: Json = json.loads(plane.kubectl("get", "lease", lease, "-n", "render", "-o", "json"))
    return found["metadata"]


async def takes(plane: ControlPlane, account: str, lease: str) -> bool:
    """Tell whether a replica with the rights of an account takes or renews the Lease."""
    api = Client(await load_connection(str(plane.kubeconfig_for(account, "render"))), "test")
    try:
        async with asyncio.timeout(60):
            await Election(api, "render", lease, "replica").win()
        return True
    except TimeoutError:
        return False
    finally:
        await api.close()
