"""Rules of the repository that no other tool checks."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_neither_operator_nor_tests_is_a_package() -> None:
    """Python would import a package `operator` instead of its own module, and pytest one of tests/'s folders."""
    assert [*(ROOT / "operator").glob("__init__.py"), *(ROOT / "tests").rglob("__init__.py")] == []


@pytest.mark.parametrize("lock", sorted(path.name for path in ROOT.glob("requirements*.lock")))
def test_a_lock_pins_every_dependency_by_digest_and_names_no_registry(lock: str) -> None:
    text = (ROOT / lock).read_text()
    entries = re.split(r"\n(?=\S)", text.strip())
    assert "://" not in text
    assert [entry for entry in entries if not re.match(r"\S+==\S+.*\\\n    --hash=sha256:", entry)] == []


def test_the_locks_hold_what_pyproject_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    runtime = [*project["project"]["dependencies"], *groups["build"]]
    development = [entry for entry in groups["dev"] if isinstance(entry, str)]
    assert _names(runtime) <= _pinned("requirements.lock")
    assert _names(runtime + development) <= _pinned("requirements-dev.lock")


def test_development_pins_the_same_versions_as_rendering() -> None:
    runtime, development = ((ROOT / f"requirements{part}.lock").read_text() for part in ("", "-dev"))
    assert set(re.findall(r"^\S+==\S+", runtime, re.M)) <= set(re.findall(r"^\S+==\S+", development, re.M))


@pytest.mark.parametrize("page", ["renderer/ecg_renderer/page", "operator/ecg_shim/page"])
def test_a_page_lock_holds_digests_and_no_address_of_a_package(page: str) -> None:
    text = (ROOT / page / "package-lock.json").read_text()
    assert '"integrity": "sha512-' in text
    assert '"resolved"' not in text


@pytest.mark.parametrize("image", ["operator", "renderer"])
def test_each_image_is_made_with_what_all_parts_share(image: str) -> None:
    copied = re.findall(r"^COPY (\S+) ", (ROOT / f"Dockerfile.{image}").read_text(), re.M)
    assert {"common", "crds/ecg_api"} <= set(copied)
    assert {"!common", "!crds/ecg_api"} <= set((ROOT / ".dockerignore").read_text().splitlines())


def _names(requirements: list[str]) -> set[str]:
    return {re.split(r"[^a-z0-9-]", entry.lower())[0] for entry in requirements}


def _pinned(lock: str) -> set[str]:
    return set(re.findall(r"^([a-z0-9-]+)==", (ROOT / lock).read_text(), re.M))
