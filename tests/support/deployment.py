"""ECG Render in a test cluster: our images on the node, the operator by the chart, access to S3 by a Secret.

PYTHONPATH=tests/support python -m deployment      into the cluster that stays, with the example's files in S3
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3

import images
from cluster import KEPT, Cluster
from go_tools import tool

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "ecg-render"
VALUES = ROOT / "tests" / "cluster" / "values.yaml"
RELEASE = "ecg-render"
NAMESPACE = "render"
OPERATOR = f"{RELEASE}-operator"
SERVICE = f"{RELEASE}-service"
SECRET = "ecg-s3"
EXAMPLE_BUCKET = "videos"


def load_images(cluster: Cluster) -> None:
    """Build our images and give them to the node."""
    for name in images.NAMES:
        cluster.load(images.archive(name))


def install(kubeconfig: Path, work_uri: str, **values: Any) -> None:
    """Install the operator by the chart, or change its values; wait until it runs.

    `values` are the chart's top-level ones, over those of tests/cluster/values.yaml. Raises AssertionError with what
    helm says.
    """
    values["work"] = {"uri": work_uri}
    command = ("upgrade", "--install", RELEASE, str(CHART), "--create-namespace", "--values", str(VALUES))
    helm(kubeconfig, *command, "--wait", "--timeout", "180s", values=values)


def helm(kubeconfig: Path, *command: str, namespace: str = NAMESPACE, values: dict[str, Any] | None = None) -> str:
    """Run helm, with `values` besides those that the command names; AssertionError with what it says if it fails."""
    words = [str(tool("helm")), f"--kubeconfig={kubeconfig}", "--namespace", namespace, *command]
    given = ["--values", "-"] if values is not None else []
    done = subprocess.run([*words, *given], input=json.dumps(values), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def make_namespace(cluster: Cluster, name: str) -> None:
    """Make a namespace that lets only restricted pods in, with access to the cluster's S3 server."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(namespace))
    give_storage(cluster, name, cluster.s3.environment())


def give_storage(cluster: Cluster, namespace: str, environment: dict[str, str], name: str = SECRET) -> None:
    """Put the variables that lead to S3 into the Secret that pods in `namespace` read, or one of a storage profile."""
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "stringData": environment,
    }
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(secret))


def main() -> None:
    """Install into the cluster that stays."""
    if not (KEPT / "environment").exists():
        sys.exit("deployment: there is no cluster: make cluster-up")
    if "AWS_ENDPOINT_URL" not in os.environ:
        sys.exit("deployment: first run the export line that `make cluster-up` printed")
    cluster = Cluster(KEPT)
    sys.stderr.write("deployment: building images (minutes the first time), loading them\n")
    load_images(cluster)
    names = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    give_storage(cluster, "default", {name: os.environ[name] for name in names})
    s3 = boto3.client("s3", region_name="us-east-1")
    if EXAMPLE_BUCKET not in {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}:
        s3.create_bucket(Bucket=EXAMPLE_BUCKET)
    for file in (ROOT / "out" / "footage" / "bigbuckbunny.mp4", ROOT / "examples" / "scenario.json"):
        s3.upload_file(str(file), EXAMPLE_BUCKET, file.name)
    install(cluster.kubeconfig, f"s3://{EXAMPLE_BUCKET}/work")
    sys.stdout.write("ready: kubectl apply -f examples/renderjob-cluster.yaml && kubectl get renderjobs --watch\n")


if __name__ == "__main__":
    main()
