"""One API server for all tests of this folder; each test has a namespace and an editor's backend of its own."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from control_plane import ControlPlane
from shim_client_backend import ClientBackend
from shim_cluster import Place


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with ControlPlane(tmp_path_factory.mktemp("plane"), controllers=True) as running:
        yield running


@pytest.fixture
def kubeconfig(plane: ControlPlane) -> Path:
    return plane.kubeconfig


@pytest.fixture
def client() -> Iterator[ClientBackend]:
    with ClientBackend() as backend:
        yield backend


@pytest.fixture
def place(plane: ControlPlane, client: ClientBackend) -> Place:
    """A new namespace."""
    name = f"s-{secrets.token_hex(4)}"
    plane.kubectl("create", "namespace", name)
    return Place(plane.kubeconfig, name, client)
