"""The CustomResourceDefinition of RenderJob, built from its models; `python -m ecg_api.crd` prints it.

Bounds, enums and defaults come from the models. Rules that need more than one value, and those that hold on a
cluster only, are CEL expressions below, each with a message for the person whose manifest is refused.
"""

from __future__ import annotations

import re
import sys
from typing import Any

import yaml

from ecg_api.options import HDR_CODECS, NO_SOFT_SUBTITLES, WEBM_CODECS
from ecg_api.renderjob import API_VERSION, GROUP, KIND, NO_BUCKET, VERSION, Metadata, RenderJob, RenderJobSpec
from ecg_api.renditions import NO_ALPHA, ONE_ADDRESS, SUBTITLES_ARE_TEXT, WEBM_MEANS
from ecg_api.status import RenderJobStatus
from ecg_api.structural import KEEP_UNKNOWN, Schema, input_schema, output_schema

HEADER = "# Generated from the models in ecg_api by `make manifests`; change those.\n"

# What may change while a job exists; everything else of the spec would change what is being rendered.
MUTABLE = ("suspend", "cancel", "priority", "ttl", "deadlines")

# Parts in which the CRD of commit 564b649 let fractions in, where whole numbers or text now have to be.
FRACTIONS_ONCE = ("options", "segments", "placement")

# CEL's equality overlooks that one unknown field of an object has taken another one's place. What has a name here
# is compared as a whole, so what is read of a scenario and of a pod template cannot change after creation.
SCENARIO_PARTS = ("version", "pluginApiVersion", "timebase", "stage", "define", "definitions", "tracks")
TEMPLATE_PARTS = {
    "metadata": "Annotations and labels.",
    "spec": "Of a pod's spec affinity, containers (of the one called renderer: env, resources, volumeMounts), "
    "dnsConfig, dnsPolicy, hostAliases, nodeSelector, schedulerName, tolerations, topologySpreadConstraints, volumes.",
}
ANYTHING = {KEEP_UNKNOWN: True}

# An inline scenario may have 64 KiB, which the API server cannot weigh; it can only count cues. The shortest ones in
# use have 130 bytes: more than this many never fit.
INLINE_CUES = 500

PRINTER_COLUMNS = (
    ("Phase", "string", ".status.phase", 0),
    ("Reason", "string", ".status.reason", 0),
    ("Progress", "integer", ".status.progress.percent", 0),
    ("Segments", "string", ".status.segments.summary", 0),
    ("ETA", "string", ".status.progress.eta", 0),
    ("Encoder", "string", ".status.encoder", 0),
    ("Age", "date", ".metadata.creationTimestamp", 0),
    ("FPS", "number", ".status.progress.framesPerSecond", 1),
    ("Output", "string", ".status.output.uri", 1),
    ("Live", "string", ".status.live.url", 1),
)

# On one machine, without this CRD, file:// and paths are fine. A pod's own disk has nothing that a job's author put
# there, much that is none of their business, and goes with the pod.
READABLE = ("self.matches('^(s3|https)://.')", "must start with s3:// or https://; pods do not see other files")
WRITABLE = (
    "self.startsWith('s3://') && self.size() > 5",
    "must start with s3://; only there does the result outlive its pod",
)
WEB = ("self.matches('^https?://[^/]')", "must be an https:// or http:// address")


def _ends(suffixes: str) -> str:
    return f"self.uri.matches('(?i)[.]({suffixes})$')"


_VIDEO = f"has(self.content) ? self.content == 'video' : {_ends('mp4')}"

_AV1 = _ends("mp4|webm")
_CODEC_FITS = (
    f"self.codec == 'prores' ? {_ends('mov')} && !({_VIDEO}) : self.codec == 'vp9' ? {_ends('webm')} : "
    f"({_VIDEO}) && (self.codec == 'av1' ? {_AV1} : {_ends('mp4|mov')})"
)

CEL_RULES = (
    ("source.uri", *READABLE),
    ("scenario.uri", *READABLE),
    ("output.uri", *WRITABLE),
    ("output.publicBaseUrl", *WEB),
    ("live", "!has(self.uri)", "uri is a folder of one machine; in a cluster the HTTP service hands out the playlist"),
    ("callback.url", *WEB),
    (
        "scenario",
        "[has(self.inline), has(self.uri), has(self.configMapRef)].filter(given, given).size() == 1",
        "give exactly one of inline, uri and configMapRef",
    ),
    (
        "scenario",
        "!has(self.sha256) || !has(self.inline)",
        "sha256 belongs to uri or configMapRef, not to inline",
    ),
    ("options", "self.format != 'webm' || !has(self.codec) || self.codec == 'av1'", WEBM_CODECS),
    ("options", "self.dynamicRange != 'hdr' || !has(self.codec) || self.codec != 'h264'", HDR_CODECS),
    # Rules are also tried on the default of options, {}, before that has got its own defaults.
    ("options", "!has(self.softSubtitles) || !self.softSubtitles || self.format != 'webm'", NO_SOFT_SUBTITLES),
    ("renditions", "self.all(one, self.exists_one(other, other.uri == one.uri))", ONE_ADDRESS),
    ("renditions.uri", *WRITABLE),
    (
        "renditions.uri",
        "self.matches('(?i)[.](mp4|mov|webm|zip|srt|vtt|ass)$')",
        "must end in .mp4, .mov, .webm, .zip (PNG pictures), .srt, .vtt or .ass",
    ),
    ("renditions[]", f"!{_ends('webm')} || has(self.content)", WEBM_MEANS),
    (
        "renditions[]",
        f"!has(self.content) || self.content != 'captions' || {_ends('mov|webm|zip')}",
        NO_ALPHA,
    ),
    (
        "renditions[]",
        f"!has(self.content) || self.content != 'video' || {_ends('mp4|mov|webm')}",
        "content video is written as .mp4, .mov or .webm",
    ),
    (
        "renditions[]",
        f"!has(self.content) || self.content != 'subtitles' || {_ends('srt|vtt|ass')}",
        "content subtitles is written as .srt, .vtt or .ass",
    ),
    (
        "renditions[]",
        f"!{_ends('srt|vtt|ass')} || !(has(self.codec) || has(self.width) || has(self.height) || has(self.fit) || "
        "has(self.focus) || has(self.quality))",
        SUBTITLES_ARE_TEXT,
    ),
    (
        "renditions[]",
        "!has(self.format) || self.uri.lowerAscii().endsWith(self.format == 'png' ? '.zip' : '.' + self.format)",
        "format must be what the address ends in",
    ),
    (
        "renditions[]",
        f"!has(self.codec) || ({_CODEC_FITS})",
        "the codec does not go with content and suffix: a video's h264 and hevc go into .mp4 and .mov, av1 into .mp4 "
        "and .webm, vp9 into .webm; captions alone take prores in .mov and vp9 in .webm",
    ),
    ("cancel", "!oldSelf || self", "cannot be taken back; create another RenderJob"),
)


def custom_resource_definition() -> dict[str, Any]:
    """Return the CustomResourceDefinition, ready to be written as YAML."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"renderjobs.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": "renderjobs",
                "singular": "renderjob",
                "shortNames": ["rj"],
                # Not `all`: who deletes all of a namespace's workloads does not mean the record of finished videos.
                "categories": ["render"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [_column(*column) for column in PRINTER_COLUMNS],
                    "selectableFields": [{"jsonPath": ".status.phase"}],
                    "schema": {"openAPIV3Schema": _schema()},
                }
            ],
        },
    }


def _schema() -> Schema:
    return {
        "type": "object",
        "description": RenderJob.__doc__,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "enum": [API_VERSION]},
            "kind": {"type": "string", "enum": [KIND]},
            "metadata": _metadata_schema(),
            "spec": _spec_schema(),
            "status": _status_schema(),
        },
    }


def _metadata_schema() -> Schema:
    """Return the only restriction that a definition may put on metadata: that of the name."""
    name = input_schema(Metadata)["properties"]["name"]
    return {"type": "object", "properties": {"name": name}}


def _spec_schema() -> Schema:
    spec = input_schema(RenderJobSpec)
    cues = {"type": "array", "maxItems": INLINE_CUES, "items": {**ANYTHING, "nullable": True}}
    _part(spec, "scenario.inline")["properties"] = {name: dict(ANYTHING) for name in SCENARIO_PARTS} | {"cues": cues}
    template = _part(spec, "placement.podTemplateOverrides")
    del template[KEEP_UNKNOWN]
    template["properties"] = {name: {"description": said, **ANYTHING} for name, said in TEMPLATE_PARTS.items()}
    for path, rule, message in CEL_RULES:
        _part(spec, path).setdefault("x-kubernetes-validations", []).append({"rule": rule, "message": message})
    spec["x-kubernetes-validations"] = [
        {"rule": "!has(self.renditions) || !self.renditions.exists(one, one.uri == self.output.uri)"}
        | {"message": ONE_ADDRESS, "fieldPath": ".renditions"},
        {"rule": "has(self.storage) || !self.output.uri.startsWith('s3:///')"}
        | {"message": NO_BUCKET, "fieldPath": ".output.uri"},
        {
            "rule": "has(self.storage) || !has(self.renditions) || !self.renditions.exists(one, one.uri.startsWith('s3:///'))"
        }
        | {"message": NO_BUCKET, "fieldPath": ".renditions"},
        *(_unchanged(name, name in spec["required"]) for name in spec["properties"] if name not in MUTABLE),
    ]
    return spec


def _status_schema() -> Schema:
    """Return the status' schema; conditions merge by type, so that server-side apply can own single ones."""
    status = output_schema(RenderJobStatus)
    _part(status, "conditions").update({"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]})
    return status


def _unchanged(name: str, required: bool) -> dict[str, str]:
    same = f"self.{name} == oldSelf.{name}"
    if name in FRACTIONS_ONCE:
        # A rule that reads such a fraction fails, and with it every write. Of lists only entries that differ count
        # (docs/decisions/0012).
        same = f"[self.{name}] == [oldSelf.{name}]"
    if not required:
        same = f"has(self.{name}) == has(oldSelf.{name}) && (!has(self.{name}) || {same})"
    return {
        "rule": same,
        "message": "cannot be changed after creation; create another RenderJob",
        "fieldPath": f".{name}",
        "reason": "FieldValueForbidden",
    }


def _part(schema: Schema, path: str) -> Schema:
    """Return the part at `path`; a list's entries are passed through on the way to a field, or named by `[]`."""
    for name in path.removesuffix("[]").split("."):
        schema = schema.get("items", schema)["properties"][name]
    return schema["items"] if path.endswith("[]") else schema


def _column(name: str, kind: str, json_path: str, priority: int) -> dict[str, Any]:
    column = {"name": name, "type": kind, "jsonPath": json_path}
    return {**column, "priority": priority} if priority else column


class _Yaml11(yaml.SafeDumper):
    """Quotes what readers of YAML 1.1 take for true and false: kubectl's does so with a property called y."""


_Yaml11.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^[yYnN]$"), list("yYnN"))


def to_yaml() -> str:
    """Return the definition as the text of `crds/renderjob.yaml`."""
    return HEADER + yaml.dump(custom_resource_definition(), Dumper=_Yaml11, sort_keys=False, width=110)


if __name__ == "__main__":
    sys.stdout.write(to_yaml())
