"""What else than its video a request asks for, and what clients are told of it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from ecg_api.options import Options
from ecg_api.renditions import MOST_RENDITIONS, Rendition
from ecg_api.status import RenditionStatus


class RequestOptions(Options):
    """The options of a request: those of a job, and what else to make of it, as files beside its video."""

    renditions: Annotated[list[Rendition], Field(max_length=MOST_RENDITIONS)] = Field(default_factory=list)

    def manifest(self, output: str) -> dict[str, Any]:
        """Return the parts of a RenderJob's spec that the options make, with its results beside `output`."""
        folder = output.rpartition("/")[0]
        spec: dict[str, Any] = {
            "options": self.model_dump(mode="json", exclude_none=True, exclude={"renditions"}),
            "output": {"uri": output},
        }
        placed = [rendition.model_copy(update={"uri": f"{folder}/{rendition.uri}"}) for rendition in self.renditions]
        if placed:
            spec["renditions"] = [rendition.model_dump(mode="json", exclude_none=True) for rendition in placed]
        return spec


def told_output(output: RenditionStatus) -> dict[str, Any]:
    """Return what clients are told of one of a job's results."""
    told: dict[str, Any] = {"name": output.name, "content": output.content, "url": output.url}
    told |= {"size": output.size_bytes, "frames": output.frames, "sha256": output.sha256}
    if output.box:
        told["box"] = output.box.model_dump()
    if output.failure:
        told["failure"] = {"code": str(output.failure.code), "message": output.failure.message}
    return told
