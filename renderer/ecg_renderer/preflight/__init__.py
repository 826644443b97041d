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

from ecg_api.names import GPU_RESOURCE, MANAGED_BY, OPERATOR, ROLE_LABEL
from ecg_common.profiles import VARIABLE as STORAGE_PROFILES
from ecg_common.profiles import key_references, read_profiles
from ecg_renderer.errors import RenderError, ServiceUnreachable
from ecg_renderer.preflight.checks import (
    Facts,
    Json,
    Right,
    Trial,
    allocatable,
    examine_cluster,
    kind_of,
    operators_rights,
    services_rights,
    settings_of,
)

__all__ = ["Facts", "Trial", "examine_cluster", "look"]

SECONDS = 30
SECONDS_FOR_A_POD = 300
_LABEL = "app.kubernetes.io/name"

_TRIAL = """
import asyncio, dataclasses, json, sys
from ecg_renderer.doctor import fonts
from ecg_renderer.media.encoder import nvenc_problem
from ecg_renderer.storage import Work

async def problem(place, remove):
    sent = b"ecg-render doctor"
    try:
        work = Work(place)
        await work.put("doctor.txt", sent)
        found = await work.get("doctor.txt")
        await work.do(remove)
    except Exception as error:
        return str(error)
    return "" if found == sent else "what is read there is not what was written"

async def main():
    gpu, work_files, *results = sys.argv[1:]
    said = {"storage": {work_files: await problem(work_files, lambda store: store.clean())}}
    for place in results:  # which pods need not be able to list
        said["storage"][place] = await problem(place, lambda store: store.remove("doctor.txt"))
    said["fonts"] = [dataclasses.asdict(font) for font in fonts()]
    if gpu == "gpu":
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
    services = _list("deployments", "-A", "-l", f"{_LABEL}=ecg-service") or []
    settings = settings_of(operators[0]) if operators else {}
    first = settings.get("OPERATOR_NAMESPACES", "").partition(",")[0]
    place = namespace or first or (operators[0]["metadata"]["namespace"] if operators else "default")
    nodes = _list("nodes")
    buckets = [settings_of(service).get("S3_BUCKET", "") for service in services]
    trials = list(_trials(place, settings, buckets, nodes or [], say)) if with_pods and settings else []
    return Facts(
        server=f"Kubernetes {version}",
        crd=_found("crd", "renderjobs.render.ecg.dev"),
        operators=operators,
        rights=dict(_rights(operators, services, namespace)),
        may_create=_may("create renderjobs.render.ecg.dev", place) is True,
        nodes=nodes,
        callbacks=_callbacks(services) if with_pods else {},
        trials=trials,
    )


def _rights(
    operators: Sequence[Json], services: Sequence[Json], namespace: str | None
) -> Iterator[tuple[str, dict[Right, bool | None]]]:
    """Yield of each operator and service which of the rights that it needs it has; None: may not be asked."""
    for operator in operators:
        settings, own = settings_of(operator), operator["metadata"]["namespace"]
        names = settings.get("OPERATOR_NAMESPACES", "")
        # One that serves all namespaces lists all of them at once, whichever is looked at.
        served = (namespace or names.partition(",")[0]) if names else ""
        yield (
            _title("Operator's rights", operator, operators),
            _answers(operator, operators_rights(settings, own, served)),
        )
    for service in services:
        needed = services_rights(settings_of(service), service["metadata"]["namespace"])
        yield _title("Service's rights", service, services), _answers(service, needed)


def _title(words: str, one: Json, several: Sequence[Json]) -> str:
    return words if len(several) == 1 else f"{words}, {one['metadata']['namespace']}/{one['metadata']['name']}"


def _answers(deployment: Json, needed: Sequence[Right]) -> dict[Right, bool | None]:
    """Ask the API server itself, by one request for each right: what kubectl lists may be incomplete."""
    account = deployment["spec"]["template"]["spec"].get("serviceAccountName", "default")
    reviews = [right.review(deployment["metadata"]["namespace"], account) for right in needed]
    asked = json.dumps({"apiVersion": "v1", "kind": "List", "items": reviews})
    done = _kubectl("create", "-f", "-", "-o", r'jsonpath={.status.allowed}{"\n"}', stdin=asked)
    said = done.stdout.split()
    if done.returncode or len(said) != len(needed):
        return dict.fromkeys(needed)
    return {right: word == "true" for right, word in zip(needed, said, strict=True)}


def _may(what: str, namespace: str) -> bool | None:
    done = _kubectl("auth", "can-i", *what.split(), "-n", namespace)
    return {"yes": True, "no": False}.get((done.stdout.split() or [""])[-1])


def _callbacks(services: Sequence[Json]) -> dict[str, str]:
    found = {}
    for service in services:
        namespace, name = service["metadata"]["namespace"], service["metadata"]["name"]
        if settings_of(service).get("BACKEND_CALLBACK_URL"):
            done = _kubectl("exec", "-n", namespace, f"deploy/{name}", "--", "python3", "-c", _CALLBACK)
            found[f"{namespace}/{name}"] = (done.stdout or done.stderr if done.returncode else done.stdout).strip()
    return found


def _trials(
    namespace: str, settings: dict[str, str], buckets: Sequence[str], nodes: Sequence[Json], say: Callable[[str], None]
) -> Iterator[Trial]:
    """Try a pod anywhere, and one on a node of each kind with GPUs."""
    gpu = settings.get("GPU_RESOURCE") or GPU_RESOURCE
    yield _try("any node", namespace, trial_pod(settings, buckets), say)
    kinds = {kind_of(node): node for node in nodes if allocatable(node, gpu)}
    for kind, node in sorted(kinds.items()):
        yield _try(kind, namespace, trial_pod(settings, buckets, node["metadata"]["name"], gpu), say)


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


def trial_pod(settings: dict[str, str], buckets: Sequence[str], node: str = "", gpu: str = "") -> dict[str, Any]:
    """Return a pod as those that render: the same image, access, rights, NetworkPolicies; on `node` if one is named.

    Args:
        settings: the operator's.
        buckets: for results, besides those of the storage profiles; empty names are none.
        node: by name.
        gpu: resource of which it gets one; empty: none.
    """
    name = f"ecg-doctor-{secrets.token_hex(4)}"
    user = int(settings.get("RUN_AS_USER") or 10001)
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True, "runAsUser": user, "runAsGroup": user, "fsGroup": user,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_trial_container(settings, buckets, gpu, name)],
        "volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": "1Gi"}}],
    }  # fmt: skip
    if settings.get("WORKER_SERVICE_ACCOUNT"):
        spec["serviceAccountName"] = settings["WORKER_SERVICE_ACCOUNT"]
    if settings.get("IMAGE_PULL_SECRETS"):
        spec["imagePullSecrets"] = [{"name": one} for one in settings["IMAGE_PULL_SECRETS"].split(",")]
    if node:
        spec["nodeSelector"] = {"kubernetes.io/hostname": node}
        taints = dict.fromkeys((GPU_RESOURCE, gpu))
        spec["tolerations"] = [{"key": key, "operator": "Exists", "effect": "NoSchedule"} for key in taints]
    # By these labels NetworkPolicies know pods that render. The operator takes it for none of a job's.
    labels = {MANAGED_BY: OPERATOR, ROLE_LABEL: "doctor"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}


def _trial_container(settings: dict[str, str], buckets: Sequence[str], gpu: str, name: str) -> dict[str, Any]:
    storage = read_profiles(settings.get(STORAGE_PROFILES, ""))
    results = dict.fromkeys(filter(None, [*(profile.bucket for profile in storage.root), *buckets]))
    places = [f"{settings['WORK_URI']}/{name}", *(f"s3://{bucket}/rendered/{name}" for bucket in results)]
    security = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    container: dict[str, Any] = {
        "name": "doctor",
        "image": settings["RENDERER_IMAGE"],
        "imagePullPolicy": settings.get("IMAGE_PULL_POLICY") or "IfNotPresent",
        "command": ["python3", "-c", _TRIAL, "gpu" if gpu else "none", *places],
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
    return container


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
