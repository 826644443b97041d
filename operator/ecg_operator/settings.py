"""The operator's settings: environment variables, checked at start, each described in docs/operations.md."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ecg_api.names import GPU_RESOURCE, PRIVATE_ADDRESSES_VARIABLE
from ecg_api.problems import describe
from ecg_api.renderjob import DEFAULT_MANAGER
from ecg_common.profiles import VARIABLE as STORAGE_PROFILES
from ecg_common.profiles import read_profiles
from ecg_operator.admission import Budget
from ecg_operator.capacity import Schedule
from ecg_operator.errors import SettingsProblem
from ecg_operator.policy import Policy
from ecg_operator.prices import Prices

M = TypeVar("M", bound=BaseModel)

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?")
_DURATION = re.compile(r"([1-9][0-9]*h)?([1-9][0-9]*m)?([1-9][0-9]*s)?|true")
_QUALIFIED = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9._]*[A-Za-z0-9])?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Variable:
    """One environment variable.

    Attributes:
        default: as it would be written; None if the variable must be given.
        read: makes the value from the text, raises ValueError with what is expected.
        secret: its value is never shown, and `read` says what is wrong about it.
    """

    name: str
    default: str | None
    read: Callable[[str], Any]
    meaning: str
    secret: bool = False


@dataclass(frozen=True)
class Settings:
    """What the environment says.

    Attributes:
        namespaces: that are served; empty for all.
        controller_name: RenderJobs of another spec.managedBy are left alone.
        capacity: how many segments may be rendered when; None: always as many as the budget says.
        warm_deployment: Deployment of placeholder pods, beside the Lease; empty: none.
        lease_namespace: of the Lease; empty for the operator's own.
        identity: of this replica; empty for one made up of host name and chance.
    """

    policy: Policy
    budget: Budget
    namespaces: tuple[str, ...] = ()
    controller_name: str = DEFAULT_MANAGER
    health_port: int = 8080
    capacity: Schedule | None = None
    warm_deployment: str = ""
    lease_name: str = "ecg-operator"
    lease_namespace: str = ""
    identity: str = ""
    workers: int = 32
    resync_seconds: int = 300
    log_format: str = "text"
    log_level: str = "INFO"


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Return the settings; raises SettingsProblem with a line for each variable that is missing or wrong."""
    values: dict[str, Any] = {}
    problems = []
    for variable in VARIABLES:
        text = environment.get(variable.name, variable.default)
        if text is None:
            problems.append(f"{variable.name} is missing: {variable.meaning}")
            continue
        try:
            values[variable.name] = variable.read(text.strip())
        except ValueError as error:
            said = f"{text!r}, but must be {error}"
            if variable.secret:
                said = f"not usable ({str(error).removeprefix(f'{variable.name}: ')})"
            problems.append(f"{variable.name} is {said}: {variable.meaning}")
    if problems:
        raise SettingsProblem(problems)
    return _settings(values)


def _settings(values: Mapping[str, Any]) -> Settings:
    return Settings(
        policy=_policy(values),
        budget=Budget(
            jobs=values["MAX_CONCURRENT_JOBS"],
            segments=values["MAX_ACTIVE_SEGMENTS"],
            jobs_per_namespace=values["MAX_JOBS_PER_NAMESPACE"],
        ),
        namespaces=values["OPERATOR_NAMESPACES"],
        controller_name=values["CONTROLLER_NAME"],
        health_port=values["HEALTH_PORT"],
        capacity=values["CAPACITY"],
        warm_deployment=values["WARM_DEPLOYMENT"],
        lease_name=values["LEASE_NAME"],
        lease_namespace=values["LEASE_NAMESPACE"],
        identity=values["POD_NAME"],
        workers=values["WORKERS"],
        resync_seconds=values["RESYNC_SECONDS"],
        log_format=values["LOG_FORMAT"],
        log_level=values["LOG_LEVEL"],
    )


def _policy(values: Mapping[str, Any]) -> Policy:
    return Policy(
        renderer_image=values["RENDERER_IMAGE"],
        work_uri=values["WORK_URI"],
        image_pull_policy=values["IMAGE_PULL_POLICY"],
        image_pull_secrets=values["IMAGE_PULL_SECRETS"],
        worker_secret=values["WORKER_SECRET"],
        worker_env=values["WORKER_ENV"],
        storage=values[STORAGE_PROFILES],
        plugin_origin=values["ECG_PLUGIN_ORIGIN"],
        plugin_origins=values["ECG_PLUGIN_ORIGINS"],
        private_addresses=values[PRIVATE_ADDRESSES_VARIABLE],
        service_account=values["WORKER_SERVICE_ACCOUNT"],
        plan_resources=_resources(values, "PLAN"),
        segment_resources=_resources(values, "SEGMENT"),
        merge_resources=_resources(values, "MERGE"),
        clean_resources=_resources(values, "CLEAN"),
        on_demand_node_selector=values["ON_DEMAND_NODE_SELECTOR"],
        do_not_disrupt=values["DO_NOT_DISRUPT"],
        shm_size=values["SHM_SIZE"],
        scratch_size=values["SCRATCH_SIZE"],
        scratch_request=values["SCRATCH_REQUEST"],
        gpu_resource=values["GPU_RESOURCE"],
        prices=values["PRICES"],
        user_id=values["RUN_AS_USER"],
        ttl_succeeded_seconds=values["TTL_SUCCEEDED_SECONDS"],
        ttl_failed_seconds=values["TTL_FAILED_SECONDS"],
        most_segments=values["MAX_SEGMENTS_PER_JOB"],
        progress_seconds=values["PROGRESS_SECONDS"],
    )


def _resources(values: Mapping[str, Any], role: str) -> Mapping[str, Mapping[str, str]]:
    requests = {"cpu": values[f"{role}_CPU"], "memory": values[f"{role}_MEMORY"]}
    return MappingProxyType({"requests": requests, "limits": {"memory": values[f"{role}_MEMORY_LIMIT"]}})


def _matching(pattern: re.Pattern[str], expected: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(expected)
        return text

    return read


def _name_or_nothing(text: str) -> str:
    return _matching(_NAME, "a Kubernetes name or empty")(text) if text else ""


def _names(text: str) -> tuple[str, ...]:
    return tuple(_matching(_NAME, "Kubernetes names with commas between")(part) for part in _parts(text))


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _pairs(text: str) -> Mapping[str, str]:
    expected = "NAME=VALUE pairs with commas between, or a JSON object of texts"
    if text.startswith("{"):
        return _json_pairs(text, expected)
    pairs = [part.partition("=") for part in _parts(text)]
    if not all(name and equals for name, equals, _ in pairs):
        raise ValueError(expected)
    return MappingProxyType({name: value for name, _, value in pairs})


def _json_pairs(text: str, expected: str) -> Mapping[str, str]:
    try:
        found = json.loads(text)
    except ValueError:
        raise ValueError(expected) from None
    if not isinstance(found, dict) or not all(name and isinstance(value, str) for name, value in found.items()):
        raise ValueError(expected)
    return MappingProxyType(found)


def _variables(text: str) -> Mapping[str, str]:
    pairs = _pairs(text)
    for name in pairs:
        _matching(_VARIABLE, "NAME=VALUE pairs with commas between (or a JSON object), each NAME one of a variable")(
            name
        )
    return pairs


def _number(least: int, most: int = 1_000_000) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
            raise ValueError(f"a whole number from {least} to {most}")
        return int(text)

    return read


def _number_or_nothing(least: int, most: int) -> Callable[[str], int | None]:
    def read(text: str) -> int | None:
        return _number(least, most)(text) if text else None

    return read


def _json_of(model: type[M]) -> Callable[[str], M | None]:
    def read(text: str) -> M | None:
        try:
            return model.model_validate_json(text) if text else None
        except ValidationError as error:
            raise ValueError(f"{model.__name__.lower()} as JSON ({'; '.join(describe(error, model))})") from None

    return read


def _choice(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"one of {', '.join(words)}")
        return text

    return read


def _anything(text: str) -> str:
    if not text:
        raise ValueError("not empty")
    return text


def _work_uri(text: str) -> str:
    if not re.fullmatch(r"s3://[^/\s]+(/\S*)?|file:///\S*", text):
        raise ValueError("s3://bucket/prefix or file:///folder")
    return text.rstrip("/")


def _origins(most: int) -> Callable[[str], str]:
    def read(text: str) -> str:
        parts = _parts(text)
        if len(parts) > most or not all(re.fullmatch(r"https?://[^\s/@]+(/[^\s?#]*)?", part) for part in parts):
            raise ValueError("an address such as https://plugins.example.com" + (", or several" if most > 1 else ""))
        return ",".join(parts)

    return read


_quantity = _matching(_QUANTITY, "a Kubernetes quantity such as 500m or 2Gi")


def _resource_variables(role: str, what: str, cpu: str, memory: str, limit: str) -> tuple[Variable, ...]:
    return (
        Variable(f"{role}_CPU", cpu, _quantity, f"CPU that {what} asks for; there is no limit of CPU"),
        Variable(f"{role}_MEMORY", memory, _quantity, f"memory that {what} asks for"),
        Variable(f"{role}_MEMORY_LIMIT", limit, _quantity, f"memory at which {what} is killed"),
    )


VARIABLES: tuple[Variable, ...] = (
    Variable("RENDERER_IMAGE", None, _anything, "image of the pods that plan, render, merge and clean"),
    Variable(
        "WORK_URI", None, _work_uri, "folder for the work files of all jobs, s3://bucket/prefix; pods must reach it"
    ),
    Variable("OPERATOR_NAMESPACES", "", _names, "namespaces to serve, with commas between; empty: all"),
    Variable(
        "CONTROLLER_NAME",
        DEFAULT_MANAGER,
        _matching(_QUALIFIED, "a name with a domain before it, such as example.com/operator"),
        "RenderJobs whose spec.managedBy names another one are left alone; none stands for " + DEFAULT_MANAGER,
    ),
    Variable(
        "IMAGE_PULL_POLICY", "IfNotPresent", _choice("IfNotPresent", "Always", "Never"), "when nodes fetch the image"
    ),
    Variable("IMAGE_PULL_SECRETS", "", _names, "Secrets to fetch it with, in the jobs' namespaces"),
    Variable(
        "WORKER_SECRET",
        "",
        _name_or_nothing,
        "Secret in a job's namespace whose entries become environment variables of its pods (AWS_ACCESS_KEY_ID, ...)",
    ),
    Variable(
        "WORKER_ENV",
        "",
        _variables,
        "further environment variables of the pods, NAME=VALUE with commas between, or a JSON object; nothing secret",
    ),
    Variable(
        STORAGE_PROFILES,
        "",
        read_profiles,
        "storage profiles as JSON (docs/storage.md): buckets, endpoints, regions, Secrets by name, copies, CDNs",
        secret=True,  # it holds none, unless somebody has put keys into it by mistake
    ),
    Variable(
        "ECG_PLUGIN_ORIGIN",
        "",
        _origins(1),
        "server of the caption editor's plugins for RenderJobs that name none (spec.plugins.origin), such as "
        "https://plugins.example.com; empty: the renderer's own plugins",
    ),
    Variable(
        "ECG_PLUGIN_ORIGINS",
        "",
        _origins(100),
        "servers of plugins that RenderJobs may name, besides that one, with commas between; plugins are programs",
    ),
    Variable(
        PRIVATE_ADDRESSES_VARIABLE,
        "refuse",
        _choice("refuse", "allow"),
        "whether videos, scenarios and fonts that RenderJobs name by https:// may be at private addresses; s3://, at "
        "whatever endpoint, and the servers of plugins above are not meant",
    ),
    Variable(
        "WORKER_SERVICE_ACCOUNT",
        "",
        _name_or_nothing,
        "ServiceAccount of the pods, for clouds that give access to storage by it",
    ),
    Variable("MAX_CONCURRENT_JOBS", "50", _number(1), "RenderJobs that may have pods at a time; others wait"),
    Variable("MAX_ACTIVE_SEGMENTS", "100", _number(1), "segment pods of all jobs together"),
    Variable("MAX_JOBS_PER_NAMESPACE", "0", _number(0), "RenderJobs of one namespace at a time; 0: no limit"),
    Variable(
        "CAPACITY",
        "",
        _json_of(Schedule),
        "when how many segments may be rendered at a time, a JSON object; empty: always MAX_ACTIVE_SEGMENTS",
    ),
    Variable(
        "WARM_DEPLOYMENT",
        "",
        _name_or_nothing,
        "Deployment of placeholder pods, in the Lease's namespace, that keeps places of CAPACITY warm; empty: none",
    ),
    Variable("MAX_SEGMENTS_PER_JOB", "64", _number(1, 1000), "segments of a plan, if the RenderJob does not say fewer"),
    *_resource_variables("PLAN", "a plan's pod that may not render", "500m", "512Mi", "2Gi"),
    *_resource_variables("SEGMENT", "a pod that may render", "2", "3Gi", "6Gi"),
    *_resource_variables("MERGE", "a merge's pod", "500m", "512Mi", "2Gi"),
    *_resource_variables("CLEAN", "a cleaning pod", "100m", "128Mi", "512Mi"),
    Variable("SHM_SIZE", "1Gi", _quantity, "size of the memory-backed /dev/shm of a pod that may render"),
    Variable("SCRATCH_SIZE", "20Gi", _quantity, "size of /tmp of the pods, at which a pod is evicted"),
    Variable(
        "SCRATCH_REQUEST",
        "2Gi",
        lambda text: _quantity(text) if text else "",
        "disk of its node that a pod asks for (ephemeral-storage); empty: none",
    ),
    Variable(
        "GPU_RESOURCE",
        GPU_RESOURCE,
        _matching(_QUALIFIED, "the name of a resource, such as nvidia.com/gpu"),
        "resource of which a segment with a GPU gets one: whole, shared (nvidia.com/gpu.shared) or a MIG slice",
    ),
    Variable(
        "TTL_SUCCEEDED_SECONDS",
        "604800",
        _number_or_nothing(0, 31_536_000),
        "how long a RenderJob that has succeeded is kept if its spec.ttl does not say; set but empty: for ever",
    ),
    Variable("TTL_FAILED_SECONDS", "604800", _number_or_nothing(0, 31_536_000), "the same after failure or cancel"),
    Variable(
        "PRICES",
        "",
        _json_of(Prices),
        "what nodes cost an hour by instance type, a JSON object; empty: the cost of jobs is not told",
    ),
    Variable("RUN_AS_USER", "10001", _number(1), "user and group of the pods' processes"),
    Variable(
        "ON_DEMAND_NODE_SELECTOR",
        "",
        _pairs,
        "labels of nodes that are not taken away, for segments that lost their nodes too often; empty: no such nodes",
    ),
    Variable(
        "DO_NOT_DISRUPT",
        "30m",
        _matching(_DURATION, "a duration such as 30m or 1h30m, true, or empty"),
        "for so long from its start Karpenter takes no pod from its node, neither to save money nor gracefully for a "
        "spot notice; true: ever; empty: it may at once. Durations hold from Karpenter 1.12; before it true is needed",
    ),
    Variable("PROGRESS_SECONDS", "3", _number(1, 3600), "progress alone is written at most so often"),
    Variable("HEALTH_PORT", "8080", _number(0, 65535), "port of /healthz, /readyz and /metrics; 0: a free one"),
    Variable("LEASE_NAME", "ecg-operator", _matching(_NAME, "a Kubernetes name"), "name of the Lease of the leader"),
    Variable("LEASE_NAMESPACE", "", _name_or_nothing, "namespace of the Lease; empty: the operator's own"),
    Variable("POD_NAME", "", _name_or_nothing, "name of this replica; empty: host name and a random part"),
    Variable("WORKERS", "32", _number(1, 256), "RenderJobs that are looked at at a time"),
    Variable("RESYNC_SECONDS", "300", _number(1, 86400), "after so long everything is listed again"),
    Variable("LOG_FORMAT", "text", _choice("text", "json"), "form of the log's lines"),
    Variable("LOG_LEVEL", "INFO", _choice("DEBUG", "INFO", "WARNING", "ERROR"), "least weight of what is logged"),
)
