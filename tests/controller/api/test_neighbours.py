"""What else there is in a cluster: quotas, limits, pod security, webhooks that change pods; and pods that are lost."""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from control_plane import ControlPlane
from ecg_api.failures import FailureCode
from ecg_api.pods import FailureReport, decode_report, encode_report
from fake_kubelet import FakeKubelet, Outcome, Pod, fail, slow_segments, succeed
from operators import SECONDS, Json, Site, condition, finished, in_phase, on_a_loop, render_job


def roles(kubelet: FakeKubelet, namespace: str) -> Counter[str]:
    return Counter(pod.role for pod in kubelet.started if pod.namespace == namespace)


@on_a_loop
async def test_a_result_whose_report_is_lost_is_made_again(
    plane: ControlPlane, kubelet: FakeKubelet, namespace: str
) -> None:
    failed = fail(FailureCode.RENDER_ERROR, "There is no plan.json among the job's work files.")
    report = decode_report(failed.message)
    assert isinstance(report, FailureReport)
    no_plan = replace(failed, message=encode_report(report.model_copy(update={"plan_again": True})))

    def script(pod: Pod) -> Outcome:
        if pod.role == "merge" and pod.attempt == 1:
            return Outcome(message="")  # it has done all, and its report is gone
        return no_plan if pod.role == "merge" and roles(kubelet, namespace)["plan"] < 2 else succeed(pod)

    kubelet.scripts[namespace] = script
    async with Site(plane.kubeconfig, namespace) as site, site.operator():
        await site.apply(render_job("clip"))
        job = await site.until("clip", finished)
        assert job["status"]["phase"] == "Succeeded", job["status"]

        async def told() -> bool:
            return {"JobRepeated", "PlannedAgain"} <= {event["reason"] for event in await site.events("clip")}

        await site.until_true(told)
    assert roles(kubelet, namespace)["plan"] == 2


def in_force(plane: ControlPlane, namespace: str, holds: Callable[[Json | None], bool]) -> None:
    """Wait until something holds for a pod as the API server would make it, None if it refuses: policies come late."""
    command = ("run", "probe", "--image=i", "--dry-run=server", "--output=json", f"--namespace={namespace}")
    deadline = time.monotonic() + SECONDS
    while True:
        said = plane.kubectl(*command, check=False)
        if ("forbidden" in said or said.startswith("{")) and holds(json.loads(said) if said.startswith("{") else None):
            return
        assert time.monotonic() < deadline, said
        time.sleep(0.1)


LIMITED = "kubernetes.io/limit-ranger"
"""What a LimitRange writes on a pod that has said nothing about memory."""
LIMITS = {"limits": [{"type": "Container", "max": {"memory": "1Mi"}}]}


@pytest.mark.parametrize(
    ("kind", "spec", "reason", "said"),
    [
        ("ResourceQuota", {"hard": {"pods": "0"}}, "QuotaExceeded", "exceeded quota: small, requested: pods=1"),
        ("LimitRange", LIMITS, "CreationRefused", "maximum memory usage per Container is 1Mi"),
    ],
)
@on_a_loop
async def test_what_a_neighbour_refuses_is_said_and_tried_again(
    plane: ControlPlane, kubelet: FakeKubelet, namespace: str, kind: str, spec: Json, reason: str, said: str
) -> None:
    meta = {"name": "small", "namespace": namespace}
    plane.kubectl(
        "apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": kind, "metadata": meta, "spec": spec})
    )
    in_force(plane, namespace, lambda pod: pod is None or LIMITED in pod["metadata"].get("annotations", {}))
    async with Site(plane.kubeconfig, namespace) as site, site.operator():
        await site.apply(render_job("clip"))
        # Where the event comes after the first question, it is asked for again half a minute later.
        job = await site.until("clip", lambda job: condition(job, "Scheduled").get("reason") == reason, 90)
        assert said in condition(job, "Scheduled")["message"]
        plane.kubectl("delete", kind, "small", f"--namespace={namespace}")
        # The Job controller tries again with growing pauses; the operator does nothing about it.
        job = await site.until("clip", finished, 90)
        assert job["status"]["phase"] == "Succeeded", job["status"]
    assert roles(kubelet, namespace) == {"plan": 1, "segments": 3, "merge": 1}


@contextmanager
def webhook(plane: ControlPlane, namespace: str) -> Iterator[None]:
    """Put a container and a label onto every pod and Job of a namespace, as meshes and policies do."""

    class Mutating(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked = review["request"]
            sidecar = {"name": "proxy", "image": "proxy", "resources": {}}
            pods = "/spec" if asked["kind"]["kind"] == "Pod" else "/spec/template/spec"
            patch: list[Json] = [{"op": "add", "path": "/metadata/labels/mesh", "value": "in"}]
            if all(one["name"] != "proxy" for one in _containers(asked["object"])):
                patch.append({"op": "add", "path": f"{pods}/containers/0", "value": sidecar})
            encoded = base64.b64encode(json.dumps(patch).encode()).decode()
            response = {"uid": asked["uid"], "allowed": True, "patchType": "JSONPatch", "patch": encoded}
            answer = json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Mutating)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # The API server's own certificate is for this machine, too.
    context.load_cert_chain(plane.ca_file, plane.ca_file.with_suffix(".key"))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, name="webhook", daemon=True).start()
    configuration = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": namespace},
        "webhooks": [
            {
                "name": "mesh.test.example",
                "clientConfig": {
                    "url": f"https://127.0.0.1:{server.server_port}/",
                    "caBundle": base64.b64encode(plane.ca_file.read_bytes()).decode(),
                },
                "rules": [
                    {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]},
                    {"apiGroups": ["batch"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["jobs"]},
                ],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
            }
        ],
    }
    plane.kubectl("apply", "-f", "-", stdin=json.dumps(configuration))
    try:
        in_force(plane, namespace, lambda pod: pod is not None and pod["metadata"]["labels"].get("mesh") == "in")
        yield
    finally:
        plane.kubectl("delete", "mutatingwebhookconfiguration", namespace)
        server.shutdown()
        server.server_close()


def _containers(obj: Json) -> list[Json]:
    spec = obj["spec"]
    return list((spec["template"]["spec"] if "template" in spec else spec)["containers"])


@on_a_loop
async def test_pods_that_a_webhook_changes_under_restricted_pod_security_are_left_as_they_are(
    plane: ControlPlane, kubelet: FakeKubelet, namespace: str
) -> None:
    kubelet.scripts[namespace] = slow_segments
    async with Site(plane.kubeconfig, namespace) as site, site.operator():
        plane.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
        in_force(plane, namespace, lambda pod: pod is None)
        await site.apply(render_job("plain"))
        job = await site.until("plain", finished)
        assert job["status"]["phase"] == "Succeeded", "our own pods keep the strictest of Kubernetes' rules"

        plane.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce-")
        in_force(plane, namespace, lambda pod: pod is not None)
        with webhook(plane, namespace):
            await site.apply(render_job("meshed"))
            await site.until("meshed", in_phase("Rendering"))
            seen = [*(await site.jobs()).values(), *await site.pods()]
            job = await site.until("meshed", finished)
            assert job["status"]["phase"] == "Succeeded", job["status"]
        meshed = [obj for obj in seen if obj["metadata"]["name"].startswith("meshed")]
        assert {obj["metadata"]["labels"].get("mesh") for obj in meshed} == {"in"}
        assert {tuple(one["name"] for one in _containers(obj)).count("proxy") for obj in meshed} == {1}
    assert roles(kubelet, namespace) == {"plan": 2, "segments": 6, "merge": 2}, "nothing was made twice"
