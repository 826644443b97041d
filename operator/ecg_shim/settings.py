"""All that the environment says about the service, read once and checked at start-up.

Each setting names its variable, default and effect; `python -m ecg_shim --settings` and docs/http.md list the same.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Self
from urllib.parse import urlsplit

from ecg_api.names import GPU_RESOURCE
from ecg_common.profiles import VARIABLE as STORAGE_PROFILES
from ecg_common.profiles import StorageProfiles, read_profiles
from ecg_shim.variables import (
    SettingsError,
    Variable,
    address,
    flag,
    log_level,
    matching,
    names,
    pairs,
    seconds,
    text,
    variable,
    whole,
    words,
)

MODES = ("auto", "standalone", "kubernetes", "celery", "distributed", "worker")
BUCKET = matching(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "a bucket's name: 3 to 63 of a-z, 0-9, '.' and '-'")


@dataclass(frozen=True)
class Settings:
    """What the service does on this machine."""

    mode: str = variable(
        "ECG_RENDER_MODE RENDER_MODE", words(*MODES), "auto",
        "Who renders: standalone (this machine) or kubernetes (aliases celery, distributed); auto looks for a cluster.",
    )  # fmt: skip
    environment: str = variable(
        "ENVIRONMENT", words("development", "staging", "production", "test"), "development",
        "In production the queue cannot be cleared over HTTP.",
    )  # fmt: skip
    host: str = variable("ECG_HOST", text, "127.0.0.1", "Address to listen on; 0.0.0.0 for all.")
    port: int = variable("ECG_PORT", whole(0, 65535), "8090", "Port to listen on; 0 takes a free one.")
    data_dir: str = variable(
        "ECG_DATA_DIR", text, "", "Folder of the queue and of finished videos. Empty: ~/.local/share/ecg-render."
    )
    temp_dir: str = variable("TEMP_DIR", text, "/tmp/render", "Folder for the work files of running renders.")  # noqa: S108
    log_level: str = variable("LOG_LEVEL", log_level, "INFO", "How much is logged.")
    worker_id: str = variable("WORKER_ID", text, "", "Name of this process in its log and in /health.")
    worker_name: str = variable("WORKER_NAME", text, "", "Used where WORKER_ID is not set.")

    max_concurrent_jobs: int = variable(
        "MAX_CONCURRENT_JOBS", whole(1, 64), "3", "Renders at the same time on this machine; others wait."
    )
    browser_pool_size: int = variable(
        "BROWSER_POOL_SIZE", whole(1, 32), "4", "Caption stages in the browser of each render."
    )
    parallel_rendering: bool = variable(
        "USE_PARALLEL_RENDERING", flag, "true", "false: one caption stage a render, whatever BROWSER_POOL_SIZE says."
    )
    memory_threshold_mb: int = variable(
        "MEMORY_THRESHOLD_MB", whole(1, 1_000_000), "500",
        "Megabytes of caption pictures that may wait for FFmpeg in each render.",
    )  # fmt: skip
    queue_max_size: int = variable(
        "QUEUE_MAX_SIZE", whole(1, 100_000), "60", "Pictures that may wait for FFmpeg in each render; not jobs."
    )
    gpu_encoding: bool = variable(
        "ENABLE_GPU_ENCODING", flag, "true", "false: the CPU encodes, also where NVENC would work."
    )
    layout: str = variable(
        "ECG_LAYOUT", words("viewport", "preview"), "viewport",
        "How captions are laid out where a request has no options.layout: preview is the editor's own proportions.",
    )  # fmt: skip
    rendering_timeout: float = variable(
        "RENDERING_TIMEOUT", seconds(1, 86_400), "1800", "Seconds after which a render is stopped as failed."
    )
    render_attempts: int = variable(
        "ECG_RENDER_ATTEMPTS", whole(1, 20), "3", "Tries of a render whose failure may pass, the first included."
    )
    keep_days: int = variable(
        "ECG_KEEP_DAYS", whole(1, 3650), "7", "Days for which ended jobs and local videos are kept."
    )

    plugin_origin: str = variable(
        "ECG_PLUGIN_ORIGIN", address("http", "https"), "",
        "Server of the caption editor's own plugins, such as https://plugins.example.com. Empty: ours. In Kubernetes "
        "mode the operator's setting of that name counts.",
    )  # fmt: skip

    namespace: str = variable(
        "ECG_NAMESPACE", matching(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", "the name of a namespace"), "",
        "Kubernetes: where RenderJobs are made. Empty: the pod's own namespace.",
    )  # fmt: skip
    scenario_store: str = variable(
        "ECG_SCENARIO_STORE", words("auto", "s3", "configmap"), "auto",
        "Kubernetes: where scenarios wait for their job; auto takes S3 if there are credentials for it.",
    )  # fmt: skip
    cluster_jobs: int = variable(
        "ECG_CLUSTER_JOBS", whole(1, 10_000), "50",
        "Kubernetes: jobs that the operator runs at a time (its MAX_CONCURRENT_JOBS), for estimates.",
    )  # fmt: skip
    gpu_resource: str = variable(
        "ECG_GPU_RESOURCE", matching(r"[a-z0-9.-]+/[A-Za-z0-9._-]+", "the name of a resource, such as nvidia.com/gpu"),
        GPU_RESOURCE, "Kubernetes: what the cluster calls a GPU (the operator's GPU_RESOURCE), for /health.",
    )  # fmt: skip
    operator_lease: str = variable(
        "ECG_OPERATOR_LEASE", matching(r"([a-z0-9-]+/)?[a-z0-9.-]+", "a name, or namespace/name"), "ecg-operator",
        "Kubernetes: the operator's Lease, by which /health tells whether it is there.",
    )  # fmt: skip

    bucket: str = variable(
        "S3_BUCKET S3_BUCKET_NAME", BUCKET, "",
        "Bucket for finished videos, at rendered/<job id>/output.<format>. Empty: that of the first storage profile, "
        "and without any files below ECG_DATA_DIR.",
    )  # fmt: skip
    storage_profiles: StorageProfiles = variable(  # noqa: RUF009 (makes a field)
        STORAGE_PROFILES, read_profiles, "",
        "Storage profiles as JSON (docs/storage.md): further buckets with endpoint, region, copies and CDN. In "
        "Kubernetes mode as the operator has them.",
        secret=True,  # it holds none, unless somebody has put keys into it by mistake
    )  # fmt: skip
    storage_profile: str = variable(
        "ECG_STORAGE_PROFILE", matching(r"[a-z0-9-]{1,32}", "the name of a storage profile, or auto"), "",
        "Profile for results of requests without options.storage; auto: by the video's bucket or region. Empty: "
        "S3_BUCKET.",
    )  # fmt: skip
    public_url: str = variable(
        "ECG_PUBLIC_URL", address("http", "https"), "",
        "Address under which browsers reach this service; download addresses begin with it, and last. Empty: the "
        "address that was asked, in callbacks host and port, and videos in a bucket are told by an address that was "
        "signed once, which ends with its credentials.",
    )  # fmt: skip
    cdn_url: str = variable(
        "CDN_BASE_URL", address("http", "https"), "",
        "Address of a CDN before S3_BUCKET; downloads are sent there instead of to a presigned address.",
    )  # fmt: skip
    presign_seconds: int = variable(
        "ECG_PRESIGN_SECONDS", whole(60, 604_800), "604800", "How long presigned download addresses work; 7 days."
    )
    cors_origins: tuple[str, ...] = variable(
        "ECG_CORS_ORIGINS", names, "https://ho-it.site,http://localhost:3000",
        "Web pages that may fetch finished videos, as origins; * for all.",
    )  # fmt: skip

    callback_retries: int = variable(
        "CALLBACK_RETRY_COUNT", whole(1, 20), "3", "Tries to deliver the callback that says how a job ended."
    )
    callback_timeout: float = variable(
        "CALLBACK_TIMEOUT", seconds(0.1, 600), "30", "Seconds after which a callback without answer has failed."
    )
    callback_unknown_job: str = variable(
        "ECG_CALLBACK_UNKNOWN_JOB", words("keep", "cancel"), "keep",
        "What becomes of a job whose callbacks are answered with 404: it is rendered all the same, or cancelled.",
    )  # fmt: skip
    callback_secret: str = variable(
        "ECG_CALLBACK_SECRET",
        text,
        "",
        "Signs callbacks in the Standard Webhooks way: whsec_ and base64; several apart by spaces.",
        secret=True,
    )
    backend_callback_url: str = variable(
        "BACKEND_CALLBACK_URL", address("http", "https"), "",
        "A backend to trust: callbacks to its host are allowed wherever it is, also at a private address.",
    )  # fmt: skip

    api_token: str = variable(
        "ECG_API_TOKEN", text, "",
        "Requests must then carry it: Authorization: Bearer <token>. /health, downloads and the page's files do not.",
        secret=True,
    )  # fmt: skip
    private_addresses: str = variable(
        "ECG_PRIVATE_ADDRESSES", words("auto", "allow", "refuse"), "auto",
        "Whether videos and callbacks may be at private addresses and videos in local files; auto: only while the "
        "service listens on this machine's own address (127.0.0.1, ::1).",
    )  # fmt: skip
    video_hosts: tuple[str, ...] = variable(
        "ECG_VIDEO_HOSTS", names, "",
        "Hosts (or buckets) videos may come from; .example.com takes subdomains. Empty: all."
    )  # fmt: skip
    callback_hosts: tuple[str, ...] = variable(
        "ECG_CALLBACK_HOSTS", names, "",
        "Hosts callbacks may go to, wherever they are; .example.com takes subdomains. Empty: all public ones.",
    )  # fmt: skip
    max_request_mb: int = variable("ECG_MAX_REQUEST_MB", whole(16, 1024), "32", "Largest body of a request.")
    max_cues: int = variable("ECG_MAX_CUES", whole(1, 1_000_000), "10000", "Most cues of a scenario.")
    max_waiting_jobs: int = variable(
        "ECG_MAX_WAITING_JOBS", whole(1, 1_000_000), "20000",
        "In a cluster: most jobs that wait, more are answered by 429; and most that are kept that were not rendered.",
    )  # fmt: skip
    max_video_gb: int = variable("ECG_MAX_VIDEO_GB", whole(1, 10_000), "20", "Largest source video.")

    video_dsn: str = variable(
        "ECG_VIDEO_URL_DSN", matching(r"(postgresql|postgres)://.+|.*=.*", "a PostgreSQL DSN: postgresql://... or "
        "host=... dbname=..."), "",
        "PostgreSQL database of the backend, read when a request names no video. Needs ecg-render[resolver].",
        secret=True,
    )  # fmt: skip
    video_query: str = variable(
        "ECG_VIDEO_URL_QUERY", matching(r"(?s)(?i:select)\s.*%\(job_id\)s.*", "a SELECT with %(job_id)s in it"),
        "SELECT video_url FROM render_jobs WHERE job_id = %(job_id)s",
        "The query that finds a job's video; one row, one column.",
    )  # fmt: skip
    redis_url: str = variable(
        "REDIS_URL", address("redis", "rediss", "unix"), "",
        "None on renders, the queue needs no Redis: the log says at the start if nothing answers there.",
        secret=True,
    )  # fmt: skip
    cloudwatch_namespace: str = variable(
        "ECG_CLOUDWATCH_NAMESPACE", matching(r"[A-Za-z0-9][A-Za-z0-9._/#:-]{0,254}", "a namespace, such as ECG/Render"),
        "", "CloudWatch: QueueDepth (Count) and FrameDropRate (Percent) are put there each minute; ECG/Render, as the "
        "earlier server had it. Empty: nowhere.",
    )  # fmt: skip
    cloudwatch_dimensions: Mapping[str, str] = variable(
        "ECG_CLOUDWATCH_DIMENSIONS", pairs, "", "CloudWatch: dimensions of both, NAME=VALUE with commas between."
    )
    drain_seconds: int = variable(
        "ECG_DRAIN_SECONDS", whole(1, 600), "20", "Seconds that requests have to finish when the service is stopped."
    )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Read and check every variable; raises SettingsError with one line for each that cannot be used."""
        problems: list[str] = []
        values: dict[str, Any] = {name: _read(declared, environment, problems) for name, declared in cls.variables()}
        for other in (*WITHOUT_EFFECT, *PASSED_ON):
            _read(other, environment, problems)
        if not problems and values["storage_profiles"].root:
            values["bucket"] = values["bucket"] or values["storage_profiles"].root[0].bucket
        if not problems and values["storage_profile"]:
            try:
                values["storage_profiles"].chosen(values["storage_profile"], "")
            except ValueError as error:
                problems.append(f"ECG_STORAGE_PROFILE: {error}.")
        if problems:
            raise SettingsError(problems)
        return cls(**values)

    @classmethod
    def variables(cls) -> Iterator[tuple[str, Variable]]:
        """Yield each field's name and its variable."""
        for declared in fields(cls):
            yield declared.name, declared.metadata["variable"]

    @property
    def local_only(self) -> bool:
        """The service listens on an address that only this machine reaches."""
        return self.host in ("localhost", "::1") or self.host.startswith("127.")

    @property
    def own_names(self) -> tuple[str, ...]:
        """The names of this service that are set: the host of its public address, and this machine's."""
        public = urlsplit(self.public_url).hostname
        return tuple(name.lower() for name in (public, socket.gethostname()) if name)

    @property
    def private_allowed(self) -> bool:
        """Videos and callbacks may be at private addresses, videos also in local files."""
        return self.private_addresses == "allow" or (self.private_addresses == "auto" and self.local_only)


WITHOUT_EFFECT = (
    Variable(("REDIS_AUTH_TOKEN",), text, "", "None: the queue needs no Redis.", secret=True),
    Variable(("REDIS_POOL_SIZE",), whole(1, 10_000), "20", "None: the queue needs no Redis."),
    Variable(("CELERY_BROKER_URL",), text, "", "None: renders are pods or child processes.", secret=True),
    Variable(("CELERY_RESULT_BACKEND",), text, "", "None: renders are pods or child processes.", secret=True),
    Variable(("RENDER_PAGE_URL",), address("http", "https"), "", "None: the caption page is part of the renderer."),
    Variable(("MODEL_SERVER_URL",), address("http", "https"), "", "None: no model is asked."),
    Variable(("ENABLE_MEMORY_OPTIMIZER",), flag, "true", "None: memory is always bounded (MEMORY_THRESHOLD_MB)."),
)
"""Variables of the earlier server that are still checked, so that a typing error is seen, but change nothing."""

PASSED_ON = (
    Variable(("AWS_ACCESS_KEY_ID",), text, "", "Key for S3, for the service and its renders."),
    Variable(("AWS_SECRET_ACCESS_KEY",), text, "", "The key's secret.", secret=True),
    Variable(("AWS_SESSION_TOKEN",), text, "", "Token of a temporary key.", secret=True),
    Variable(("AWS_REGION", "AWS_DEFAULT_REGION"), text, "", "Region of S3_BUCKET."),
    Variable(("AWS_PROFILE",), text, "", "Profile of ~/.aws to use."),
    Variable(("AWS_ENDPOINT_URL",), address("http", "https"), "", "Another S3 server than Amazon's."),
)
"""Variables that the AWS library reads itself, here and in the renders."""


def _read(declared: Variable, environment: Mapping[str, str], problems: list[str]) -> object:
    for name in declared.names:
        value = environment.get(name, "").strip()
        if not value:
            continue
        try:
            return declared.read(value)
        except ValueError as expected:
            shown = "not usable" if declared.secret else repr(value)
            said = str(expected).removeprefix(f"{name}: ")
            wanted = f"; it must be {said}" if said == str(expected) else f": {said}"
            problems.append(f"{name} is {shown}{wanted}.")
    return declared.read(declared.default)
