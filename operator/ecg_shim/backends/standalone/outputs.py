"""Where finished videos go, and under which address clients fetch them."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

from ecg_shim.backends.standalone.settings import S3Target, StandaloneSettings
from ecg_shim.backends.standalone.workspace import Workspace
from ecg_shim.model import Output


class Outputs(Protocol):
    """One place for finished videos. Both calls may take a moment: call them in a thread."""

    def target(self, job_id: str, suffix: str) -> str:
        """Return what the renderer writes to: a path or an s3:// address."""

    def finished(self, job_id: str, location: str, size_bytes: int, seconds: float) -> Output | None:
        """Return the video that a renderer wrote to `location`; None if it is not there. Raises OSError."""


def outputs_of(settings: StandaloneSettings, workspace: Workspace) -> Outputs:
    """Return where the settings want finished videos."""
    if settings.s3:
        return BucketOutputs(settings.s3)
    return FolderOutputs(workspace, settings.public_url)


class FolderOutputs:
    """Videos in the service's own folder; the service hands them out."""

    def __init__(self, workspace: Workspace, public_url: str) -> None:
        self._workspace = workspace
        self._public_url = public_url.rstrip("/")

    def target(self, job_id: str, suffix: str) -> str:
        """Return the path of the video."""
        return str(self._workspace.outputs(job_id) / f"output.{suffix}")

    def finished(self, job_id: str, location: str, size_bytes: int, seconds: float) -> Output | None:
        """Return the video with the address of the service's download page; None if the file is not there."""
        path = Path(location)
        if not path.is_file():
            return None
        url = f"{self._public_url}/api/render/{quote(job_id, safe='')}/download"
        return Output(url, size_bytes, seconds, path)


class BucketOutputs:
    """Videos in a bucket; clients fetch them there."""

    def __init__(self, target: S3Target) -> None:
        self._target = target

    def target(self, job_id: str, suffix: str) -> str:
        """Return the s3:// address of the video."""
        return f"s3://{self._target.bucket}/{self._key(job_id, suffix)}"

    def finished(self, job_id: str, location: str, size_bytes: int, seconds: float) -> Output | None:
        """Return the video with its public or presigned address. Raises OSError if that cannot be made."""
        key = self._key(job_id, location.rpartition(".")[2])
        base = self._target.public_base_url
        url = f"{base.rstrip('/')}/{quote(key)}" if base else self._presigned(key)
        return Output(url, size_bytes, seconds)

    def _key(self, job_id: str, suffix: str) -> str:
        return f"rendered/{quote(job_id, safe='')}/output.{suffix}"

    def _presigned(self, key: str) -> str:
        from botocore.exceptions import BotoCoreError

        try:
            url: str = self._client.generate_presigned_url(
                "get_object",
                Params={"Bucket": self._target.bucket, "Key": key},
                ExpiresIn=self._target.presign_seconds,
            )
        except BotoCoreError as error:
            raise OSError(f"The address of the video in S3 cannot be signed: {error}") from error
        return url

    @cached_property
    def _client(self) -> Any:
        # Imported here: it takes half a second, and only services with a bucket need it.
        import boto3
        from botocore.config import Config

        # A session of its own: the module's keeps the credentials that it saw first.
        session = boto3.session.Session()
        client = session.client("s3", config=Config(signature_version="s3v4"))
        host = urlsplit(client.meta.endpoint_url).hostname or ""
        if not host.endswith((".amazonaws.com", ".amazonaws.com.cn")):
            # Other servers have no name for each bucket in DNS.
            return session.client("s3", config=Config(signature_version="s3v4", s3={"addressing_style": "path"}))
        region = _region(client, self._target.bucket)
        return session.client("s3", region_name=region, config=Config(signature_version="s3v4")) if region else client


def _region(client: Any, bucket: str) -> str:
    """Return the bucket's region; empty if S3 does not say. Signed addresses are not redirected to it."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        answer = client.head_bucket(Bucket=bucket)
    except ClientError as error:  # S3 names the region also to those who may not look into the bucket
        answer = error.response
    except BotoCoreError:
        return ""
    return str(answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("x-amz-bucket-region", ""))
