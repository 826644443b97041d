"""Results that are uploaded to S3: checked before any work, visible at once, nothing left of what was not finished."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ecg_renderer.errors import Cancelled, RenderError, ResourceError, SourceMissing, StorageError
from ecg_renderer.storage import open_storage
from ecg_renderer.storage.s3_transfer import PART_BYTES
from s3 import Bucket

LONG = 2 * PART_BYTES + 12_345

PATIENCE = 100.0


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def long_file(path: Path) -> str:
    """Write a file of three parts; return the hash of its content."""
    content = np.arange(LONG // 4 + 1, dtype=">u4").tobytes()[:LONG]
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("size", [0, 5, PART_BYTES, PART_BYTES + 1], ids=str)
def test_a_result_appears_under_its_name_only_when_committed(bucket: Bucket, tmp_path: Path, size: int) -> None:
    uri = bucket.put("videos/out.mp4", b"old")

    with open_storage(uri, tmp_path).output("key") as output:
        assert output.path.suffix == ".mp4"
        output.path.write_bytes(bytes(size))
        assert bucket.get("videos/out.mp4") == b"old"
        assert output.commit() == uri
        assert bucket.get("videos/out.mp4") == bytes(size)

    assert bucket.keys == {"videos/out.mp4"}
    assert bucket.unfinished == set()
    assert files(tmp_path) == []


def test_a_long_result_goes_up_in_parts_and_says_how_far_it_is(bucket: Bucket, tmp_path: Path) -> None:
    heard: list[tuple[int, int]] = []

    with open_storage(bucket.uri("out.mp4"), tmp_path).output("key") as output:
        digest = long_file(output.path)
        output.commit(lambda done, of: heard.append((done, of)))

    assert hashlib.sha256(bucket.get("out.mp4")).hexdigest() == digest
    assert heard == [(PART_BYTES, LONG), (2 * PART_BYTES, LONG), (LONG, LONG)]
    facts = bucket.server.client.head_object(Bucket=bucket.name, Key="out.mp4")
    assert facts["ETag"].endswith('-3"')
    assert facts["ContentType"] == "video/mp4"


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt, None])
def test_a_result_that_is_not_committed_leaves_nothing(
    bucket: Bucket, tmp_path: Path, failure: type[BaseException] | None
) -> None:
    def render() -> None:
        with open_storage(bucket.uri("out.mp4"), tmp_path).output("key") as output:
            output.path.write_bytes(b"half")
            if failure:
                raise failure

    if failure:
        with pytest.raises(failure):
            render()
    else:
        render()

    assert (bucket.keys, bucket.unfinished, files(tmp_path)) == (set(), set(), [])


def test_an_upload_that_fails_in_the_middle_leaves_nothing(bucket: Bucket, tmp_path: Path) -> None:
    def stop(done: int, of: int) -> None:
        raise RuntimeError("enough")

    with (
        pytest.raises(RuntimeError, match="enough"),
        open_storage(bucket.uri("out.mp4"), tmp_path).output("key") as output,
    ):
        long_file(output.path)
        output.commit(stop)

    assert (bucket.keys, bucket.unfinished, files(tmp_path)) == (set(), set(), [])


def test_leaving_ends_an_upload_in_another_thread(bucket: Bucket, tmp_path: Path) -> None:
    uri = bucket.put("out.mp4", b"old")
    began, ended = threading.Event(), []

    def commit() -> None:
        def begun(done: int, of: int) -> None:
            began.set()
            assert output._s3._stopped.wait(PATIENCE)  # type: ignore[attr-defined]

        try:
            output.commit(begun)
        except Cancelled as error:
            ended.append(error)

    with open_storage(uri, tmp_path).output("key") as output:
        long_file(output.path)
        thread = threading.Thread(target=commit)
        thread.start()
        assert began.wait(PATIENCE)
    thread.join(PATIENCE)

    assert len(ended) == 1
    assert (bucket.get("out.mp4"), bucket.unfinished, files(tmp_path)) == (b"old", set(), [])


REFUSED: dict[str, tuple[Callable[[Bucket], str], list[str], str]] = {
    "a bucket that is not there": (lambda _: "s3://no-such-bucket-here/out.mp4", [], "there is no such bucket"),
    "a bucket that may only be read": (lambda bucket: bucket.uri("out.mp4"), ["s3:GetObject"], "access is denied"),
    "a bucket that belongs to others": (lambda bucket: bucket.uri("out.mp4"), [], "access is denied"),
}


@pytest.mark.parametrize(("uri", "rights", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_written_is_refused_before_any_work(
    bucket: Bucket,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    uri: Callable[[Bucket], str],
    rights: list[str],
    said: str,
) -> None:
    for name, value in bucket.user(*rights).items():
        monkeypatch.setenv(name, value)
    output = open_storage(uri(bucket), tmp_path).output("key")

    with pytest.raises(StorageError, match=said) as refused, output:
        pass

    assert f"Cannot write {uri(bucket)}" in refused.value.message
    assert not refused.value.failure().retryable
    assert (bucket.unfinished, files(tmp_path)) == (set(), [])


def test_a_result_for_which_the_disk_has_no_room_is_refused_before_any_work(bucket: Bucket, tmp_path: Path) -> None:
    output = open_storage(bucket.uri("out.mp4"), tmp_path).output("key", needed_bytes=1 << 60)

    with pytest.raises(ResourceError, match="MB free"), output:
        pass

    assert bucket.unfinished == set()


def test_the_source_is_never_overwritten(bucket: Bucket, tmp_path: Path) -> None:
    storage = open_storage(bucket.put("clip.mp4", b"footage"), tmp_path)
    other = open_storage(bucket.uri("out.mp4"), tmp_path)

    with pytest.raises(StorageError, match="is the source itself"):
        storage.output("key", source=storage.source_url())
    with other.output("key", source=storage.source_url()) as output:
        output.path.write_bytes(b"captioned")
        output.commit()

    assert bucket.get("clip.mp4") == b"footage"


def test_a_render_twice_at_a_time_is_refused(bucket: Bucket, tmp_path: Path) -> None:
    storage = open_storage(bucket.uri("out.mp4"), tmp_path)

    with (
        storage.output("key"),
        pytest.raises(StorageError, match="Another process is writing"),
        storage.output("key"),
    ):
        pass


def test_a_file_that_vanished_is_not_uploaded(bucket: Bucket, tmp_path: Path) -> None:
    with (
        pytest.raises(RenderError, match="Cannot read"),
        open_storage(bucket.uri("out.mp4"), tmp_path).output("key") as output,
    ):
        output.path.unlink()
        output.commit()

    assert bucket.keys == set()


def test_an_output_is_no_source_until_it_is_committed(bucket: Bucket, tmp_path: Path) -> None:
    storage = open_storage(bucket.uri("out.mp4"), tmp_path)
    with storage.output("key") as output:
        output.path.write_bytes(b"content")
        with pytest.raises(SourceMissing):
            storage.identity()
        output.commit()

    assert storage.identity()
