"""What clients are told of a job's results."""

from __future__ import annotations

from typing import Any

from ecg_api.status import RenditionStatus


def told_output(output: RenditionStatus) -> dict[str, Any]:
    """Return what clients are told of one of a job's results."""
    told: dict[str, Any] = {"name": output.name, "content": output.content, "url": output.url}
    told |= {"size": output.size_bytes, "frames": output.frames, "sha256": output.sha256}
    if output.box:
        told["box"] = output.box.model_dump()
    if output.failure:
        told["failure"] = {"code": str(output.failure.code), "message": output.failure.message}
    return told
