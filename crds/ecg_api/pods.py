"""What the operator and the renderer pods say to each other.

    operator ── environment (JOB, WORK_URI, SEGMENTS) ──> pod
    operator <── /progress on port 8091 (PodProgress) ── pod
    operator <── termination message (a report) ──────── pod
    pods ── work files below the work URI (WorkFiles) ── pods

A report is one line of JSON of at most 4,096 bytes, the most that Kubernetes keeps of a termination message; one with
many results may be compressed.
"""

from __future__ import annotations

import zlib
from base64 import b85decode, b85encode
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from ecg_api.base import StoredModel
from ecg_api.failures import Failure
from ecg_api.status import OutputStatus, PlanSummary, RenderMetrics, RenditionStatus, TakeNotes

REPORT_BYTES = 4096
_PACKED = "z:"
_MOST_UNPACKED = 256 * 1024
"""What goes from a report into a status has to fit into an object of etcd, of which 1.5 MB are the most."""
_BRIEF = 1200
_SHORT = 1000
"""Characters of a report that is kept decoded: a segment's has 400. Whatever is in it takes 40 kB of memory, and what
is in a compressed one may take thousands."""


class WorkFiles:
    """Where the work files of a job are, relative to its work URI."""

    PLAN = "plan.json"
    SCENARIO = "scenario.json"
    ENCODER = "encoder.json"
    CELLS = "cells"
    """Folder of finished pieces of video, of a job that shares none with others."""
    PLUGINS = "plugins"
    """Folder of the files of fetched plugins, each called by its SHA-256."""
    SOURCE = "source"
    """Folder of a video whose server sends it only as a whole."""

    @staticmethod
    def of_take(name: str, take: int) -> str:
        """Return what `name`, such as plan.json, is called of the `take`th size of a job; the main one is 0."""
        stem, _, suffix = name.rpartition(".")
        return f"{stem}-{take}.{suffix}" if take else name


class MergeReport(StoredModel):
    """The output has its final name."""

    kind: Literal["merge"] = "merge"
    output: OutputStatus
    outputs: list[RenditionStatus] = Field(
        default_factory=list, description="All results of a job with renditions, failed ones included."
    )
    warnings: list[str] = Field(default_factory=list)


class SegmentReport(StoredModel):
    """One segment is in storage."""

    kind: Literal["segment"] = "segment"
    segment: int = Field(ge=0)
    frames: int = Field(ge=1)
    encoder: str
    encoder_reason: str = Field(default="", description="Why this encoder and not another.")
    reused: bool = Field(default=False, description="It was in storage already.")
    metrics: RenderMetrics
    warnings: list[str] = Field(default_factory=list, description="What a person should know, found while rendering.")
    merged: MergeReport | None = Field(default=None, description="The only segment's pod made the output, too.")


class PlanReport(StoredModel):
    """The plan is in storage."""

    kind: Literal["plan"] = "plan"
    plan: PlanSummary
    segments: int = Field(ge=0, description="Segments of the plan; 0 if all that there is to render is in storage.")
    takes: list[TakeNotes] = Field(
        default_factory=list, description="How the segments are shared among the sizes of a job with renditions."
    )
    concerns: int = Field(
        default=0, ge=0, description="So many of the plan's warnings, the first, are for a person to look at."
    )
    rendered: SegmentReport | None = Field(
        default=None, description="The pod went on with the only segment, and made the output."
    )


class CleanReport(StoredModel):
    """The work files are gone."""

    kind: Literal["clean"] = "clean"
    files: int = Field(ge=0, description="Files removed.")


class FailureReport(StoredModel):
    """The pod failed; its exit code belongs to the failure's code."""

    kind: Literal["failure"] = "failure"
    failure: Failure
    plan_again: bool = Field(
        default=False, description="The plan, or pieces that it counts on, are gone, or another release's."
    )


Report = PlanReport | SegmentReport | MergeReport | CleanReport | FailureReport
_REPORT: TypeAdapter[Report] = TypeAdapter(Annotated[Report, Field(discriminator="kind")])


class PodProgress(StoredModel):
    """What a renderer pod answers on /progress."""

    stage: str = Field(default="starting", description="planning, starting, rendering, uploading or merging.")
    segment: int | None = Field(default=None, ge=0)
    frames_done: int = Field(default=0, ge=0, description="Frames of this pod's segment, or of the merge.")
    frames_total: int = Field(default=0, ge=0)
    frames_per_second: float | None = Field(default=None, ge=0)
    encoder: str = ""
    encoder_reason: str = ""
    capture: str = ""
    frames_dropped: int = Field(default=0, ge=0)
    memory_mb: float = Field(default=0, ge=0)


def encode_report(report: Report) -> str:
    """Return `report` as one line of at most REPORT_BYTES bytes.

    What does not fit is compressed, if it is a list of results; else log lines, then long texts, are shortened.
    """
    text = _dumped(report)
    if len(text.encode()) <= REPORT_BYTES:
        return text
    if isinstance(report, FailureReport):
        return _dumped(_shortened_failure(report))
    if isinstance(report, PlanReport):
        shorter = _shorter_segments(report.rendered) if report.rendered else [None]
        return _packed(one for rendered in shorter for one in _shorter_plans(report, rendered))
    if isinstance(report, MergeReport):
        return _packed(_shorter_merges(report))
    if isinstance(report, SegmentReport):
        return _packed(_shorter_segments(report))
    raise ValueError(f"a {report.kind} report of {len(text)} characters does not fit")


def decode_report(text: str | None) -> Report | None:
    """Return the report in a termination message; None if it holds none, as when a container was killed."""
    if not text:
        return None
    return _decoded_once(text) if len(text) <= _SHORT and not text.startswith(_PACKED) else _decoded(text)


def _decoded(text: str) -> Report | None:
    if len(text) > _MOST_UNPACKED:
        return None
    try:
        if text.startswith(_PACKED):
            unpacking = zlib.decompressobj()
            text = unpacking.decompress(b85decode(text.removeprefix(_PACKED)), _MOST_UNPACKED).decode()
        return _REPORT.validate_json(text)
    except (ValueError, zlib.error):
        return None


_decoded_once = lru_cache(1024)(_decoded)
"""Each look at a job reads what all its pods have reported."""


def _dumped(report: Report) -> str:
    return report.model_dump_json(exclude_none=True)


def _packed(reports: Iterable[Report]) -> str:
    """Return the first of `reports` that fits, compressed where it has to be."""
    for report in reports:
        raw = _dumped(report).encode()
        text = raw.decode() if len(raw) <= REPORT_BYTES else _PACKED + b85encode(zlib.compress(raw, 9)).decode()
        if len(text.encode()) <= REPORT_BYTES:
            return text
    raise ValueError("not even the shortest report fits")


def _shorter_plans(report: PlanReport, rendered: SegmentReport | None) -> Iterator[PlanReport]:
    """Yield a report with as many warnings as there is room for, and then without addresses."""
    bare = report.model_copy(update={"plan": report.plan.model_copy(update={"warnings": []}), "rendered": None})
    room = _BRIEF if rendered else REPORT_BYTES - len(_dumped(bare).encode())
    kept = {"warnings": _shortened(report.plan.warnings, room)}
    for left_out in ({}, {"live_uri": None}, {"live_uri": None, "uri": ""}):
        plan = report.plan.model_copy(update={**kept, **left_out})
        yield report.model_copy(update={"plan": plan, "rendered": rendered})


def _shorter_segments(report: SegmentReport) -> Iterator[SegmentReport]:
    """Yield a report with fewer warnings, and what it says of the output ever shorter."""
    brief = report.model_copy(update={"warnings": _shortened(report.warnings, _BRIEF)})
    for merged in _shorter_merges(report.merged) if report.merged else [None]:
        yield brief.model_copy(update={"merged": merged})


def _shorter_merges(report: MergeReport) -> Iterator[MergeReport]:
    """Yield a report and shorter ones: failures in brief, fewer warnings, then no addresses that can be signed anew.

    In the end results are left out, finished ones first; a warning says so.
    """
    yield report
    brief = [output.model_copy(update={"failure": _in_brief(output.failure)}) for output in report.outputs]
    for limit in (1600, 800, 0):
        report = report.model_copy(update={"outputs": brief, "warnings": _shortened(report.warnings, limit)})
        yield report
    bare = [one.model_copy(update={"url": None, "replica": None}) for one in brief]
    unsigned = sorted(bare, key=lambda one: one.failure is None)
    for left in range(len(unsigned), -1, -1):
        said = [f"{len(unsigned) - left} results are made, but not listed: their addresses are too long."]
        yield report.model_copy(update={"outputs": unsigned[:left], "warnings": said if left < len(unsigned) else []})


def _in_brief(failure: Failure | None) -> Failure | None:
    changes = {"message": _cut(failure.message, 120), "hint": "", "log_tail": []} if failure else {}
    return failure.model_copy(update=changes) if failure else None


def _shortened_failure(report: FailureReport) -> FailureReport:
    failure = report.failure
    changes = {
        "message": _cut(failure.message, 1200),
        "hint": _cut(failure.hint, 400),
        "log_tail": _shortened(failure.log_tail[::-1], 1200)[::-1],
    }
    return report.model_copy(update={"failure": failure.model_copy(update=changes)})


def _shortened(texts: list[str], limit: int) -> list[str]:
    """Return the first of `texts` that take at most `limit` bytes in JSON together, each cut at 300."""
    kept: list[str] = []
    for text in texts:
        cut = _cut(text, 300)
        limit -= _json_bytes(cut) + 1
        if limit < 0:
            break
        kept.append(cut)
    return kept


def _cut(text: str, limit: int) -> str:
    """Return the beginning of `text` that takes at most `limit` bytes in JSON, with an ellipsis if it is cut."""
    if _json_bytes(text) <= limit:
        return text
    while text and _json_bytes(text) > limit - 3:
        text = text[: len(text) - max(1, (_json_bytes(text) - limit) // 6)]
    return f"{text}…"


def _json_bytes(text: str) -> int:
    return len(TypeAdapter(str).dump_json(text))
