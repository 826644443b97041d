"""The RenderJob of an order. Pure."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from ecg_api.names import MANAGED_BY
from ecg_api.options import Options
from ecg_api.renderjob import API_VERSION, KIND
from ecg_cluster.client import Json
from ecg_shim.backends.cluster.names import JOB_ID, PAYLOAD, SERVICE, SUBMITTED, object_name
from ecg_shim.backends.cluster.settings import ClusterSettings
from ecg_shim.backends.cluster.tickets import Ticket


def render_job(ticket: Ticket, video_url: str, settings: ClusterSettings) -> Json:
    """Return the RenderJob for a ticket that waits; `video_url` is where the video is, as admission found it."""
    options = Options.model_validate(ticket.options)
    notes = {
        JOB_ID: ticket.job_id,
        SUBMITTED: ticket.submitted_at.isoformat(),
        PAYLOAD: ticket.payload_hash,
    }
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "name": object_name(ticket.job_id),
            "labels": {MANAGED_BY: SERVICE},
            "annotations": notes,
        },
        "spec": {
            "source": {"uri": video_url},
            "scenario": ticket.scenario,
            "options": ticket.options,
            "output": _output(ticket.job_id, options.format, settings),
            "callback": {"url": ticket.callback_url},
            "placement": {"gpus": 0 if options.encoder == "x264" else settings.gpus},
            "deadlines": {"activeSeconds": settings.active_seconds},
            "ttl": {"succeededSeconds": settings.ttl_seconds, "failedSeconds": settings.ttl_seconds},
        },
    }


def _output(job_id: str, suffix: str, settings: ClusterSettings) -> dict[str, Any]:
    folder = f"rendered/{quote(job_id, safe='')}"
    output: dict[str, Any] = {
        "uri": f"s3://{settings.bucket}/{folder}/output.{suffix}",
        "presignSeconds": settings.presign_seconds,
    }
    if settings.public_base_url:
        output["publicBaseUrl"] = f"{settings.public_base_url.rstrip('/')}/{quote(folder)}"
    return output
