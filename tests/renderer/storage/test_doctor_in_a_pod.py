"""What `doctor --cluster` runs in its pod, run here as that pod would, against a real S3 server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from ecg_renderer.preflight import trial_pod
from s3 import Bucket


def test_work_files_and_every_bucket_for_results_are_tried_and_left_as_they_were(bucket: Bucket) -> None:
    results, absent = bucket.server.new_bucket(), "not-there"
    settings = {
        "WORK_URI": bucket.uri("work"),
        "RENDERER_IMAGE": "renderer:1",
        "ECG_STORAGE_PROFILES": json.dumps([{"name": "near", "bucket": results.name}]),
    }
    container = trial_pod(settings, [absent, results.name, ""])["spec"]["containers"][0]
    variables = {one["name"]: one["value"] for one in container["env"] if "value" in one}

    said = run(container["command"], variables)

    tried = {place.partition("/rendered/")[0].partition("/work/")[0]: why for place, why in said["storage"].items()}
    assert list(tried) == [f"s3://{bucket.name}", f"s3://{results.name}", f"s3://{absent}"]
    assert tried[f"s3://{bucket.name}"] == tried[f"s3://{results.name}"] == ""
    assert absent in tried[f"s3://{absent}"]
    assert bucket.keys == results.keys == set()
    assert [font["name"] for font in said["fonts"]] == ["Latin font", "CJK font", "Other scripts", "Emoji font"]
    assert "nvenc" not in said


def run(command: list[str], variables: dict[str, str]) -> Any:
    own = {**os.environ, **variables, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, *command[1:]], env=own, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
