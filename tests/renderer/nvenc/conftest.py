"""A driver's double for each test; it is built once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from driver_double import Driver, built
from ecg_renderer.media import encoder


@pytest.fixture(scope="session")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The double's libraries."""
    return built(tmp_path_factory.mktemp("driver"))


@pytest.fixture
def driver(libraries: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Driver]:
    """A machine with a GPU on which nothing was encoded, for this test alone."""
    folder = tmp_path / "gpu"
    folder.mkdir()
    monkeypatch.setattr(encoder, "_nvenc_tests", encoder._NvencTests())
    before = dict(os.environ)
    yield Driver(libraries, folder)
    os.environ.clear()
    os.environ.update(before)
