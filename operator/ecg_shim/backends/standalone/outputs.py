"""Where finished videos go, and under which address clients fetch them."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from ecg_api.status import RenditionStatus
from ecg_shim.backends.standalone.settings import S3Target, StandaloneSettings
from ecg_shim.backends.standalone.workspace import Workspace
from ecg_shim.backends.storage import Presigner, SignedOutput, signed_result, where
from ecg_shim.model import Output, below, download_path, told_under


class Outputs(Protocol):
    """One place for finished videos. `target` and `finished` may take a moment: call them in a thread."""

    def target(self, job_id: str, suffix: str, storage: str = "") -> str:
        """Return what the renderer writes to: a path or an s3:// address, in a storage profile if one is named."""

    def finished(self, job_id: str, location: str, size_bytes: int, seconds: float) -> Output | None:
        """Return the video that a renderer wrote to `location`; None if it is not there. Raises OSError."""

    def listed(self, job_id: str, result: RenditionStatus) -> RenditionStatus:
        """Return one of a job's results with the address under which clients fetch it. Raises OSError."""

    async def handed_out(self, result: RenditionStatus) -> Output:
        """Return a result with an address that works from now on."""

    async def signed_anew(self, output: Output) -> Output:
        """Return a video with an address that works from now on; as it is if its address does not expire."""


def outputs_of(settings: StandaloneSettings, workspace: Workspace) -> Outputs:
    """Return where the settings want finished videos."""
    if settings.s3:
        return BucketOutputs(settings.s3)
    return FolderOutputs(workspace, settings.public_url)


class FolderOutputs:
    """Videos in the service's own folder; the service hands them out."""

    def __init__(self, workspace: Workspace, public_url: str) -> None:
        self._workspace = workspace
        self._public_url = public_url

    def target(self, job_id: str, suffix: str, storage: str = "") -> str:
        """Return the path of the video."""
        return str(self._workspace.outputs(job_id) / f"output.{suffix}")

    def finished(self, job_id: str, location: str, size_bytes: int, seconds: float) -> Output | None:
        """Return the video with the address of the service's download page; None if the file is not there."""
        path = Path(location)
        if not path.is_file():
            return None
        return Output(below(self._public_url, download_path(job_id)), size_bytes, seconds, path)

    def listed(self, job_id: str, result: RenditionStatus) -> RenditionStatus:
        """Return a result with its address on the service's download page."""
        return told_under(self._public_url, job_id, result)

    async def handed_out(self, result: RenditionStatus) -> Output:
        """Return a result as the file that it is."""
        return Output(result.url or "", result.size_bytes, 0.0, Path(result.uri))

    async def signed_anew(self, output: Output) -> Output:
        """Return the video as it is."""
        return output


class BucketOutputs:
    """Videos in a bucket; clients fetch them there."""

    def __init__(self, target: S3Target) -> None:
        self._target = target
        self._presigner = Presigner(target.bucket, target.presign_seconds)

    def target(self, job_id: str, suffix: str, storage: str = "") -> str:
        """Return the s3:// address of the video."""
        return where(job_id, suffix, self._target.bucket, storage)

    def finished(self, job_id: str, location: str, size_bytes: int, seconds: float) -> Output | None:
        """Return the video with an address that lasts, else a presigned one. Raises OSError if none can be signed."""
        if published := self._published(location):
            return Output(published, size_bytes, seconds)
        output = SignedOutput(self._presigner.signed(location), size_bytes, seconds, uri=location)
        return output.told_as(self._target.public_url, job_id)

    async def signed_anew(self, output: Output) -> Output:
        """Return the video with an address that works from now on; as it is if its address does not expire."""
        return await self._presigner.renewed(output)

    def listed(self, job_id: str, result: RenditionStatus) -> RenditionStatus:
        """Return a result with an address that lasts, else a presigned one. Raises OSError if none can be signed."""
        if result.failure:
            return result
        if published := self._published(result.uri):
            return result.model_copy(update={"url": published})
        if self._target.public_url:
            return told_under(self._target.public_url, job_id, result)
        return result.model_copy(update={"url": self._presigner.signed(result.uri)})

    async def handed_out(self, result: RenditionStatus) -> Output:
        """Return a result with an address that works from now on."""
        return await self._presigner.renewed(signed_result(result))

    def _published(self, uri: str) -> str:
        base, root = self._target.public_base_url, f"s3://{self._target.bucket}/"
        return f"{base.rstrip('/')}/{quote(uri.removeprefix(root))}" if base and uri.startswith(root) else ""
