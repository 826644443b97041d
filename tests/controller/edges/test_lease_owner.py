"""The Lease goes with the release: it belongs to the ServiceAccount that the pod's own token names."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest

from ecg_cluster import client


@pytest.mark.parametrize(("namespace", "owned"), [("render", True), ("elsewhere", False)])
def test_an_object_of_the_pods_namespace_belongs_to_its_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, namespace: str, owned: bool
) -> None:
    claims = {"kubernetes.io": {"namespace": "render", "serviceaccount": {"name": "ecg-operator", "uid": "1-2"}}}
    (tmp_path / "namespace").write_text("render")
    (tmp_path / "token").write_text(f"a.{urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.c")
    monkeypatch.setattr(client, "_ACCOUNT", tmp_path)

    owner = {"apiVersion": "v1", "kind": "ServiceAccount", "name": "ecg-operator", "uid": "1-2"}
    assert client.own_account(namespace) == ([owner] if owned else [])


@pytest.mark.parametrize("token", [None, "", "opaque", "a.!.c", "a.e30.c", "a.W10.c"])
def test_without_such_a_token_nobody_owns_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: str | None
) -> None:
    if token is not None:
        (tmp_path / "token").write_text(token)
    monkeypatch.setattr(client, "_ACCOUNT", tmp_path)

    assert client.own_account("default") == []
