"""The chart's own test in a real cluster: `helm test` renders two seconds in pods, from S3 and back."""

from __future__ import annotations

import subprocess

import deployment
from go_tools import tool
from studio import Studio


def test_helm_test_renders_and_leaves_nothing(studio: Studio) -> None:
    before = set(studio.bucket.keys)
    where = [f"--kubeconfig={studio.cluster.kubeconfig}", "--namespace", deployment.NAMESPACE]
    command = [str(tool("helm")), "test", deployment.RELEASE, *where, "--timeout", "150s"]
    done = subprocess.run(command, capture_output=True, text=True)

    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "bytes" in done.stdout + done.stderr
    assert set(studio.bucket.keys) == before
    assert f"{deployment.RELEASE}-test" not in studio.kubectl(
        "get", "renderjobs,configmaps,roles,pods", "--output=name"
    )
