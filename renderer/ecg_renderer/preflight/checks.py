"""What a cluster must have, and whether it has it: pure functions from what the API server and trial pods said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ecg_api.crd import custom_resource_definition
from ecg_api.names import GPU_RESOURCE
from ecg_renderer.doctor import Check, Examination, State

RENDER_JOBS, STATUS = "renderjobs.render.ecg.dev", "renderjobs.render.ecg.dev/status"
LEASES, NODES = "leases.coordination.k8s.io", "nodes"
RELAY_LEASE = "ecg-relay"


@dataclass(frozen=True)
class Right:
    """One verb on one kind of object.

    Attributes:
        resource: `plural.group`, or `plural.group/subresource`; without a group of the core.
        reason: what is not done without it, as the end of "to ...".
        name: of the only object that is meant; empty for all.
        namespace: where; empty for the whole cluster.
    """

    verb: str
    resource: str
    reason: str
    name: str = ""
    namespace: str = ""

    def __str__(self) -> str:
        """Return it as it is said: `get leases.coordination.k8s.io ecg-operator`."""
        return " ".join(filter(None, (self.verb, self.resource, self.name)))

    def review(self, namespace: str, account: str) -> dict[str, Any]:
        """Return the SubjectAccessReview that asks whether the ServiceAccount of a namespace has this right."""
        kind, _, subresource = self.resource.partition("/")
        resource, _, group = kind.partition(".")
        attributes = {
            "namespace": self.namespace, "verb": self.verb, "group": group, "resource": resource,
            "subresource": subresource, "name": self.name,
        }  # fmt: skip
        spec = {
            "user": f"system:serviceaccount:{namespace}:{account}",
            "groups": ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"],
            "resourceAttributes": attributes,
        }
        return {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}


def operators_rights(settings: Mapping[str, str], own: str, served: str) -> list[Right]:
    """Return what an operator needs, by its settings.

    Args:
        settings: its variables.
        own: the namespace that it runs in.
        served: that of the RenderJobs; empty if it serves all.
    """
    where = settings.get("LEASE_NAMESPACE") or own
    lease = settings.get("LEASE_NAME") or "ecg-operator"
    needed = [
        *_each("get list watch delete", RENDER_JOBS, "find and remove jobs", namespace=served),
        *_each("patch", STATUS, "say how far a job is", namespace=served),
        *_each("get list watch create patch delete deletecollection", "jobs.batch", "run pods", namespace=served),
        *_each("get list watch deletecollection", "pods", "follow and stop pods", namespace=served),
        *_each("get", "configmaps", "check scenarios", namespace=served),
        *_each("get list create patch", "events", "say what happened", namespace=served),
        *_each("create", LEASES, "lead", namespace=where),
        *_each("get update delete", LEASES, "lead", lease, where),
    ]
    if warm := settings.get("WARM_DEPLOYMENT"):
        needed += _each("get patch", "deployments.apps", "keep places warm", warm, where)
    if settings.get("PRICES"):
        needed += _each("get", NODES, "tell what jobs cost")
    return needed


def services_rights(settings: Mapping[str, str], own: str) -> list[Right]:
    """Return what a service needs, by its settings, that runs in the namespace `own`."""
    jobs = settings.get("ECG_NAMESPACE") or own
    namespace, _, lease = (settings.get("ECG_OPERATOR_LEASE") or "ecg-operator").rpartition("/")
    return [
        *_each("get list watch create patch delete", RENDER_JOBS, "make jobs", namespace=jobs),
        *_each("patch", STATUS, "say that a callback was told", namespace=jobs),
        *_each("get list watch create update patch delete", "configmaps", "keep what it was asked", namespace=jobs),
        *_each("create", LEASES, "tell callbacks", namespace=jobs),
        *_each("get update delete", LEASES, "tell callbacks", RELAY_LEASE, jobs),
        *_each("get", LEASES, "see whether an operator is there", lease, namespace or own),
    ]


def _each(verbs: str, resource: str, reason: str, name: str = "", namespace: str = "") -> Iterator[Right]:
    return (Right(verb, resource, reason, name, namespace) for verb in verbs.split())


# --- what was found, judged -----------------------------------------------------------------------


Json = Mapping[str, Any]

_INSTANCE_TYPE = "node.kubernetes.io/instance-type"
_FEW_CPUS = 8
_UNITS = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "m": 1e-3}
_INSTALL = "helm upgrade --install ecg-render helm/ecg-render ... (helm/ecg-render/README.md)"


@dataclass(frozen=True)
class Trial:
    """What a pod with the renderer's image said.

    Attributes:
        storage: of each place, why nothing could be written, read and removed there; empty if it could.
        fonts: what `doctor.fonts` found in the image.
        nvenc: why a test encode on the GPU failed; None if the pod had no GPU.
        problem: why the pod said nothing.
    """

    where: str
    storage: Mapping[str, str] = field(default_factory=dict)
    fonts: Sequence[Json] = ()
    nvenc: str | None = None
    problem: str = ""


@dataclass(frozen=True)
class Facts:
    """What was found.

    Attributes:
        crd: None if there is none.
        operators: their Deployments.
        rights: of operators and services, which of what they need they have; None where that may not be asked.
        nodes: None if they may not be listed.
        callbacks: of each service, why its callback address is not reached; empty if it is.
        trials: empty if no pods were tried.
    """

    server: str
    crd: Json | None
    operators: Sequence[Json]
    rights: Mapping[str, Mapping[Right, bool | None]] = field(default_factory=dict)
    may_create: bool = True
    nodes: Sequence[Json] | None = None
    callbacks: Mapping[str, str] = field(default_factory=dict)
    trials: Sequence[Trial] = ()


def settings_of(deployment: Json) -> dict[str, str]:
    """Return the environment variables of an operator's or a service's Deployment that have plain values."""
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    return {one["name"]: one.get("value", "") for one in container.get("env") or ()}


def examine_cluster(facts: Facts) -> Examination:
    """Return what was found in the cluster, and what to do about it."""
    server = Check("API server", State.OK, facts.server, "Everything is asked of it.")
    operator = settings_of(facts.operators[0]) if facts.operators else {}
    return Examination([
        server, _crd(facts.crd), _operator(facts.operators), *_rights(facts), *_nodes(facts.nodes, operator),
        *_callbacks(facts.callbacks), *_trials(facts.trials),
    ])  # fmt: skip


def _crd(found: Json | None) -> Check:
    meaning = "The kind RenderJob, and what the API server lets into one."
    fix = "kubectl apply --server-side --force-conflicts -f crds/renderjob.yaml, or helm upgrade with this chart."
    if found is None:
        return Check("CRD", State.MISSING, "there is none", meaning, fix)
    true = {c["type"] for c in (found.get("status") or {}).get("conditions") or () if c["status"] == "True"}
    if "Established" not in true:
        return Check("CRD", State.MISSING, "is there, but the API server does not serve it", meaning, fix)
    ours = {one["name"]: one["schema"] for one in custom_resource_definition()["spec"]["versions"]}
    theirs = {one["name"]: one["schema"] for one in found["spec"]["versions"]}
    versions = ", ".join(theirs)
    if not ours.keys() <= theirs.keys():
        wanted = ", ".join(ours)
        return Check("CRD", State.MISSING, f"has {versions}, and this ecg-render wants {wanted}", meaning, fix)
    if any(theirs[name] != schema for name, schema in ours.items()):
        return Check("CRD", State.NOTE, f"{versions}, but not that of this ecg-render: another release's", meaning, fix)
    return Check("CRD", State.OK, f"{versions}, that of this ecg-render", meaning)


def _operator(found: Sequence[Json]) -> Check:
    meaning = "Makes pods of RenderJobs; without it they stay as they are."
    if not found:
        return Check("Operator", State.MISSING, "there is none", meaning, _INSTALL)
    said, state = [], State.OK
    for one in found:
        meta, status, wanted = one["metadata"], one.get("status") or {}, one["spec"].get("replicas", 1)
        ready = status.get("readyReplicas", 0)
        state = max(state, State.OK if ready else State.MISSING, key=_gravity)
        version = (meta.get("labels") or {}).get("app.kubernetes.io/version", "unknown")
        said.append(f"{meta['namespace']}/{meta['name']}: version {version}, {ready} of {wanted} ready")
    namespace, name = found[0]["metadata"]["namespace"], found[0]["metadata"]["name"]
    fix = "" if state is State.OK else f"kubectl -n {namespace} logs deploy/{name} says what is wrong."
    return Check("Operator", state, "; ".join(said), meaning, fix)


def _gravity(state: State) -> int:
    return (State.OK, State.NOTE, State.MISSING).index(state)


def _rights(facts: Facts) -> Iterator[Check]:
    for title, rights in facts.rights.items():
        yield _rights_of(title, rights)
    yours = "What you may do yourself."
    if facts.may_create:
        yield Check("Your rights", State.OK, "you may create RenderJobs", yours)
    else:
        fix = "Have the role edit of the namespace bound to you; the chart adds RenderJobs to it (rbac.aggregateRoles)."
        yield Check("Your rights", State.NOTE, "you may not create RenderJobs", yours, fix)


def _rights_of(title: str, rights: Mapping[Right, bool | None]) -> Check:
    meaning = "What it needs of the API server, where it needs it."
    refused = [f"{right} (to {right.reason}){_where(right)}" for right, may in rights.items() if may is False]
    if refused:
        fix = f"Name the namespace in the chart's `namespaces`, or have its roles made anew: {_INSTALL}."
        return Check(title, State.MISSING, f"it may not {', '.join(refused)}", meaning, fix)
    if None in rights.values():
        fix = "Ask somebody who may create SubjectAccessReviews."
        return Check(title, State.NOTE, "you may not ask for another's rights", meaning, fix)
    return Check(title, State.OK, f"it has all {len(rights)}", meaning)


def _where(right: Right) -> str:
    return f" in {right.namespace}" if right.namespace else ""


def _nodes(nodes: Sequence[Json] | None, settings: Mapping[str, str]) -> Iterator[Check]:
    meaning = "Where segments run; each has to fit on one."
    if nodes is None:
        yield Check("Nodes", State.NOTE, "you may not list them", meaning, "Ask somebody who may.")
        return
    gpu = settings.get("GPU_RESOURCE") or GPU_RESOURCE
    cpu, memory = settings.get("SEGMENT_CPU") or "2", settings.get("SEGMENT_MEMORY") or "3Gi"
    least = {"cpu": amount(cpu), "memory": amount(memory)}
    fitting = [node for node in nodes if all(allocatable(node, name) >= size for name, size in least.items())]
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(Counter(map(kind_of, nodes)).items()))
    found = f"{len(fitting)} of {len(nodes)} have room for a segment ({cpu} CPU, {memory}): {kinds or 'none is there'}"
    fix = "Larger nodes, or resources.segment of the chart; nodes that are yet to be started do not show here."
    yield Check("Nodes", State.OK if fitting else State.NOTE, found, meaning, "" if fitting else fix)
    with_gpu = [node for node in nodes if allocatable(node, gpu)]
    meaning = f"Nodes that offer {gpu}, by NVIDIA's device plugin; without, only jobs with placement.gpus: 0 run."
    if not with_gpu:
        fix = "Install the device plugin or the GPU operator (docs/eks.md); pools at zero nodes do not show here."
        yield Check("GPUs", State.NOTE, f"no node offers {gpu} now", meaning, fix)
        return
    total = sum(int(allocatable(node, gpu)) for node in with_gpu)
    small = sorted({kind_of(node) for node in with_gpu if allocatable(node, "cpu") < _FEW_CPUS - 1})
    if small:
        fix = f"Take nodes with at least {_FEW_CPUS} CPUs for each GPU: captions are drawn by CPUs."
        found = f"{total} {gpu}, but {', '.join(small)} have few CPUs"
        yield Check("GPUs", State.NOTE, found, meaning, fix)
    else:
        yield Check("GPUs", State.OK, f"{total} {gpu} on {len(with_gpu)} nodes", meaning)


def _callbacks(callbacks: Mapping[str, str]) -> Iterator[Check]:
    meaning = "Where the service tells how jobs went; tried from its own pod."
    for service, problem in callbacks.items():
        fix = "Check service.callbackUrl, and networkPolicy.service.egress where network policies are enforced."
        state, found = (State.NOTE, problem) if problem else (State.OK, "it answers")
        yield Check("Callbacks", state, f"{service}: {found}", meaning, fix if problem else "")


def _trials(trials: Sequence[Trial]) -> Iterator[Check]:
    # All have the same image.
    for font in next((trial.fonts for trial in trials if trial.fonts), ()):
        fix = "Take the renderer's image as Dockerfile.renderer makes it, or add the package to yours: "
        yield Check(**{**font, "state": State(font["state"]), "fix": fix + font["fix"] if font["fix"] else ""})
    for trial in trials:
        if trial.problem:
            fix = "kubectl describe of a RenderJob's pod says more; docs/troubleshooting.md."
            meaning = "A pod with the renderer's image, as segments have it."
            yield Check(f"Pod on {trial.where}", State.MISSING, trial.problem, meaning, fix)
            continue
        meaning = "Tried from a pod as those that render: work files, and the buckets for results."
        fix = "Give the pods access: worker.secret, a profile's, or a role for worker.serviceAccount (docs/eks.md)."
        bad = [f"{place}: {problem}" for place, problem in trial.storage.items() if problem]
        found = "; ".join(bad) or f"written, read and removed: {', '.join(trial.storage)}"
        state = State.MISSING if bad else State.OK
        yield Check(f"Storage from {trial.where}", state, found, meaning, fix if bad else "")
        if trial.nvenc is not None:
            fix = "Take nodes whose GPU has NVENC, and whose driver is new enough; segments use x264 until then."
            state, found = (State.NOTE, trial.nvenc) if trial.nvenc else (State.OK, "a test encode worked")
            yield Check(f"NVENC on {trial.where}", state, found, "Encodes on the GPU.", fix if trial.nvenc else "")


def kind_of(node: Json) -> str:
    """Return the instance type of a node, or its name where it has none."""
    meta = node["metadata"]
    return str((meta.get("labels") or {}).get(_INSTANCE_TYPE) or meta["name"])


def allocatable(node: Json, resource: str) -> float:
    """Return how much of a resource a node offers to pods."""
    return amount(((node.get("status") or {}).get("allocatable") or {}).get(resource, "0"))


def amount(quantity: str) -> float:
    """Return a Kubernetes quantity as a number."""
    digits = str(quantity).rstrip("kMGTim")
    return float(digits) * _UNITS[str(quantity)[len(digits) :]]
