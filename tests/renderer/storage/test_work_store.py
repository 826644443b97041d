"""The folder in which the pods of one job leave files for each other, in S3 and on a disk."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ecg_renderer.errors import Cancelled, ResourceError, StorageError
from ecg_renderer.storage import WorkStore, open_work_store
from ecg_renderer.storage.s3_transfer import PART_BYTES
from s3 import Bucket

LONG = 2 * PART_BYTES + 1


@pytest.fixture(params=["disk", "S3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A URI below which work files can be kept."""
    if request.param == "disk":
        return (tmp_path / "shared").as_uri()
    bucket: Bucket = request.getfixturevalue("bucket")
    return bucket.uri("work")


@pytest.fixture
def store(place: str) -> WorkStore:
    """A store that holds nothing yet, between others whose names begin alike."""
    return open_work_store(f"{place}/namespace/job-1")


def test_a_file_is_what_was_last_put(store: WorkStore) -> None:
    assert store.get("plan.json") is None
    assert not store.exists("plan.json")

    store.put("plan.json", b"first")
    store.put("plan.json", b"second")

    assert store.get("plan.json") == b"second"
    assert store.exists("plan.json")
    assert store.get("segments/plan.json") is None


def test_other_pods_see_the_same_files(store: WorkStore) -> None:
    store.put("segments/abc-libx264.json", b"{}")

    assert open_work_store(store.name + "/").get("segments/abc-libx264.json") == b"{}"


def test_of_many_who_claim_a_file_one_wins_and_all_know_who(store: WorkStore) -> None:
    together = threading.Barrier(8)

    def claim(number: int) -> bytes:
        together.wait()
        return store.put_if_absent("encoder.json", b"pod %d" % number)

    with ThreadPoolExecutor(8) as pods:
        answers = set(pods.map(claim, range(8)))

    assert len(answers) == 1
    assert answers == {store.get("encoder.json")}
    assert store.put_if_absent("encoder.json", b"late") in answers


@pytest.mark.parametrize("size", [0, 1000, LONG], ids=str)
def test_long_files_go_there_and_back(store: WorkStore, tmp_path: Path, size: int) -> None:
    heard: list[tuple[int, int]] = []
    content = os.urandom(1000) * (size // 1000) + bytes(size % 1000)
    (tmp_path / "there.mp4").write_bytes(content)

    store.upload(tmp_path / "there.mp4", "segments/a.mp4", lambda *told: heard.append(told))
    store.download("segments/a.mp4", tmp_path / "back.mp4", lambda *told: heard.append(told))

    assert (tmp_path / "back.mp4").read_bytes() == content
    assert (size, size) in heard or size == 0
    assert {path.name for path in tmp_path.iterdir()} <= {"there.mp4", "back.mp4", "shared"}


def test_a_download_of_what_is_not_there_leaves_the_old_file(store: WorkStore, tmp_path: Path) -> None:
    (tmp_path / "back.mp4").write_bytes(b"old")

    with pytest.raises(StorageError, match=r"segments/a\.mp4"):
        store.download("segments/a.mp4", tmp_path / "back.mp4")

    assert (tmp_path / "back.mp4").read_bytes() == b"old"


def test_an_upload_of_what_is_not_there_is_said(store: WorkStore, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"Cannot read .*absent\.mp4"):
        store.upload(tmp_path / "absent.mp4", "segments/a.mp4")

    assert not store.exists("segments/a.mp4")


def test_cleaning_removes_the_folder_and_nothing_beside_it(place: str, store: WorkStore) -> None:
    others = [open_work_store(f"{place}/{name}") for name in ("namespace/job-10", "namespace/job", "other")]
    for one in (store, *others):
        one.put("plan.json", b"plan")
        one.put("segments/a.json", b"segment")

    assert store.clean() == 2

    assert not store.exists("plan.json")
    assert not store.exists("segments/a.json")
    assert all(one.exists("plan.json") and one.exists("segments/a.json") for one in others)
    assert store.clean() == 0


def test_cleaning_removes_uploads_that_a_killed_pod_left(bucket: Bucket) -> None:
    for key in ("work/job-1/segments/a.mp4", "work/job-10/segments/a.mp4"):
        bucket.server.client.create_multipart_upload(Bucket=bucket.name, Key=key)
    store = open_work_store(bucket.uri("work/job-1"))
    store.put("plan.json", b"plan")

    assert store.clean() == 1

    assert bucket.unfinished == {"work/job-10/segments/a.mp4"}


def test_cleaning_removes_files_that_a_killed_pod_left_half_written(tmp_path: Path) -> None:
    store = open_work_store((tmp_path / "job").as_uri())
    store.put("plan.json", b"plan")
    (tmp_path / "job" / ".unfinished-abc").write_bytes(b"half")

    assert store.clean() == 1

    assert not (tmp_path / "job").exists()


def test_more_files_than_one_page_holds_are_all_removed(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_work_store(bucket.uri("work/job-1"))
    for number in range(5):
        store.put(f"segments/{number}.json", b"{}")
        bucket.server.client.create_multipart_upload(Bucket=bucket.name, Key=f"work/job-1/{number % 2}.mp4")
    s3: Any = store._s3  # type: ignore[attr-defined]
    ask = s3.ask
    pages = {"list_objects_v2": {"MaxKeys": 2}, "list_multipart_uploads": {"MaxUploads": 2}}
    monkeypatch.setattr(s3, "ask", lambda operation, *a, **k: ask(operation, *a, **k, **pages.get(operation, {})))

    assert store.clean() == 5

    assert (bucket.keys, bucket.unfinished) == (set(), set())


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("s3://bucket", "names a whole bucket"),
        ("s3://bucket/", "names a whole bucket"),
        ("s3://bucket//", "names a whole bucket"),
        ("file:///", "is the whole disk"),
        ("file:///tmp/..", "is the whole disk"),
        ("file://", "no absolute path"),
        ("https://host/folder", "cannot be kept in https://host/folder"),
        ("/folder", "cannot be kept in /folder"),
        ("", "cannot be kept in"),
    ],
)
def test_an_address_that_names_no_folder_is_refused(uri: str, said: str) -> None:
    with pytest.raises(StorageError, match=said) as refused:
        open_work_store(uri)

    assert refused.value.hint


@pytest.mark.parametrize("name", ["", "/plan.json", "../plan.json", "a/../b", ".hidden", "a//b", "a b", "a/"])
def test_a_name_that_leads_out_of_the_folder_is_a_mistake(store: WorkStore, name: str) -> None:
    with pytest.raises(ValueError, match="no name for a work file"):
        store.put(name, b"")


def test_a_stopped_store_transfers_nothing_more(bucket: Bucket, tmp_path: Path) -> None:
    store = open_work_store(bucket.uri("work/job-1"))
    (tmp_path / "a.mp4").write_bytes(bytes(LONG))

    def stop(done: int, of: int) -> None:
        store.stop()

    with pytest.raises(Cancelled):
        store.upload(tmp_path / "a.mp4", "segments/a.mp4", stop)

    assert (bucket.keys, bucket.unfinished) == (set(), set())


def test_a_disk_that_fills_up_while_a_segment_is_downloaded_is_said(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_work_store(bucket.uri("work/job-1"))
    store.put("segments/a.mp4", bytes(1000))
    (tmp_path / "back.mp4").write_bytes(b"old")
    full = tmp_path / "full"
    full.symlink_to("/dev/full")
    monkeypatch.setattr(Path, "with_name", lambda *_: full)

    with pytest.raises(ResourceError, match=r"Cannot write .*back\.mp4: the disk is full"):
        store.download("segments/a.mp4", tmp_path / "back.mp4")

    assert {path.name for path in tmp_path.iterdir()} == {"back.mp4"}


@pytest.mark.parametrize("method", ["get", "put", "put_if_absent", "exists", "clean"])
def test_a_folder_that_is_not_ours_is_refused(bucket: Bucket, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    for name, value in bucket.user().items():
        monkeypatch.setenv(name, value)
    store = open_work_store(bucket.uri("work/job-1"))
    arguments = SimpleNamespace(get=["a"], put=["a", b""], put_if_absent=["a", b""], exists=["a"], clean=[])

    with pytest.raises(StorageError, match=r"Cannot \w+ s3://.*: access is denied") as refused:
        getattr(store, method)(*getattr(arguments, method))

    assert not refused.value.failure().retryable
