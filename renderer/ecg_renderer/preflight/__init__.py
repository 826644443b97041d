"""What `ecg-render doctor --cluster` looks at, and how it judges: `look` here, by kubectl; `checks`, pure.

kubectl has the reader's own credentials. Pods are tried in the cluster, and each is removed again.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ecg_common.profiles import VARIABLE as STORAGE_PROFILES
from ecg_common.profiles import key_references, read_profiles
from ecg_renderer.errors import RenderError, ServiceUnreachable
from ecg_renderer.preflight.checks import RIGHTS, Facts, Json, Trial, examine_cluster, kind_of, settings_of

__all__ = ["Facts", "Trial", "examine_cluster", "look"]

SECONDS = 30
SECONDS_FOR_A_POD = 300
_LABEL = "app.kubernetes.io/name"

_TRIAL = """
import asyncio, json, sys
from ecg_renderer.media.encoder import nvenc_problem
from ecg_renderer.storage import Work

async def storage():
    work, sent = Work(sys.argv[1]), b"ecg-render doctor"
    try:
        await work.put("doctor.txt", sent)
        found = await work.get("doctor.txt")
        await work.do(lambda store: store.clean())
    except Exception as error:
        return str(error)
    return "" if found == sent else "what is read there is not what was written"

async def main():
    said = {"storage": await storage()}
    if sys.argv[2] == "gpu":
        said["nvenc"] = await nvenc_problem()
    print(json.dumps(said))

asyncio.run(main())
"""
_CALLBACK = """
import os, urllib.error, urllib.request
url = os.environ.get("BACKEND_CALLBACK_URL", "")
try:
    url and urllib.request.urlopen(url, timeout=10)
except urllib.error.HTTPError:
    pass
except Exception as error:
    print(f"{url} is not reached: {error}")
"""


def look(namespace: str | None, *, with_pods: bool, say: Callable[[str], None]) -> Facts:
    """Look at the cluster of the current context.

    `namespace`: of RenderJobs; None for the operator's first. `say` hears what takes long. Raises RenderError without
    kubectl or an API server.
    """
    version = _json("version")["serverVersion"]["gitVersion"]
    operators = _list("deployments", "-A", "-l", f"{_LABEL}=ecg-operator") or []
    settings = settings_of(operators[0]) if operators else {}
    first = settings.get("OPERATOR_NAMESPACES", "").partition(",")[0]
    place = namespace or first or (operators[0]["metadata"]["namespace"] if operators else "default")
    nodes = _list("nodes")
    trials = list(_trials(place, settings, nodes or [], say)) if with_pods and settings else []
    return Facts(
        server=f"Kubernetes {version}",
        crd=_found("crd", "renderjobs.render.ecg.dev"),
        operators=operators,
        rights=_rights(operators[0], place) if operators else {},
        may_create=_may("create renderjobs.render.ecg.dev", place) is True,
        nodes=nodes,
        callbacks=_callbacks() if with_pods else {},
        trials=trials,
    )


def _rights(operator: Json, namespace: str) -> dict[str, bool | None]:
    account = operator["spec"]["template"]["spec"].get("serviceAccountName", "default")
    who = f"--as=system:serviceaccount:{operator['metadata']['namespace']}:{account}"
    return {what: _may(what, namespace, who) for what in RIGHTS}


def _may(what: str, namespace: str, *who: str) -> bool | None:
    done = _kubectl("auth", "can-i", *what.split(), "-n", namespace, *who)
    return {"yes": True, "no": False}.get((done.stdout.split() or [""])[-1])


def _callbacks() -> dict[str, str]:
    found = {}
    for service in _list("deployments", "-A", "-l", f"{_LABEL}=ecg-service") or []:
        namespace, name = service["metadata"]["namespace"], service["metadata"]["name"]
        if settings_of(service).get("BACKEND_CALLBACK_URL"):
            done = _kubectl("exec", "-n", namespace, f"deploy/{name}", "--", "python3", "-c", _CALLBACK)
            found[f"{namespace}/{name}"] = (done.stdout or done.stderr if done.returncode else done.stdout).strip()
    return found


def _trials(
    namespace: str, settings: dict[str, str], nodes: Sequence[Json], say: Callable[[str], None]
) -> Iterator[Trial]:
    """Try a pod anywhere, and one on a node of each kind with GPUs."""
    gpu = settings.get("GPU_RESOURCE") or "nvidia.com/gpu"
    yield _try("any node", namespace, _pod(settings, None, ""), say)
    kinds = {kind_of(node): node for node in nodes if int((node["status"].get("allocatable") or {}).get(gpu, 0))}
    for kind, node in sorted(kinds.items()):
        yield _try(kind, namespace, _pod(settings, node["metadata"]["name"], gpu), say)


def _try(where: str, namespace: str, pod: Json, say: Callable[[str], None]) -> Trial:
    say(f"A pod with the renderer's image is tried on {where}; that may take minutes where the image is not there yet.")
    name = pod["metadata"]["name"]
    with _created(namespace, pod) as problem:
        if problem:
            return Trial(where, problem=problem)
        ended = _ended(namespace, name)
        said = _kubectl("logs", "-n", namespace, name).stdout.strip().splitlines()
        try:
            return Trial(where, **json.loads(said[-1]))
        except (IndexError, TypeError, ValueError):
            return Trial(where, problem=f"{ended}; {said[-1] if said else 'it wrote nothing'}")


@contextmanager
def _created(namespace: str, pod: Json) -> Iterator[str]:
    done = _kubectl("create", "-n", namespace, "-f", "-", stdin=json.dumps(pod))
    try:
        yield done.stderr.strip() if done.returncode else ""
    finally:
        _kubectl("delete", "pod", "-n", namespace, pod["metadata"]["name"], "--ignore-not-found", "--wait=false")


def _ended(namespace: str, name: str) -> str:
    """Wait for the end of a pod; return how it stands then."""
    until = time.monotonic() + SECONDS_FOR_A_POD
    while True:
        status = (_found("pod", name, "-n", namespace) or {}).get("status", {})
        if status.get("phase") in ("Succeeded", "Failed"):
            return f"it has {status['phase'].lower()}"
        if time.monotonic() > until:
            waits = [c["message"] for c in status.get("conditions") or () if c["status"] == "False" and "message" in c]
            return f"it has not ended within {SECONDS_FOR_A_POD} s: {'; '.join(waits) or status.get('phase', 'gone')}"
        time.sleep(2)


def _pod(settings: dict[str, str], node: str | None, gpu: str) -> dict[str, Any]:
    """Return a pod as those that render: the same image, access, rights; on `node` with a GPU if one is named."""
    name = f"ecg-doctor-{secrets.token_hex(4)}"
    work = f"{settings['WORK_URI']}/{name}"
    storage = read_profiles(settings.get(STORAGE_PROFILES, ""))
    security = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    container: dict[str, Any] = {
        "name": "doctor",
        "image": settings["RENDERER_IMAGE"],
        "imagePullPolicy": settings.get("IMAGE_PULL_POLICY") or "IfNotPresent",
        "command": ["python3", "-c", _TRIAL, work, "gpu" if gpu else "none"],
        "env": [{"name": key, "value": value} for key, value in _worker_env(settings).items()]
        + key_references(storage),
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
        "securityContext": security,
        "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}],  # noqa: S108 - in the pod
    }
    if gpu:
        container["resources"]["limits"][gpu] = "1"
    if settings.get("WORKER_SECRET"):
        container["envFrom"] = [{"secretRef": {"name": settings["WORKER_SECRET"]}}]
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True, "runAsUser": 10001, "runAsGroup": 10001, "fsGroup": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": "1Gi"}}],
    }  # fmt: skip
    if settings.get("WORKER_SERVICE_ACCOUNT"):
        spec["serviceAccountName"] = settings["WORKER_SERVICE_ACCOUNT"]
    if settings.get("IMAGE_PULL_SECRETS"):
        spec["imagePullSecrets"] = [{"name": one} for one in settings["IMAGE_PULL_SECRETS"].split(",")]
    if node:
        spec["nodeSelector"] = {"kubernetes.io/hostname": node}
        taints = dict.fromkeys(("nvidia.com/gpu", gpu))
        spec["tolerations"] = [{"key": key, "operator": "Exists", "effect": "NoSchedule"} for key in taints]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def _worker_env(settings: dict[str, str]) -> dict[str, str]:
    text = settings.get("WORKER_ENV", "")
    given = (
        json.loads(text) if text.startswith("{") else dict(one.partition("=")[::2] for one in text.split(",") if one)
    )
    storage = settings.get(STORAGE_PROFILES, "")
    own = {"HOME": "/tmp", "TMPDIR": "/tmp", "NVIDIA_DRIVER_CAPABILITIES": "compute,video,utility"}  # noqa: S108
    return {**given, **({STORAGE_PROFILES: storage} if storage else {}), **own}


def _list(kind: str, *more: str) -> list[Json] | None:
    """Return objects; None if they may not be listed."""
    done = _kubectl("get", kind, *more, "-o", "json")
    return None if done.returncode else list(json.loads(done.stdout)["items"])


def _found(kind: str, name: str, *more: str) -> Json | None:
    done = _kubectl("get", kind, name, *more, "--ignore-not-found", "-o", "json")
    return json.loads(done.stdout) if not done.returncode and done.stdout.strip() else None


def _json(*words: str) -> Any:
    done = _kubectl(*words, "-o", "json")
    if done.returncode:
        hint = "kubectl config current-context says which cluster is asked; KUBECONFIG names another file."
        raise ServiceUnreachable(f"The cluster does not answer: {done.stderr.strip()}", hint=hint)
    return json.loads(done.stdout)


def _kubectl(*words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    command = ["kubectl", f"--request-timeout={SECONDS}s", *words]
    try:
        return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=2 * SECONDS)
    except FileNotFoundError:
        raise RenderError("There is no kubectl, by which clusters are asked.", hint="Install kubectl.") from None
    except subprocess.TimeoutExpired:
        raise ServiceUnreachable(f"kubectl {words[0]} has not ended within {2 * SECONDS} s.") from None
