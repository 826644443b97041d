"""A manifest that breaks no rule, here or on a cluster."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def manifest() -> dict[str, Any]:
    return {
        "apiVersion": "render.ecg.dev/v1alpha1",
        "kind": "RenderJob",
        "metadata": {"name": "demo"},
        "spec": {
            "source": {"uri": "s3://videos/in.mp4"},
            "scenario": {"uri": "s3://videos/scenario.json"},
            "output": {"uri": "s3://videos/out.mp4"},
        },
    }
