"""What a test does that needs a whole cluster, when it cannot have one: never pass over it without a word."""

from __future__ import annotations

import os

import pytest

from cluster import CannotRun, check_machine


def needs_root() -> None:
    """Skip with the reason on a developer's machine that cannot run a cluster; fail in continuous integration."""
    try:
        check_machine()
    except CannotRun as refused:
        if os.environ.get("CI"):
            pytest.fail(f"not run: {refused}", pytrace=False)
        pytest.skip(f"not run: {refused}")
