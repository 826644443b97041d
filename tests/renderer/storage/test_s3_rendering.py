"""A whole render from S3 to S3, by the command line."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from command_line import Ended, ecg_render, files, workplace
from s3 import Bucket, S3Server, profile_of, storage_profiles


@pytest.fixture
def folder(bucket: Bucket, tmp_path: Path) -> Path:
    """A folder with a job; its video and its scenario are in the bucket too."""
    workplace(tmp_path)
    bucket.put("in/video.mp4", (tmp_path / "video.mp4").read_bytes())
    bucket.put("in/scenario.json", (tmp_path / "scenario.json").read_bytes())
    return tmp_path


def from_s3(bucket: Bucket, *more: str) -> list[str]:
    values = {"source": "in/video.mp4", "scenario": "in/scenario.json", "output": "out/captioned.mp4"}
    return [*more, *(f"--set=spec.{name}.uri={bucket.uri(key)}" for name, key in values.items())]


def assert_no_secrets(ended: Ended, bucket: Bucket) -> None:
    for secret in ("X-Amz", bucket.server.secret_key, bucket.server.access_key):
        assert secret not in ended.out + ended.err


def test_a_render_from_s3_to_s3_gives_the_same_bytes_as_a_local_one(bucket: Bucket, folder: Path) -> None:
    before = files(folder)
    local = ecg_render("run", "job.yaml", "--json", cwd=folder)
    remote = ecg_render("run", "job.yaml", *from_s3(bucket, "--json"), cwd=folder)

    assert remote.code == 0, remote.err
    assert remote.json["output"] == bucket.uri("out/captioned.mp4")
    assert remote.json["sha256"] == hashlib.sha256(bucket.get("out/captioned.mp4")).hexdigest()
    assert remote.json["sha256"] == local.json["sha256"]
    assert bucket.keys == {"in/video.mp4", "in/scenario.json", "out/captioned.mp4"}
    assert bucket.unfinished == set()
    assert files(folder) - before == {"out/captioned.mp4"}
    assert {path.parent.name for path in (folder / "cache").rglob("*.mp4")} == {"cells"}
    assert_no_secrets(remote, bucket)


def test_an_output_on_the_command_line_may_be_in_s3(bucket: Bucket, folder: Path) -> None:
    ended = ecg_render("run", "job.yaml", "--quiet", "--output", bucket.uri("draft.mp4"), cwd=folder)

    assert (ended.code, ended.out, ended.err) == (0, bucket.uri("draft.mp4") + "\n", "")
    assert "draft.mp4" in bucket.keys


def test_results_go_to_the_profile_near_the_source_and_a_copy_that_cannot_be_made_is_a_warning(
    bucket: Bucket, folder: Path, second: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = second.new_bucket()
    storage_profiles(
        monkeypatch,
        {"name": "first", "bucket": "not-there", **profile_of(second)},
        {"name": "far", "bucket": far.name, "sources": ["footage"], "replica": "first", **profile_of(second)},
    )
    second.client.create_bucket(Bucket="footage")
    second.client.put_object(Bucket="footage", Key="in.mp4", Body=(folder / "video.mp4").read_bytes())
    where = ["--set=spec.source.uri=s3://footage/in.mp4", "--set=spec.output.uri=s3:///out/a b.mp4"]
    where += [f"--set=spec.scenario.uri={bucket.uri('in/scenario.json')}"]

    unknown = ecg_render("run", "job.yaml", *where, "--set=spec.storage.profile=frist", cwd=folder)
    assert unknown.code == 64 and "spec.storage.profile: there is no storage profile 'frist'" in unknown.err
    ended = ecg_render("run", "job.yaml", "--json", *where, "--set=spec.storage.profile=auto", cwd=folder)

    assert ended.code == 0, ended.err
    assert ended.json["output"] == far.uri("out/a b.mp4") and far.keys == {"out/a b.mp4"}
    assert ended.json["sha256"] == hashlib.sha256(far.get("out/a b.mp4")).hexdigest()
    assert "main: The copy in first: Cannot write s3://not-there/out/a b.mp4: " in ended.json["warnings"][-1]
    for secret in ("X-Amz", second.secret_key, second.access_key):
        assert secret not in ended.out + ended.err


def test_a_still_comes_from_a_source_in_s3(bucket: Bucket, folder: Path) -> None:
    where = [f"--set=spec.source.uri={bucket.uri('in/video.mp4')}"]

    ended = ecg_render("still", "job.yaml", "--at", "0.5", "-o", "look.png", *where, cwd=folder)

    assert ended.code == 0, ended.err
    assert (folder / "look.png").read_bytes().startswith(b"\x89PNG")
    assert_no_secrets(ended, bucket)


BAD = {
    "a source that is not there": (
        {"source": "s3://{bucket}/absent.mp4"}, {}, 65, "INVALID_VIDEO_URL", "no such object",
    ),
    "a source that is no video": (
        {"source": "s3://{bucket}/in/scenario.json"}, {}, 66, "INVALID_VIDEO_FORMAT", "in/scenario.json",
    ),
    "a scenario that is not there": (
        {"scenario": "s3://{bucket}/absent.json"}, {}, 69, "STORAGE_ACCESS_ERROR", "no such object",
    ),
    "a bucket that is not there": (
        {"output": "s3://absent-bucket/out.mp4"}, {}, 69, "STORAGE_ACCESS_ERROR", "no such bucket",
    ),
    "no credentials": (
        {"source": "s3://{bucket}/in/video.mp4"}, {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, 65,
        "INVALID_VIDEO_URL", "no credentials",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("uris", "changes", "status", "code", "said"), BAD.values(), ids=BAD)
def test_what_is_wrong_with_s3_is_one_paragraph(
    bucket: Bucket,
    folder: Path,
    uris: dict[str, str],
    changes: dict[str, str],
    status: int,
    code: str,
    said: str,
) -> None:
    where = [f"--set=spec.{name}.uri={uri.format(bucket=bucket.name)}" for name, uri in uris.items()]

    ended = ecg_render("run", "job.yaml", "--json", *where, cwd=folder, changes=changes)

    assert ended.code == status, ended.err
    failure = json.loads(ended.out)["failure"]
    assert (failure["code"], failure["retryable"]) == (code, False)
    assert said in failure["message"]
    assert "Traceback" not in ended.err
    assert_no_secrets(ended, bucket)


@pytest.mark.parametrize(
    ("changes", "state", "found"),
    [({}, "ok", "answers and knows these credentials"), ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "note", "the secret key")],
)
def test_the_doctor_asks_the_s3_that_is_set_up(
    bucket: Bucket, tmp_path: Path, changes: dict[str, str], state: str, found: str
) -> None:
    ended = ecg_render("doctor", "--json", cwd=tmp_path, changes=changes)

    check = next(check for check in ended.json["checks"] if check["name"] == "S3")
    assert (check["state"], found in check["found"]) == (state, True)
    assert ended.code == 0
    assert_no_secrets(ended, bucket)
