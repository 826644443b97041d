"""RenderJob, the one manifest: the same file renders on a laptop and on a cluster.

    RenderJob
     ├─ metadata   Metadata
     ├─ spec       RenderJobSpec
     │   ├─ source, scenario, output     what goes in, where the result goes
     │   ├─ storage                      in which of the settings' places results lie
     │   ├─ live                         watching it while it renders
     │   ├─ options                      size, rate, quality, format
     │   ├─ renditions                   what else is made of the same
     │   ├─ callback                     who is told
     │   ├─ segments, placement, retry, deadlines, ttl    how a cluster runs it
     │   ├─ reuse, managedBy             whose work is used, who does the rest
     │   └─ priority, suspend, cancel    what may be changed while it runs
     └─ status     RenderJobStatus (status.py)

The descriptions below are the manual: `crd.py` puts them into the cluster's schema for `kubectl explain`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal, Protocol, Self

from pydantic import AfterValidator, ConfigDict, Field, JsonValue, ValidationError, model_validator

from ecg_api.base import ManifestModel
from ecg_api.options import Options
from ecg_api.overrides import set_path
from ecg_api.problems import ManifestProblems, describe
from ecg_api.renditions import MOST_RENDITIONS, Rendition, check_addresses, check_live_folder
from ecg_api.running import Deadlines, Placement, Resources, Retry, Segments, Toleration, Ttl
from ecg_api.status import RenderJobStatus, StorageStatus
from ecg_api.uris import LocalUri, ReadableUri, Text, WebUri, WritableUri

__all__ = [
    "API_VERSION", "DEFAULT_MANAGER", "GROUP", "KIND", "VERSION", "Callback", "ConfigMapRef", "Deadlines", "Live",
    "Look", "ManifestProblems", "Metadata", "Options", "Output", "Placement", "Plugins", "RenderJob", "RenderJobSpec",
    "Rendition", "Resources", "Retry", "ScenarioRef", "Segments", "Source", "Storage", "Toleration", "Ttl",
    "parse_render_job", "set_path", "settled",
]  # fmt: skip

GROUP = "render.ecg.dev"
VERSION = "v1alpha1"
API_VERSION = "render.ecg.dev/v1alpha1"
KIND = "RenderJob"

# Child names and pod host names add to a job's name (`-seg-999-999`) and must stay within 63 characters.
NAME_LENGTH = 48
NAME_PATTERN = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
PROFILE_PATTERN = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
MANAGER_PATTERN = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9][-A-Za-z0-9._~/]*$"
DEFAULT_MANAGER = "render.ecg.dev/operator"
"""Who does the work where spec.managedBy says nothing."""
NO_BUCKET = "names no bucket; write s3://bucket/key, or choose a place by storage.profile"
SHA256_PATTERN = "^[0-9a-f]{64}$"


Look = Literal["plain", "karaoke", "pop", "loud"]


def _checked_name(name: str) -> str:
    if not re.fullmatch(NAME_PATTERN, name):
        raise ValueError(f"{name!r} is not made of lower-case letters and digits, with '-' only between them")
    return name


def _checked_sha256(digest: str) -> str:
    if not re.fullmatch(SHA256_PATTERN, digest):
        raise ValueError(f"{digest!r} is not made of 64 hexadecimal digits in lower case")
    return digest


def _checked_manager(name: str) -> str:
    if not re.fullmatch(MANAGER_PATTERN, name):
        raise ValueError(f"{name!r} is not a name with a domain before it, such as example.com/controller")
    return name


class Metadata(ManifestModel):
    """Name and labels; whatever else Kubernetes keeps here is accepted and left alone."""

    model_config = ConfigDict(extra="allow")

    name: Annotated[str, AfterValidator(_checked_name)] = Field(
        max_length=NAME_LENGTH,
        json_schema_extra={"pattern": NAME_PATTERN},
        description="Lower-case letters, digits and '-', at most 48 characters.",
    )
    namespace: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class Source(ManifestModel):
    """The video that gets captions."""

    uri: ReadableUri = Field(
        description="Where the video is: s3://bucket/key or https://; on one machine also file:// or a path relative "
        "to the manifest. Any container and codec that FFmpeg decodes."
    )


class ConfigMapRef(ManifestModel):
    """One entry of a ConfigMap in the job's namespace."""

    name: Text = Field(description="Name of the ConfigMap.")
    key: Text = Field(description="Entry that holds the scenario as JSON text.")


class ScenarioRef(ManifestModel):
    """The MotionText scenario, given in exactly one of three ways."""

    inline: dict[str, JsonValue] | None = Field(
        default=None,
        description="The scenario itself. For short ones: on a cluster at most 64 KiB; put longer ones into "
        "storage (uri).",
    )
    uri: ReadableUri | None = Field(
        default=None,
        description="Where the scenario's JSON is: s3://bucket/key or https://; on one machine also file:// or a path "
        "relative to the manifest. It may also be subtitles (.srt, .vtt, .ass, .ttml, .lrc), or a transcript in JSON "
        "as speech recognition writes it (docs/captions.md).",
    )
    config_map_ref: ConfigMapRef | None = Field(
        default=None, description="A ConfigMap entry with the scenario's JSON; on a cluster only."
    )
    sha256: Annotated[str, AfterValidator(_checked_sha256)] | None = Field(
        default=None,
        json_schema_extra={"pattern": SHA256_PATTERN, "maxLength": 64},
        description="SHA-256 of the bytes behind uri or configMapRef, 64 hexadecimal digits; other bytes are "
        "then refused.",
    )
    look: Look | None = Field(
        default=None,
        description="How subtitles and transcripts look: plain, or with each word as it is spoken: karaoke (what is "
        "taken) colours it, pop lets it hop, loud makes it grow. A MotionText scenario has a look of its own.",
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = {"inline": self.inline, "uri": self.uri, "configMapRef": self.config_map_ref}
        given = [name for name, value in ways.items() if value is not None]
        if len(given) != 1:
            found = " and ".join(given) if given else "none"
            raise ValueError(f"give exactly one of inline, uri and configMapRef; found {found}")
        if self.sha256 and self.inline is not None:
            raise ValueError("sha256 belongs to uri or configMapRef, not to inline")
        return self


class Plugins(ManifestModel):
    """Where the plugins of the captions come from."""

    origin: WebUri | None = Field(
        default=None,
        description="Server of the caption editor's plugins, such as https://plugins.example.com; a plugin is below it "
        "at /plugins/NAME@VERSION/. One of those that the settings allow (ECG_PLUGIN_ORIGINS). Omitted: "
        "ECG_PLUGIN_ORIGIN, and without that the renderer's own plugins.",
    )


class Output(ManifestModel):
    """Where the finished video goes."""

    uri: WritableUri = Field(
        description="Where to write the video: s3://bucket/key; on one machine also file:// or a path. The name "
        "appears only when the video is complete and checked. With spec.storage also s3:///key, in its bucket."
    )
    public_base_url: WebUri | None = Field(
        default=None,
        description="Address of the output's folder for people, for example of a CDN; the result's url is "
        "this plus the file's name. Omitted: a presigned URL for s3://.",
    )
    presign_seconds: int = Field(
        default=604_800,
        ge=60,
        le=604_800,
        description="How long a presigned URL of the output stays valid, in seconds; 7 days are S3's limit.",
    )


class Storage(ManifestModel):
    """In which of the places that the settings name results lie."""

    profile: Annotated[str, AfterValidator(_checked_name)] = Field(
        max_length=32,
        json_schema_extra={"pattern": PROFILE_PATTERN},
        description="Storage profile of the settings (ECG_STORAGE_PROFILES), or auto: the one of the source's bucket "
        "or region. Addresses of results may then leave out the bucket: s3:///rendered/talk.mp4.",
    )


class Live(ManifestModel):
    """Watching the video while it renders: an HLS playlist of what is finished, which grows until the end."""

    uri: LocalUri | None = Field(
        default=None,
        description="On one machine: folder for live.m3u8 and what belongs to it, file:// or a path. Omitted: beside "
        "the output, such as talk-live for talk.mp4. In a cluster the HTTP service hands out the playlist, and this "
        "is omitted.",
    )


class Callback(ManifestModel):
    """Whom to tell about progress and the result; a failing callback never changes the result."""

    url: WebUri = Field(
        description="Address that gets a POST for progress and for the result, from the HTTP service of the job's "
        "namespace, which signs it if it has a secret. Where no service runs, nobody is told."
    )


class RenderJobSpec(ManifestModel):
    """What to render, how, and where the result goes."""

    source: Source = Field(description="The video that gets captions.")
    scenario: ScenarioRef = Field(description="The MotionText scenario, given in exactly one of three ways.")
    plugins: Plugins = Field(default=Plugins(), description="Where the plugins of the captions come from.")
    options: Options = Field(default=Options(), description="Size, rate, quality, format.")
    output: Output = Field(description="Where the finished video goes.")
    storage: Storage | None = Field(
        default=None,
        description="In which of the settings' places results lie. Omitted: where their addresses say.",
    )
    renditions: Annotated[list[Rendition], Field(max_length=MOST_RENDITIONS)] = Field(
        default=[],
        description="What else to make in the same go, at most 16: other shapes and formats, the captions alone, files "
        "of subtitles. One that fails does not lose the others; the job then ends as failed.",
    )
    live: Live | None = Field(
        default=None,
        description="Lets people watch what is finished while the rest renders. Omitted: nobody can.",
    )
    callback: Callback | None = Field(default=None, description="Whom to tell. Omitted: nobody.")
    segments: Segments = Field(default=Segments(), description="How far the video may be cut up.")
    placement: Placement = Field(default=Placement(), description="Where a cluster runs the segments.")
    retry: Retry = Field(default=Retry(), description="How often a failed segment is tried again.")
    deadlines: Deadlines = Field(default=Deadlines(), description="After how long a job is given up.")
    ttl: Ttl = Field(default=Ttl(), description="How long a finished RenderJob is kept.")
    managed_by: Annotated[str, AfterValidator(_checked_manager)] | None = Field(
        default=None,
        min_length=3,
        max_length=63,
        json_schema_extra={"pattern": MANAGER_PATTERN},
        description="Controller that does the work, such as kueue.x-k8s.io/multikueue; any but the one so named leaves "
        "the job alone. Omitted: render.ecg.dev/operator.",
    )
    priority: int = Field(
        default=0,
        ge=-1000,
        le=1000,
        description="Of the jobs of a namespace those with a higher number are admitted first, equal ones by age; "
        "between namespaces places are shared evenly. The pods' own priority is placement.priorityClassName.",
    )
    reuse: bool = Field(
        default=True,
        description="Take finished pieces of video from earlier renders of the same source, where nothing in them "
        "changed, and keep new ones: in a cluster those of the namespace, on one machine the user's.",
    )
    suspend: bool = Field(
        default=False,
        description="True stops the pods and keeps finished segments; false goes on from there.",
    )
    cancel: bool = Field(
        default=False,
        description="True ends the job for good within seconds; the object stays, with the reason. Cannot be taken "
        "back.",
    )

    @model_validator(mode="after")
    def _own_addresses(self) -> Self:
        check_addresses(self.output.uri, self.renditions, source=self.source.uri)
        if self.live is not None:
            check_live_folder(self.live.uri, self.output.uri, [*(one.uri for one in self.renditions), self.source.uri])
        results = {"output.uri": self.output.uri}
        results |= {f"renditions[{number}].uri": one.uri for number, one in enumerate(self.renditions)}
        for field, uri in results.items() if self.storage is None else ():
            if uri.startswith("s3:///"):
                raise ValueError(f"{field}: {NO_BUCKET}")
        return self


class RenderJob(ManifestModel):
    """Burns the animated captions of a MotionText scenario into a video."""

    api_version: Literal["render.ecg.dev/v1alpha1"]
    kind: Literal["RenderJob"]
    metadata: Metadata
    spec: RenderJobSpec
    status: RenderJobStatus | None = None


def parse_render_job(data: object, *, pruned: bool = False) -> RenderJob:
    """Return the RenderJob that a manifest, as read from YAML or JSON, describes.

    `pruned`: it comes from an API server, which keeps no field that its CRD does not know. One that is unknown here is
    then of a newer CRD, and is passed over: an upgrade, or a rollback, must not end the jobs that are there. So are
    fractions taken that an earlier CRD let in.
    Raises ManifestProblems with one line for each problem, such as `spec.options.quality: 150 is above 100`.
    """
    if not isinstance(data, dict):
        raise ManifestProblems(["manifest: must be a mapping with apiVersion, kind, metadata and spec"])
    manifest: dict[Any, Any] = _admitted_earlier(data) if pruned else data
    try:
        extra: Literal["ignore"] | None = "ignore" if pruned else None
        return RenderJob.model_validate(manifest, by_alias=True, by_name=False, extra=extra)
    except ValidationError as error:
        raise ManifestProblems(describe(error, RenderJob)) from error


def _admitted_earlier(manifest: dict[Any, Any]) -> dict[Any, Any]:
    """Return a manifest without the fractions that were let in where whole seconds, and amounts as text, now are."""
    spec = manifest.get("spec")
    segments, placement = (spec.get(part) for part in ("segments", "placement")) if isinstance(spec, dict) else (0, 0)
    changes: dict[str, Any] = {}
    if isinstance(segments, dict) and isinstance(seconds := segments.get("targetSeconds"), float):
        changes["segments"] = {**segments, "targetSeconds": math.ceil(seconds)}
    if isinstance(placement, dict) and isinstance(resources := placement.get("resources"), dict):
        amounts = {part: named for part, named in resources.items() if isinstance(named, dict)}
        texts = {
            part: {name: str(amount) if isinstance(amount, float) else amount for name, amount in named.items()}
            for part, named in amounts.items()
        }
        changes["placement"] = {**placement, "resources": texts}
    return {**manifest, "spec": {**spec, **changes}} if isinstance(spec, dict) and changes else manifest


class Places(Protocol):
    """Named places for results. All raise ValueError with a sentence."""

    def chosen(self, name: str, source: str) -> str:
        """Return the place for a job whose video is at `source`."""

    def kept(self, name: str, bucket: str) -> str:
        """Return the place `name` of a job that has begun with that bucket."""

    def address(self, name: str, uri: str) -> str:
        """Return where in the place a result's `uri` lies."""


def settled(job: RenderJob, places: Callable[[], Places], begun: StorageStatus | None = None) -> RenderJob:
    """Return a job whose results have whole addresses; `places` gives what spec.storage chooses among.

    A job that was let in keeps the place that it has `begun` with. Raises ManifestProblems for a place that is not
    there, and for results that lie elsewhere.
    """
    spec = job.spec
    if spec.storage is None:
        return job
    try:
        found = places()
        if begun is None:
            name = found.chosen(spec.storage.profile, spec.source.uri)
        else:
            name = found.kept(begun.profile, begun.bucket)
    except ValueError as error:
        raise ManifestProblems([f"spec.storage.profile: {error}"]) from None
    problems: list[str] = []

    def whole(field: str, uri: str) -> str:
        try:
            return found.address(name, uri)
        except ValueError as error:
            problems.append(f"{field}: {error}")
            return uri

    output = spec.output.model_copy(update={"uri": whole("spec.output.uri", spec.output.uri)})
    renditions = [
        one.model_copy(update={"uri": whole(f"spec.renditions[{number}].uri", one.uri)})
        for number, one in enumerate(spec.renditions)
    ]
    if problems:
        raise ManifestProblems(problems)
    try:  # once more: now what named no bucket may turn out to be one place
        check_addresses(output.uri, renditions, source=spec.source.uri)
    except ValueError as error:
        raise ManifestProblems([f"spec.{error}"]) from None
    changes = {"output": output, "renditions": renditions, "storage": None}
    return job.model_copy(update={"spec": spec.model_copy(update=changes)})
