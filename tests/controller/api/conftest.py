"""One control plane and one fake node for all tests of this folder; each test has a namespace of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from control_plane import ControlPlane
from fake_kubelet import FakeKubelet


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Operators are killed and watches cut here in the middle of connecting; asyncio then leaves the socket to the
    # garbage collector. In a process that really ends the kernel closes it.
    left_open = pytest.mark.filterwarnings(
        "ignore:Exception ignored in. <(socket|function (_SSL|_Selector)):pytest.PytestUnraisableExceptionWarning"
    )
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(left_open)


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with ControlPlane(tmp_path_factory.mktemp("plane"), controllers=True) as running:
        yield running


@pytest.fixture(scope="session")
def kubelet(plane: ControlPlane) -> Iterator[FakeKubelet]:
    with FakeKubelet(plane.kubeconfig) as running:
        yield running


@pytest.fixture
def namespace(plane: ControlPlane, kubelet: FakeKubelet) -> Iterator[str]:
    """A new namespace in which pods can be made."""
    name = plane.new_namespace()
    yield name
    kubelet.scripts.pop(name, None)
