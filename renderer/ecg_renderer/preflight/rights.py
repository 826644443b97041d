"""What operator and service must be allowed to do, each right of the chart's, and for what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

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
