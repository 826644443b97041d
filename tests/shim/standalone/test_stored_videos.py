"""Addresses of videos in a bucket: signed for the callback, and anew for each download."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen

import pytest

from ecg_shim.backends import storage
from ecg_shim.backends.standalone import S3Target, StandaloneBackend
from ecg_shim.backends.storage import Presigner, SignedOutput
from ecg_shim.model import JobState, JobStatus, Output
from ecg_shim.relay.payloads import payload
from ecg_shim.wire import StatusReply
from s3 import NO_OTHER_SETTINGS, S3Server, profile_of, storage_profiles
from shim_standalone import ended, order, with_backend

URI = "s3://videos/rendered/a/output.mp4"
EXPIRED = SignedOutput("https://expired.example/a.mp4", 5, 1.0, uri=URI)
DAY = 86_400


@pytest.fixture
def role(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials of a role, for a server that nobody asks: addresses are signed here."""
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "first"}
    for name, value in {**NO_OTHER_SETTINGS, **keys, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}.items():
        monkeypatch.setenv(name, value)


def seconds_of(url: str) -> int:
    """Return for how long an address is signed."""
    return int(parse_qs(urlsplit(url).query)["X-Amz-Expires"][0])


async def render(backend: StandaloneBackend) -> JobState:
    """Submit a job and wait for its end."""
    await backend.submit(order("a", ["result"]))
    return await ended(backend, "a")


async def download(backend: StandaloneBackend) -> tuple[Output | None, Output]:
    """Return the output that was told, and what a download is given."""
    told = await backend.get("a")
    assert told
    assert told.output
    return told.output, await backend.signed_anew(told.output)


def test_a_video_is_signed_anew_for_each_download_also_by_the_next_service(
    tmp_path: Path, role: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = S3Target("videos", presign_seconds=DAY)
    done = with_backend(tmp_path, render, s3=bucket)
    assert done.status is JobStatus.COMPLETED
    assert seconds_of(done.output.url) == DAY
    monkeypatch.setenv("AWS_SESSION_TOKEN", "second")
    kept, renewed = with_backend(tmp_path, download, s3=bucket)
    assert kept == done.output, "what was told in the callback stays"
    assert urlsplit(renewed.url).path == "/videos/rendered/a/output.mp4"
    assert "X-Amz-Security-Token=second" in renewed.url
    assert seconds_of(renewed.url) == 3600


def test_with_a_public_address_of_the_service_that_is_told_and_leads_to_what_is_signed_anew(
    tmp_path: Path, role: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = S3Target("videos", presign_seconds=DAY, public_url="https://render.example")
    done = with_backend(tmp_path, render, s3=bucket)
    assert done.output
    assert payload(done, 0.0)["download_url"] == "https://render.example/api/render/a/download"
    assert StatusReply.of(done).download_url == "https://render.example/api/render/a/download"
    monkeypatch.setenv("AWS_SESSION_TOKEN", "second")
    kept, renewed = with_backend(tmp_path, download, s3=bucket)
    assert kept == done.output
    assert "X-Amz-Security-Token=second" in renewed.url
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    _, old = with_backend(tmp_path, download, s3=bucket)
    assert "X-Amz-Security-Token=first" in old.url, "what was signed when the job ended is better than nothing"


def test_a_session_that_somebody_renews_in_a_file_signs_the_next_download(
    role: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a Secret that is mounted, and renewed every quarter of an hour."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    file = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    presigner = Presigner("videos", DAY)
    for token in ("first", "second"):
        new = file.with_suffix(".new")
        new.write_text(f"[default]\naws_access_key_id=key\naws_secret_access_key=s\naws_session_token={token}\n")
        new.replace(file)
        assert f"X-Amz-Security-Token={token}" in asyncio.run(presigner.renewed(EXPIRED)).url


LASTING = {
    "a public address": Output("https://cdn.example.com/a.mp4", 5, 1.0),
    "a signed video in another bucket": SignedOutput("https://x.example/a.mp4", 5, 1.0, uri="s3://videos-2/a.mp4"),
    "a file": Output("http://localhost/api/render/a/download", 5, 1.0, Path("/a.mp4")),
}


@pytest.mark.parametrize("output", LASTING.values(), ids=LASTING)
def test_other_addresses_stay_as_they_are(role: None, output: Output) -> None:
    assert asyncio.run(Presigner("videos", DAY).renewed(output)) is output


def test_without_credentials_the_address_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**NO_OTHER_SETTINGS, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}.items():
        monkeypatch.setenv(name, value)
    assert asyncio.run(Presigner("videos", DAY).renewed(EXPIRED)) is EXPIRED


def give(seconds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a server that is there take so long for an answer before it counts as away."""
    for name in ("CONNECT_SECONDS", "READ_SECONDS"):
        monkeypatch.setattr(storage, name, seconds)


def test_a_download_goes_to_the_copy_while_the_first_place_is_away_and_to_the_cdn_where_there_is_one(
    tmp_path: Path, role: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "AWAY_SECONDS", 0.0)
    give(60, monkeypatch)
    with S3Server(tmp_path / "first") as first, S3Server(tmp_path / "second") as second:
        near, far = first.new_bucket(), second.new_bucket()
        near.put("rendered/a/output.mp4", b"video")
        far.put("rendered/a/output.mp4", b"video")
        near.put("rendered/b/output.mp4", b"other")
        place = {"name": "near", "bucket": near.name, "replica": "far", **profile_of(first)}
        copy = {"name": "far", "bucket": far.name, **profile_of(second)}
        storage_profiles(monkeypatch, place, copy)
        presigner = Presigner("videos", DAY)

        def handed_out(job_id: str) -> str:
            uri = near.uri(f"rendered/{job_id}/output.mp4")
            return asyncio.run(presigner.renewed(SignedOutput("", 5, 1.0, uri=uri))).url

        with urlopen(handed_out("a")) as answer:
            assert answer.read() == b"video"
        assert handed_out("a").startswith(f"{first.url}/{near.name}/")
        first.kill()
        url = handed_out("a")
        assert url.startswith(f"{second.url}/{far.name}/")
        with urlopen(url) as answer:
            assert answer.read() == b"video"
        assert handed_out("b").startswith(first.url), "which has no copy"
        with second.paused():
            give(1, monkeypatch)
            assert handed_out("a").startswith(first.url), "neither answers"
        give(60, monkeypatch)
        first.start()
        assert handed_out("a").startswith(first.url)
        first.client.delete_object(Bucket=near.name, Key="rendered/a/output.mp4")
        assert handed_out("a").startswith(second.url), "it is lost at the first place"
        storage_profiles(monkeypatch, {**place, "cdn": {"baseUrl": "https://cdn.example.com"}}, copy)
        assert handed_out("a") == "https://cdn.example.com/rendered/a/output.mp4"


def test_the_event_loop_does_not_wait_for_signing(monkeypatch: pytest.MonkeyPatch) -> None:
    signers: list[threading.Thread] = []

    def signed(*_: object) -> str:
        signers.append(threading.current_thread())
        return "https://new.example/a.mp4"

    monkeypatch.setattr(Presigner, "signed", signed)
    assert asyncio.run(Presigner("videos", DAY).renewed(EXPIRED)).url == "https://new.example/a.mp4"
    assert signers != [threading.main_thread()]
