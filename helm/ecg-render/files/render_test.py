"""`helm test`: renders two seconds of a test picture as any RenderJob, and says in one sentence what fails.

Runs in a pod of the renderer's image, in a namespace whose RenderJobs are rendered, with the access to storage that
renders have there. What it made is removed again.
"""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ecg_common.profiles import profiles
from ecg_common.s3 import connection

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
CLIP = Path("/tmp/clip.mp4")  # noqa: S108 (a path in the pod, on a volume of its own)
CUE = {"text": "helm test", "start": 0.2, "end": 1.8}
Json = dict[str, Any]


def main() -> None:
    """Render; end with 1 and the reason if that does not work."""
    namespace, name, seconds = os.environ["NAMESPACE"], os.environ["JOB_NAME"], float(os.environ["TIMEOUT_SECONDS"])
    address = urlsplit(os.environ["WORK_URI"])
    folder = f"{address.path.strip('/')}/helm-test/{name}".lstrip("/")
    jobs = f"/apis/render.ecg.dev/v1alpha1/namespaces/{namespace}/renderjobs"
    make_clip()
    s3 = connection(bucket=address.netloc).client
    s3.upload_file(str(CLIP), address.netloc, f"{folder}/in.mp4")
    say(f"a clip of 2 s is at s3://{address.netloc}/{folder}/in.mp4")
    remove(jobs, name)
    try:
        ask("POST", jobs, manifest(name, f"s3://{address.netloc}/{folder}"))
        status = wait(f"{jobs}/{name}", time.monotonic() + seconds)
        size = s3.head_object(Bucket=address.netloc, Key=f"{folder}/out.mp4")["ContentLength"]
        say(f"{status.get('summary') or 'rendered'}: {size} bytes")
    finally:
        remove(jobs, name)
        for file in ("in.mp4", "out.mp4"):
            s3.delete_object(Bucket=address.netloc, Key=f"{folder}/{file}")
        place = profiles().of_results(address.netloc)
        copy = profiles().get(place.replica) if place else None
        if copy:
            connection(profile=copy.name).client.delete_object(Bucket=copy.bucket, Key=f"{folder}/out.mp4")
    if os.environ.get("SERVICE_URL"):
        with urllib.request.urlopen(f"{os.environ['SERVICE_URL']}/readyz", timeout=10) as answer:  # noqa: S310 (ours)
            say(f"the service answers {answer.status}")


def make_clip() -> None:
    """Make two seconds of a test picture with a tone."""
    sources = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30:duration=2", "-f", "lavfi", "-i", "sine=duration=2"]
    command = ["ffmpeg", "-v", "error", "-y", *sources, "-pix_fmt", "yuv420p", "-shortest", str(CLIP)]
    subprocess.run(command, check=True)


def manifest(name: str, folder: str) -> Json:
    """Return the RenderJob."""
    return {
        "apiVersion": "render.ecg.dev/v1alpha1",
        "kind": "RenderJob",
        "metadata": {"name": name},
        "spec": {
            "source": {"uri": f"{folder}/in.mp4"},
            "scenario": {"inline": {"cues": [CUE]}},
            "output": {"uri": f"{folder}/out.mp4"},
            "placement": {"gpus": int(os.environ["GPUS"])},
            "reuse": False,  # each test renders anew, and nothing of it is kept
        },
    }


def wait(path: str, until: float) -> Json:
    """Return the status of the finished RenderJob; end the test if it fails or takes too long."""
    said = ""
    while True:
        status: Json = ask("GET", path).get("status") or {}
        conditions = {one["type"]: one for one in status.get("conditions", [])}
        phase = f"{status.get('phase', 'not looked at yet')} {status.get('reason', '')}".strip()
        if phase != said:
            say(said := phase)
        if conditions.get("Finished", {}).get("status") == "True":
            if status.get("phase") != "Succeeded":
                sys.exit(f"helm test: {phase}: {conditions['Finished'].get('message', '')}")
            return status
        if time.monotonic() > until:
            told = [f"{one['type']}: {one.get('message', '')}" for one in conditions.values()]
            sys.exit(f"helm test: not finished in time. {'; '.join(told) or 'No operator looks at this namespace.'}")
        time.sleep(1)


def remove(jobs: str, name: str) -> None:
    """Delete the RenderJob, and wait until it is gone."""
    for _ in range(60):
        if not ask("DELETE", f"{jobs}/{name}", missing_is_fine=True):
            return
        time.sleep(1)


def ask(verb: str, path: str, body: Json | None = None, *, missing_is_fine: bool = False) -> Json:
    """Ask the API server; return its answer, empty for what is not there."""
    token = (ACCOUNT / "token").read_text()
    request = urllib.request.Request(
        f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}{path}",
        method=verb,
        data=json.dumps(body).encode() if body else None,
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    trust = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    try:
        with urllib.request.urlopen(request, context=trust, timeout=30) as answer:  # noqa: S310 (https, as above)
            found: Json = json.load(answer)
            return found
    except urllib.error.HTTPError as refused:
        if refused.code == 404 and missing_is_fine:
            return {}
        sys.exit(f"helm test: {verb} {path}: {refused.code}: {json.load(refused).get('message', '')}")


def say(text: str) -> None:
    """Print a line at once."""
    print(f"helm test: {text}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
