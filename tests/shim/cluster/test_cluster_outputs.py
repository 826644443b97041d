"""Which addresses of finished RenderJobs expire, so that the service signs them anew."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from ecg_api.status import RenditionStatus
from ecg_shim.backends.cluster.render_jobs import Job, read, render_job
from ecg_shim.backends.cluster.settings import ClusterSettings
from ecg_shim.backends.cluster.states import live_status, of_job
from ecg_shim.backends.cluster.tickets import Stage, Ticket
from ecg_shim.backends.storage import SignedOutput, signed_result
from ecg_shim.model import Output
from shim_cluster import OUTPUT

URL, URI = str(OUTPUT["url"]), str(OUTPUT["uri"])


def output_of(wanted: dict[str, Any], public_url: str = "", **status: Any) -> Output | None:
    """Return the output of a RenderJob that has succeeded."""
    meta = {"name": "a", "uid": "1", "resourceVersion": "7", "creationTimestamp": "2026-03-01T12:00:00Z"}
    finished = {"phase": "Succeeded", "output": {**OUTPUT, **status}}
    return of_job(read({"metadata": meta, "spec": {"output": wanted}, "status": finished}), public_url).output


def test_a_presigned_address_is_known_with_the_place_of_the_video() -> None:
    assert output_of({"uri": URI}) == SignedOutput(URL, 5_000_000, 30.5, uri=URI)


def test_with_a_public_address_of_the_service_that_is_told_instead() -> None:
    told = SignedOutput("https://render.example/api/render/a/download", 5_000_000, 30.5, uri=URI, signed=URL)
    assert output_of({"uri": URI}, "https://render.example/") == told


@pytest.mark.parametrize(
    ("wanted", "uri"),
    [
        ({"uri": URI, "publicBaseUrl": "https://videos.example"}, URI),
        ({"uri": "https://store.example/a.mp4"}, "https://store.example/a.mp4"),
    ],
    ids=["published", "not in S3"],
)
def test_a_lasting_address_is_told_as_it_is(wanted: dict[str, Any], uri: str) -> None:
    assert output_of(wanted, uri=uri) == Output(URL, 5_000_000, 30.5)
    assert output_of(wanted, "https://render.example", uri=uri) == Output(URL, 5_000_000, 30.5)


def test_a_job_with_a_storage_profile_leaves_the_bucket_to_the_operator_and_others_name_it() -> None:
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    settings = ClusterSettings(bucket="videos", public_base_url="https://cdn.example.com")
    renditions = [{"uri": "tall.mp4"}]

    def spec(**options: Any) -> Any:
        given = {"format": "mp4", "renditions": renditions, **options}
        ticket = Ticket(
            job_id="a/b",
            stage=Stage.WAITING,
            submitted_at=moment,
            changed_at=moment,
            options=given,
            scenario={"cues": []},
        )
        return render_job(ticket, "s3://in/a.mp4", settings)["spec"]

    own, far = spec(), spec(storage="far")
    assert own["output"]["uri"] == "s3://videos/rendered/a%2Fb/output.mp4" and "storage" not in own
    assert own["output"]["publicBaseUrl"] == "https://cdn.example.com/rendered/a%252Fb"
    assert far["output"] == {"uri": "s3:///rendered/a%2Fb/output.mp4", "presignSeconds": settings.presign_seconds}
    assert far["storage"] == {"profile": "far"} and far["renditions"][0]["uri"] == "s3:///rendered/a%2Fb/tall.mp4"


def test_an_address_that_cloudfront_signed_is_signed_anew_like_one_of_s3() -> None:
    signed = "https://d1.cloudfront.net/a.mov?Expires=1&Signature=x&Key-Pair-Id=K1"
    result = RenditionStatus(name="alone", uri="s3://videos/a.mov", url=signed)
    assert isinstance(signed_result(result), SignedOutput)
    lasting = result.model_copy(update={"url": "https://cdn.example.com/a.mov"})
    assert not isinstance(signed_result(lasting), SignedOutput)


def a_job(status: dict[str, Any], **spec: Any) -> Job:
    meta = {"name": "a", "uid": "1", "resourceVersion": "7", "creationTimestamp": "2026-03-01T12:00:00Z"}
    return read({"metadata": meta, "spec": spec, "status": status})


def test_where_a_job_can_be_watched_is_written_once_it_is_planned_and_the_service_has_an_address() -> None:
    planned = {"phase": "Rendering", "plan": {"liveUri": "s3://work/ns/cells/live/0.json"}}
    job = a_job(planned, live={})
    assert of_job(job).live
    wanted = {"live": {"url": "https://render.example/api/render/a/live.m3u8"}}
    written = live_status(job, "https://render.example/")
    assert written
    assert (written["metadata"], written["status"]) == ({"name": "a", "uid": "1"}, wanted)
    assert live_status(job, "") is None
    assert live_status(a_job({**planned, **wanted}, live={}), "https://render.example") is None
    assert live_status(a_job({"phase": "Planning"}, live={}), "https://render.example") is None
    assert live_status(a_job({"phase": "Rendering", "plan": {}}), "https://render.example") is None


def test_a_short_video_of_which_no_plan_is_told_is_on_its_way_and_does_not_fall_back() -> None:
    segments = {"segments": {"total": 1}, "progress": {"percent": 50}}
    states = [
        of_job(a_job({"phase": "Planning"})),
        of_job(a_job({"phase": "Rendering", **segments})),
        of_job(a_job({"phase": "Planning", **segments})),
    ]
    assert [state.progress for state in states] == [5, 50, 50]
    assert states[1].message == "Rendering, 0 of 1 segments are done"
