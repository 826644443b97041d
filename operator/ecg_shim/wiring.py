"""Make the service from its settings: which backend renders, what is accepted, who is told."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fastapi import FastAPI

from ecg_api.names import PLUGIN_ORIGIN_VARIABLE, PRIVATE_ADDRESSES_VARIABLE
from ecg_common.web import checked_client
from ecg_shim.admission import GIGABYTE, VideoAdmission, VideoResolver
from ecg_shim.app import create_app
from ecg_shim.backends.standalone import S3Target, StandaloneBackend, StandaloneSettings
from ecg_shim.cloudwatch import CloudWatch
from ecg_shim.intake import Rules, callback_policy, video_policy
from ecg_shim.metrics import Metrics
from ecg_shim.model import Backend
from ecg_shim.relay import Outbox, Policy, Relay, Sender, SqliteOutbox
from ecg_shim.relay.command import FILE_NAME, DeadLetters
from ecg_shim.relay.metrics import RelayMetrics
from ecg_shim.relay.sender import SecretError, Signer
from ecg_shim.services import Services
from ecg_shim.settings import Settings
from ecg_shim.tasks import Tasks

if TYPE_CHECKING:
    from ecg_shim.backends.cluster import ClusterSettings

log = logging.getLogger(__name__)

DAY = 86_400.0
STANDALONE, KUBERNETES = "standalone", "kubernetes"
ALIASES = {"celery": KUBERNETES, "distributed": KUBERNETES}
CLUSTER_LIBRARY = "kubernetes"


class Built(NamedTuple):
    """An application, what must run while it serves, and the tasks in that whose end is the service's."""

    app: FastAPI
    behind: AbstractAsyncContextManager[None]
    essential: tuple[Tasks, ...]


class CannotStart(Exception):
    """The service cannot be made as it is set; the text says why and what to do."""


def chosen_mode(settings: Settings) -> str:
    """Return standalone or kubernetes; auto means the latter inside a pod. Raises CannotStart if it is not there."""
    there = importlib.util.find_spec(CLUSTER_LIBRARY) is not None
    mode = ALIASES.get(settings.mode, settings.mode)
    if mode == "auto":
        mode = KUBERNETES if there and "KUBERNETES_SERVICE_HOST" in os.environ else STANDALONE
    if mode == KUBERNETES and not there:
        raise CannotStart("--mode kubernetes needs the cluster's library: pip install ecg-render[operator]")
    return mode


def rules_of(settings: Settings, mode: str = STANDALONE) -> Rules:
    """Return what requests may ask for; files are read on this machine only, never in a cluster's pods."""
    private = settings.private_allowed
    videos = video_policy(hosts=settings.video_hosts, private=private)
    return Rules(
        videos=replace(videos, files=videos.files and mode == STANDALONE),
        callbacks=callback_policy(
            hosts=settings.callback_hosts, backend=settings.backend_callback_url, private=private
        ),
        max_cues=settings.max_cues,
        gpu_encoding=settings.gpu_encoding,
        layout=settings.layout,
        lookup=bool(settings.video_dsn),
        storage=settings.storage_profiles,
        profile=settings.storage_profile,
    )


def data_folder(settings: Settings) -> Path:
    """Return the folder of queue, outbox and videos."""
    if settings.data_dir:
        return Path(settings.data_dir).expanduser().absolute()
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "ecg-render"


def service(mode: str, settings: Settings, address: str) -> Built:
    """Return the service of a mode; `address` is where it listens. Raises CannotStart."""
    if settings.bucket and not (settings.public_url or settings.cdn_url):
        log.warning(
            "ECG_PUBLIC_URL is not set: clients are told addresses in storage that were signed once, and end with the "
            "credentials that have signed them; those of a role after hours."
        )
    return cluster_service(settings) if mode == KUBERNETES else standalone_service(settings, address)


def standalone_service(settings: Settings, address: str) -> Built:
    """Return a service whose renders run on this machine. Raises CannotStart."""
    rules, metrics, signer = rules_of(settings), Metrics(), _signer(settings)
    folder = data_folder(settings)
    backend = StandaloneBackend(_standalone_settings(settings, folder, address), _admission(settings, rules))
    client = checked_client(rules.callbacks, timeout=settings.callback_timeout)
    relay = Relay(
        backend,
        SqliteOutbox(folder / FILE_NAME),
        Sender(client, signer, settings.callback_timeout),
        _policy(settings),
        RelayMetrics(metrics.registry),
        beside=_cloudwatch(settings, backend),
    )

    @asynccontextmanager
    async def running() -> AsyncIterator[None]:
        async with client, backend.running(), relay.running():
            yield

    essential = (backend.tasks, relay.tasks)
    services = Services(STANDALONE, settings, backend, relay, rules, metrics, essential)
    return Built(create_app(services), running(), essential)


def cluster_service(settings: Settings) -> Built:
    """Return a service whose renders are RenderJobs of a cluster. Raises CannotStart."""
    from ecg_shim.backends.cluster import ClusterBackend

    rules, metrics, signer = rules_of(settings, KUBERNETES), Metrics(), _signer(settings)
    client = checked_client(rules.callbacks, timeout=settings.callback_timeout)
    sender = Sender(client, signer, settings.callback_timeout)
    told = RelayMetrics(metrics.registry)

    def make_relay(outbox: Outbox) -> Relay:
        return Relay(backend, outbox, sender, _policy(settings), told, beside=_cloudwatch(settings, backend))

    backend = ClusterBackend(_cluster_settings(settings), _admission(settings, rules), make_relay)

    @asynccontextmanager
    async def running() -> AsyncIterator[None]:
        async with client, backend.running():
            yield

    essential = (backend.tasks,)
    services = Services(KUBERNETES, settings, backend, backend, rules, metrics, essential)
    return Built(create_app(services), running(), essential)


def dead_letters(settings: Settings) -> DeadLetters | None:
    """Return what could not be told, as the mode keeps it; None for a file of this machine. Raises CannotStart."""
    if chosen_mode(settings) != KUBERNETES:
        return None
    from ecg_shim.backends.cluster.outbox import ClusterDeadLetters

    return ClusterDeadLetters(settings.namespace)


def _cluster_settings(settings: Settings) -> ClusterSettings:
    from ecg_shim.backends.cluster import ClusterSettings

    if not settings.bucket:
        raise CannotStart(
            "--mode kubernetes needs S3_BUCKET, where pods put finished videos. Or use --mode standalone."
        )
    namespace, _, lease = settings.operator_lease.rpartition("/")
    return ClusterSettings(
        bucket=settings.bucket,
        namespace=settings.namespace,
        public_base_url=settings.cdn_url or None,
        presign_seconds=settings.presign_seconds,
        public_url=settings.public_url,
        scenario_store=settings.scenario_store,
        active_seconds=round(settings.rendering_timeout),
        ttl_seconds=round(settings.keep_days * DAY),
        keep_seconds=settings.keep_days * DAY,
        max_concurrent=settings.cluster_jobs,
        max_waiting=settings.max_waiting_jobs,
        gpu_resource=settings.gpu_resource,
        gpus=1 if settings.gpu_encoding else 0,
        operator_lease=(namespace, lease),
    )


def _standalone_settings(settings: Settings, folder: Path, address: str) -> StandaloneSettings:
    target = S3Target(settings.bucket, settings.cdn_url or None, settings.presign_seconds, settings.public_url)
    stored = target if settings.bucket else None
    return StandaloneSettings(
        folder=folder,
        work_folder=Path(settings.temp_dir).expanduser().absolute(),
        public_url=settings.public_url or address,
        max_concurrent=settings.max_concurrent_jobs,
        job_seconds=settings.rendering_timeout,
        attempts=settings.render_attempts,
        keep_seconds=settings.keep_days * DAY,
        s3=stored,
        environment={
            "BROWSER_POOL_SIZE": str(settings.browser_pool_size if settings.parallel_rendering else 1),
            "QUEUE_MAX_SIZE": str(settings.queue_max_size),
            "MEMORY_THRESHOLD_MB": str(settings.memory_threshold_mb),
            # Names are resolved anew by each renderer: it must refuse what was refused here.
            PRIVATE_ADDRESSES_VARIABLE: "allow" if settings.private_allowed else "refuse",
            PLUGIN_ORIGIN_VARIABLE: settings.plugin_origin,
        },
    )


def _cloudwatch(settings: Settings, backend: Backend) -> Callable[[], Coroutine[Any, Any, None]] | None:
    if not settings.cloudwatch_namespace:
        return None
    return CloudWatch(backend.snapshot, settings.cloudwatch_namespace, dict(settings.cloudwatch_dimensions)).run


def _policy(settings: Settings) -> Policy:
    # What was told is remembered for longer than its job, which would otherwise be told anew.
    return Policy(
        attempts=settings.callback_retries,
        cancel_unknown=settings.callback_unknown_job == "cancel",
        keep=(settings.keep_days + 8) * DAY,
    )


def _admission(settings: Settings, rules: Rules) -> VideoAdmission:
    try:
        resolver = VideoResolver(settings.video_dsn, settings.video_query) if settings.video_dsn else None
    except RuntimeError as error:
        raise CannotStart(str(error)) from error
    return VideoAdmission(rules.videos, resolver, settings.max_video_gb * GIGABYTE)


def _signer(settings: Settings) -> Signer | None:
    try:
        return Signer.of(settings.callback_secret)
    except SecretError as error:
        raise CannotStart(f"ECG_CALLBACK_SECRET: {error}") from error
