"""Sessions that end while a job runs, and an S3 that asks for fewer requests: both are got over, or said."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import clips
from ecg_api.failures import FailureCode
from ecg_renderer.errors import ServiceUnreachable, StorageError
from ecg_renderer.media.process import option_words, source_options
from ecg_renderer.storage import open_storage, open_work_store
from ecg_renderer.storage.s3_client import S3
from s3_edge import S3Edge

WORK = "s3://work/jobs/a"
OUTPUT = "s3://out/captioned.mp4"


@pytest.fixture
def edge(no_aws: None) -> Iterator[S3Edge]:
    with S3Edge().running() as edge:
        yield edge


@pytest.fixture
def lead(monkeypatch: pytest.MonkeyPatch) -> Callable[[Mapping[str, str]], None]:
    """Let variables lead this process to S3."""

    def set_all(variables: Mapping[str, str]) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set_all


def write_keys(file: Path, edge: S3Edge) -> None:
    """Put the session of now into a credentials file, in place of the one before."""
    written = "".join(f"{name.lower()} = {value}\n" for name, value in edge.session().items())
    file.with_suffix(".new").write_text(f"[default]\n{written}")
    file.with_suffix(".new").replace(file)


def test_a_role_whose_session_ends_while_a_job_runs_gets_another(
    edge: S3Edge, lead: Callable[..., None], tmp_path: Path
) -> None:
    lead(edge.role())
    work, output = open_work_store(WORK), open_storage(OUTPUT, tmp_path)
    work.put("plan.json", b"{}")
    with output.output("key") as written:
        written.path.write_bytes(b"video")
        edge.renew()
        assert work.get("plan.json") == b"{}"
        edge.renew()
        assert written.commit() == OUTPUT
    edge.renew()
    assert f"X-Amz-Security-Token={edge.token}" in output.source_url(), "FFmpeg opens it by the session of now"
    assert edge.objects["/out/captioned.mp4"] == b"video"


def test_a_session_that_somebody_renews_in_a_file_is_read_anew(
    edge: S3Edge, lead: Callable[..., None], tmp_path: Path
) -> None:
    file = tmp_path / "credentials"
    write_keys(file, edge)
    without_keys = {name: value for name, value in edge.environment().items() if name not in edge.session()}
    lead({**without_keys, "AWS_SHARED_CREDENTIALS_FILE": str(file)})
    work = open_work_store(WORK)
    work.put("plan.json", b"{}")
    edge.renew()
    write_keys(file, edge)
    assert work.get("plan.json") == b"{}"
    assert f"X-Amz-Security-Token={edge.token}" in work.address("plan.json")


def test_a_fixed_token_that_has_expired_is_said_at_once_and_not_tried_again(
    edge: S3Edge, lead: Callable[..., None], tmp_path: Path
) -> None:
    lead(edge.environment())
    edge.renew()

    with pytest.raises(StorageError) as failed:
        open_storage("s3://in/scenario.json", tmp_path).read_bytes(100)

    told = failed.value.failure()
    assert (told.code, told.retryable) == (FailureCode.STORAGE_ACCESS_ERROR, False)
    assert told.message == "Cannot read s3://in/scenario.json: the credentials have expired."
    assert "renew the session token" in str(told.hint)
    assert len(edge.asked) == 1


def commit(edge: S3Edge, folder: Path) -> Any:
    with open_storage(OUTPUT, folder).output("key") as written:
        written.path.write_bytes(b"video")
        edge.busy = 3
        return written.commit()


def download(edge: S3Edge, folder: Path) -> bytes:
    open_work_store(WORK).download("there", folder / "here")
    return (folder / "here").read_bytes()


REQUESTS: dict[str, tuple[Callable[[S3Edge, Path], Any], Any]] = {
    "a scenario": (lambda edge, folder: open_storage(f"{WORK}/there", folder).read_bytes(9), b"content"),
    "a download": (download, b"content"),
    "a claim": (lambda edge, folder: open_work_store(WORK).put_if_absent("encoder.json", b"mine"), b"mine"),
    "a look": (lambda edge, folder: open_work_store(WORK).exists("there"), True),
    "an output": (commit, OUTPUT),
}


@pytest.mark.parametrize(("ask", "answer"), REQUESTS.values(), ids=REQUESTS)
def test_a_server_that_says_slow_down_is_asked_again(
    edge: S3Edge, lead: Callable[..., None], tmp_path: Path, ask: Callable[[S3Edge, Path], Any], answer: Any
) -> None:
    lead(edge.environment())
    edge.objects["/work/jobs/a/there"] = b"content"
    edge.busy = 3
    assert ask(edge, tmp_path) == answer
    assert edge.busy == 0
    assert edge.asked[-4:] == [edge.asked[-1]] * 4, "the same request, three times in vain"


def test_a_server_that_keeps_saying_slow_down_is_a_failure_that_is_retried(
    edge: S3Edge, lead: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(S3, "patience_seconds", 1.0)
    lead(edge.environment())
    edge.busy = 10_000

    with pytest.raises(ServiceUnreachable) as failed:
        open_storage("s3://in/scenario.json", tmp_path).read_bytes(100)

    told = failed.value.failure()
    assert (told.code, told.retryable) == (FailureCode.CONNECTION_ERROR, True)
    assert f"{edge.url} answers SlowDown, it is overloaded" in told.message
    assert 2 <= len(edge.asked) <= 8, "with pauses between"


def test_ffmpeg_waits_for_a_source_whose_server_says_slow_down(
    edge: S3Edge, lead: Callable[..., None], tmp_path: Path
) -> None:
    lead(edge.environment())
    clip = clips.Clip(frames=10, width=64, height=64, audio=None)
    edge.objects["/in/clip.mp4"] = clips.counter(clip).read_bytes()
    url = open_storage("s3://in/clip.mp4", tmp_path).source_url()
    edge.busy = 2
    command = ["ffmpeg", "-v", "warning", "-nostdin", *option_words(source_options(url, insist=True)), "-i", url]
    done = subprocess.run([*command, "-f", "framecrc", "-"], capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    assert len([line for line in done.stdout.splitlines() if not line.startswith("#")]) == 10
    assert edge.busy == 0
