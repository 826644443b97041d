"""Results with a copy at a second S3 server, and what becomes of them when that, or the first, is away."""

from __future__ import annotations

from pathlib import Path

import pytest

from ecg_common.profiles import profiles
from ecg_renderer.errors import UploadFailed
from ecg_renderer.storage import ask_s3, open_storage, open_work_store, s3
from ecg_renderer.storage.s3_client import S3
from ecg_renderer.storage.s3_transfer import PART_BYTES
from s3 import Bucket, S3Server, profile_of, storage_profiles

LARGE = b"frame" * (PART_BYTES // 5 + 1)  # more than one part


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting ends after half a second."""
    monkeypatch.setattr(S3, "patience_seconds", 0.5)
    monkeypatch.setattr(s3, "COPY_PATIENCE_SECONDS", 0.5)


def written(uri: str, content: bytes, tmp_path: Path) -> s3.S3Storage:
    place = open_storage(uri, tmp_path)
    assert isinstance(place, s3.S3Storage)
    with place.output("key") as output:
        output.path.write_bytes(content)
        assert output.commit() == uri
    return place


def test_each_place_is_reached_with_its_own_keys_and_a_result_is_copied_to_the_second(
    bucket: Bucket, second: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, impatient: None
) -> None:
    far = second.new_bucket()
    only = {"ACCESS_KEY_ID": "nobody", "SECRET_ACCESS_KEY": "s"}
    near = {"name": "near", "bucket": bucket.name, "replica": "far", **profile_of(bucket.server)}
    storage_profiles(monkeypatch, near, {"name": "far", "bucket": far.name, **profile_of(second)})
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)

    place = written(bucket.uri("out/a.mp4"), LARGE, tmp_path)
    assert place.replica is not None
    assert (place.replica.profile, place.replica.uri, place.replica.problem) == ("far", far.uri("out/a.mp4"), "")
    assert bucket.get("out/a.mp4") == far.get("out/a.mp4") == LARGE
    assert written(far.uri("b.mp4"), b"b", tmp_path).replica is None, "the second place has no copy of its own"
    work = open_work_store(bucket.uri("work"))
    work.put("plan.json", b"{}")
    assert bucket.get("work/plan.json") == b"{}" and far.keys == {"out/a.mp4", "b.mp4"}, "work files are not copied"
    assert ask_s3(profiles().get("far")) == f"{second.url} answers and shows s3://{far.name}"

    second.kill()
    place = written(bucket.uri("out/a.mp4"), b"new", tmp_path)
    assert bucket.get("out/a.mp4") == b"new"
    assert place.replica and place.replica.problem.startswith(f"The copy in far: Cannot write {far.uri('out/a.mp4')}: ")
    assert "the service cannot be reached" in place.replica.problem

    storage_profiles(
        monkeypatch, {**near, "replicaRequired": True}, {"name": "far", "bucket": far.name, **profile_of(second)}
    )
    with pytest.raises(Exception, match="cannot be reached"), open_storage(bucket.uri("c.mp4"), tmp_path).output("key"):
        pytest.fail("a copy that is required is tried before any work is done")
    second.start()
    with open_storage(bucket.uri("c.mp4"), tmp_path).output("key") as output:
        output.path.write_bytes(b"c")
        second.kill()
        with pytest.raises(UploadFailed, match="The copy in far: ") as failed:
            output.commit()
    assert failed.value.failure().retryable
    storage_profiles(monkeypatch, {**near, "keys": only}, {"name": "far", "bucket": far.name, **profile_of(second)})
    with pytest.raises(Exception, match="Cannot write") as refused:
        written(bucket.uri("d.mp4"), b"d", tmp_path)
    assert not any(key in str(refused.value) for key in (bucket.server.secret_key, second.secret_key))


@pytest.mark.parametrize(
    ("text", "words"),
    [("{", "ECG_STORAGE_PROFILES: Invalid JSON"), ('[{"name": "a"}]', "ECG_STORAGE_PROFILES: [0].bucket")],
)
def test_profiles_that_cannot_be_read_are_told_where_they_are_needed(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: str
) -> None:
    monkeypatch.setenv("ECG_STORAGE_PROFILES", text)
    with pytest.raises(Exception, match="ECG_STORAGE_PROFILES") as told:
        open_storage(bucket.uri("a.mp4"), tmp_path).read_bytes(10)
    assert words in str(told.value) and type(told.value).__name__ == "StorageError"
