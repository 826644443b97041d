from __future__ import annotations

import hashlib
import json
import tracemalloc
import zlib
from base64 import b85encode
from collections.abc import Callable

import pytest

from ecg_api.failures import Failure, FailureCode
from ecg_api.names import Role, child_name
from ecg_api.pods import (
    REPORT_BYTES,
    CleanReport,
    FailureReport,
    MergeReport,
    PlanReport,
    Report,
    SegmentReport,
    decode_report,
    encode_report,
)
from ecg_api.ranges import MOST_NUMBERS, format_ranges, parse_ranges
from ecg_api.renderjob import NAME_LENGTH
from ecg_api.status import OutputStatus, PlanSummary, RenderMetrics, RenditionStatus, TakeNotes

PLAN = PlanSummary(width=1920, height=1080, rate="30000/1001", frames=900)
OUTPUT = OutputStatus(uri="s3://b/o.mp4", size_bytes=9, duration_seconds=1.5, frames=45, sha256="0" * 64)
FAILURE = Failure(code=FailureCode.FFMPEG_ERROR, message="FFmpeg failed.", retryable=True, segment=3, frame=71)

MERGED = MergeReport(output=OUTPUT, warnings=["one"])
SEGMENT = SegmentReport(segment=3, frames=225, encoder="x264", metrics=RenderMetrics(frames_processed=225))

REPORTS = [
    PlanReport(plan=PLAN, segments=4),
    PlanReport(plan=PLAN, segments=1, rendered=SEGMENT.model_copy(update={"segment": 0, "merged": MERGED})),
    SEGMENT,
    MERGED,
    CleanReport(files=7),
    FailureReport(failure=FAILURE),
]


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: report.kind)
def test_a_report_reads_back_as_it_was(report: Report) -> None:
    text = encode_report(report)
    assert "\n" not in text
    assert decode_report(text) == report


@pytest.mark.parametrize("filler", ["x", "한", "\x01", '"'], ids=["plain", "three bytes", "escaped", "quotes"])
def test_however_long_its_texts_a_report_fits_a_termination_message(filler: str) -> None:
    lines = [f"line {number} {filler * 700}" for number in range(40)]
    failure = FAILURE.model_copy(update={"message": filler * 9000, "hint": filler * 9000, "log_tail": lines})
    reports = [
        FailureReport(failure=failure),
        PlanReport(plan=PLAN.model_copy(update={"uri": "s3://b/plan.json", "warnings": lines}), segments=1000),
        PlanReport(
            plan=PLAN.model_copy(update={"uri": f"s3://{'u' * 800}", "live_uri": "u" * 800, "warnings": lines}),
            segments=1088,
            takes=[TakeNotes(segments=64, renditions=[number]) for number in range(17)],
        ),
        MergeReport(output=OUTPUT.model_copy(update={"url": f"https://h/{'u' * 1500}"}), warnings=lines),
        SegmentReport(segment=1, frames=9, encoder="x264", metrics=RenderMetrics(), warnings=lines),
    ]
    signed = OUTPUT.model_copy(update={"url": f"https://h/{'u' * 1500}"})
    merged = MergeReport(output=signed, outputs=signed_outputs(8, "b" * 300), warnings=lines)
    rendered = SEGMENT.model_copy(update={"warnings": lines, "merged": merged})
    reports += [rendered, reports[1].model_copy(update={"segments": 1, "rendered": rendered})]
    for report in reports:
        text = encode_report(report)
        assert len(text.encode()) <= REPORT_BYTES
        assert decode_report(text) is not None


def signed_outputs(count: int, bucket: str) -> list[RenditionStatus]:
    token = "".join(hashlib.sha512(bytes([n])).hexdigest() for n in range(3))
    outputs = []
    for number in range(count):
        digest = hashlib.sha256(bytes([number])).hexdigest()
        uri = f"s3://{bucket}/rendered/{digest[:12]}/vertical-{number}.mp4"
        url = f"https://{uri[5:]}?X-Amz-Security-Token={token}&X-Amz-Signature={digest[::-1]}"
        values = {"size_bytes": 10**9 + number, "frames": 90_000, "sha256": digest}
        outputs.append(RenditionStatus(name=f"vertical-{number}.mp4", content="video", uri=uri, url=url, **values))
    return outputs


def test_sixteen_renditions_keep_their_signed_addresses() -> None:
    outputs = signed_outputs(17, "bucket")
    merged = MergeReport(output=OUTPUT, outputs=outputs, warnings=["one"])
    segment = SegmentReport(segment=0, frames=9, encoder="x264", metrics=RenderMetrics(), merged=merged)
    for report in (merged, segment):
        text = encode_report(report)
        assert len(text.encode()) <= REPORT_BYTES
        assert decode_report(text) == report


def test_results_with_addresses_beyond_all_measure_do_not_lose_the_job_nor_what_failed() -> None:
    outputs = signed_outputs(16, "b" * 60)
    outputs = [
        one.model_copy(update={"uri": "".join(hashlib.sha512(f"{n}{one.name}".encode()).hexdigest() for n in range(8))})
        for one in outputs
    ]
    outputs[-1] = outputs[-1].model_copy(update={"failure": FAILURE})
    report = MergeReport(output=OUTPUT, outputs=outputs, warnings=["x" * 5000] * 9)
    text = encode_report(report)
    assert len(text.encode()) <= REPORT_BYTES
    read = decode_report(text)
    assert isinstance(read, MergeReport)
    assert read.output == OUTPUT
    assert read.outputs[0].failure == FAILURE
    left_out = 16 - len(read.outputs)
    assert read.warnings == [f"{left_out} results are made, but not listed: their addresses are too long."]


@pytest.mark.parametrize(
    ("unlike", "kept"),
    [(0, ("uri", "live_uri")), (30, ("uri",)), (60, ())],
    ids=["both addresses", "that of the plan", "none"],
)
def test_a_plan_with_addresses_beyond_all_measure_is_still_told(unlike: int, kept: tuple[str, ...]) -> None:
    """`unlike` times 128 letters of an address are such as cannot be compressed well."""
    tail = "é" * 900 + "".join(hashlib.sha512(bytes([n])).hexdigest() for n in range(unlike))
    takes = [TakeNotes(segments=64, renditions=[number]) for number in range(17)]
    given = {"uri": f"s3://{tail}", "live_uri": f"s3://{tail[::-1]}", "warnings": ["said"]}
    report = PlanReport(plan=PLAN.model_copy(update=given), segments=1088, takes=takes)
    text = encode_report(report)
    assert len(text.encode()) <= REPORT_BYTES
    read = decode_report(text)
    assert isinstance(read, PlanReport)
    assert (read.segments, read.takes) == (1088, takes)
    assert tuple(name for name in ("uri", "live_uri") if getattr(read.plan, name)) == kept


def test_of_a_long_log_the_last_lines_are_kept() -> None:
    lines = [f"line {number} {'x' * 200}" for number in range(40)]
    report = decode_report(encode_report(FailureReport(failure=FAILURE.model_copy(update={"log_tail": lines}))))
    assert isinstance(report, FailureReport)
    assert report.failure.log_tail[-1] == lines[-1]
    assert len(report.failure.log_tail) >= 3
    assert (report.failure.segment, report.failure.frame) == (3, 71)


@pytest.mark.parametrize(
    "text",
    [None, "", "Killed", '{"kind":"segment"}', '{"kind":"plan"', '{"kind":"other"}', "[]", "z:", "z:abc", "z:\u00e9"],
)
def test_what_is_no_report_is_none(text: str | None) -> None:
    assert decode_report(text) is None


def test_reports_that_unpack_to_a_lot_do_not_stay_in_memory_and_to_more_are_none() -> None:
    def bomb(number: int, lines_of_log: int = 200) -> str:
        lines = FAILURE.model_copy(update={"segment": number, "log_tail": ["x" * 1000] * lines_of_log})
        raw = FailureReport(failure=lines).model_dump_json(exclude_none=True).encode()
        return f"z:{b85encode(zlib.compress(raw, 9)).decode()}"

    def plan(number: int, takes: int) -> str:
        # Of all that a report may hold, this takes the most memory for each letter.
        text = PlanReport(plan=PLAN.model_copy(update={"width": number}), segments=1).model_dump_json(exclude_none=True)
        many = ",".join(['{"segments":1}'] * takes)
        return text.replace('"takes":[]', f'"takes":[{many}]')

    bombs, plans = [bomb(number) for number in range(20)], [plan(1000 + number, 250) for number in range(100)]
    short = [plan(1000 + number, 45) for number in range(100)]
    assert max(map(len, bombs)) < REPORT_BYTES
    assert decode_report(bomb(0, lines_of_log=300)) is None, "it would not fit into a status"
    assert held(lambda: [decode_report(text) is not None for text in bombs]) < 1e6
    assert held(lambda: [decode_report(text) is not None for text in plans]) < 1e6
    assert 800 < len(short[0]) <= 1000
    assert held(lambda: [decode_report(text) is not None for text in short]) < 100 * 50e3


def test_ranges_of_very_many_segments_do_not_stay_in_memory() -> None:
    texts = [f"{first}-{first + MOST_NUMBERS - 1}" for first in range(1000, 1040)]
    assert held(lambda: [len(parse_ranges(text)) == MOST_NUMBERS for text in texts]) < 32e6


def held(read: Callable[[], list[bool]]) -> int:
    """Return the bytes that stay allocated after `read`, which says whether each was read."""
    tracemalloc.start()
    try:
        assert all(read())
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def test_a_newer_pods_additional_words_are_passed_over() -> None:
    text = json.dumps({**json.loads(encode_report(CleanReport(files=1))), "bytes": 10})
    assert decode_report(text) == CleanReport(files=1)


@pytest.mark.parametrize(
    ("numbers", "text"),
    [([], ""), ([4], "4"), ([1, 2], "1-2"), ([7, 0, 3, 1, 2], "0-3,7"), ([5, 5, 3], "3,5"), (range(1000), "0-999")],
)
def test_segment_numbers_are_written_as_ranges_and_read_back(numbers: list[int], text: str) -> None:
    assert format_ranges(numbers) == text
    assert parse_ranges(text) == frozenset(numbers)


@pytest.mark.parametrize("text", ["a", "1-b", "-3", "1;2"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        parse_ranges(text)


def test_the_longest_name_leaves_room_for_the_host_name_of_every_child() -> None:
    job = "a" * NAME_LENGTH
    hosts = [f"{child_name(job, role, 999)}-999" for role in Role]
    assert max(map(len, hosts)) <= 63
    assert len(set(hosts)) == len(Role)
