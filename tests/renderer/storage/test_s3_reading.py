"""Sources and scenarios in S3."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
import pytest

import clips
from captions import render_job, scenario
from ecg_renderer.errors import RenderError, SourceInvalid, SourceMissing, StorageError
from ecg_renderer.media.probe import probe_source
from ecg_renderer.preparation import same_source
from ecg_renderer.storage import Storage, ask_s3, open_storage, s3_is_set_up
from plan_facts import a_source
from renders import rendered
from s3 import Bucket
from sources import SOURCES, planned


def opened(uri: str) -> Storage:
    return open_storage(uri, Path("/nowhere"))


def test_a_scenario_is_read_up_to_its_limit(bucket: Bucket) -> None:
    storage = opened(bucket.put("folder/scenario.json", b"12345"))

    assert storage.read_bytes(5) == b"12345"
    with pytest.raises(StorageError, match="larger than the 4 bytes"):
        storage.read_bytes(4)


@pytest.mark.parametrize("key", ["a/b c+d.mp4", "100%25?#.mp4", "영상/제목.mp4"])
def test_a_key_means_what_it_says(bucket: Bucket, key: str) -> None:
    storage = opened(bucket.put(key, b"content"))

    assert storage.name == bucket.uri(key)
    assert storage.read_bytes(10) == b"content"
    with urlopen(storage.source_url()) as answer:
        assert answer.read() == b"content"


def test_a_source_is_read_in_ranges_by_whoever_has_its_address(bucket: Bucket) -> None:
    url = opened(bucket.put("clip.mp4", bytes(range(100)))).source_url()

    with urlopen(Request(url, headers={"Range": "bytes=90-92"})) as answer:
        assert (answer.status, answer.read()) == (206, bytes([90, 91, 92]))


def test_ffprobe_opens_a_source_by_its_address(bucket: Bucket) -> None:
    storage = opened(bucket.put("clip.mp4", clips.counter(clips.Clip(frames=30)).read_bytes()))

    facts = asyncio.run(probe_source(storage.source_url(), display=storage.name, identity=storage.identity()))

    assert facts.uri == bucket.uri("clip.mp4")
    assert (facts.width, facts.height, facts.identity) == (320, 180, storage.identity())


FROM_S3 = (
    *("late picture", "late picture, mkv", "late picture, ts", "all late", "edit list", "begins within a group"),
    *("longer sound, mkv", "longer sound, no lengths", "one picture", "gif with a held end", "10 a second"),
    *("variable", "interlaced", "alpha, vp9", "raw h264"),
    *("held last picture", "ts that breaks off", "avi with b-frames", "turned on the way"),
    *("longer sound, in fragments", "interlaced, mpeg-4 in avi"),
    *("size changes, vp8", "size changes, h264", "size changes, h264 in mp4", "size changes, mpeg-2"),
)


def test_sources_in_s3_are_planned_as_those_on_disk(bucket: Bucket) -> None:
    differing = {}
    for name in FROM_S3:
        path = SOURCES[name]()
        here, there = planned(path), planned(opened(bucket.put(path.name, path.read_bytes())).source_url())
        if (here.grid, here.warnings) != (there.grid, there.warnings):
            differing[name] = here, there
    assert differing == {}


@pytest.mark.parametrize("name", ["size changes, vp8", "late picture, ts", "avi with b-frames"])
def test_a_source_in_s3_shows_what_it_shows_on_disk(name: str, bucket: Bucket, tmp_path: Path) -> None:
    """Packets are not read before there."""
    path = SOURCES[name]()
    pictures = []
    for number, uri in enumerate([str(path), bucket.put(path.name, path.read_bytes())]):
        job = render_job(uri, scenario([]), tmp_path / f"{number}.mp4", quality=90)
        result = rendered(job, tmp_path / str(number), segments=2)
        pictures.append(np.stack(clips.frames(Path(result.output))).astype(int))
    assert pictures[0].shape == pictures[1].shape
    assert np.abs(pictures[0] - pictures[1]).max() < 3


def test_the_identity_follows_the_content(bucket: Bucket) -> None:
    storage = opened(bucket.put("clip.mp4", b"first version"))
    before = storage.identity()

    bucket.put("clip.mp4", b"first version")
    same = storage.identity()
    bucket.put("clip.mp4", b"other version")

    assert same == before
    assert storage.identity() != before


def test_an_object_that_changes_between_plan_and_segment_is_refused(bucket: Bucket) -> None:
    storage = opened(bucket.put("clip.mp4", b"first version"))
    planned = a_source(identity=storage.identity())
    assert "clip.mp4" in asyncio.run(same_source(storage, planned))

    bucket.put("clip.mp4", b"other version")

    with pytest.raises(SourceInvalid, match=r"clip\.mp4 was changed after the job was planned"):
        asyncio.run(same_source(storage, planned))


def test_an_address_in_another_region_is_signed_for_that_region(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-3")
    storage = opened(bucket.put("clip.mp4", b"content"))

    with urlopen(storage.source_url()) as answer:
        assert answer.read() == b"content"


@pytest.mark.parametrize("what", ["read", "source_url", "identity"])
@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("s3://{bucket}/absent.mp4", "there is no such object"),
        ("s3://no-such-bucket-here/clip.mp4", "there is no such bucket"),
    ],
)
def test_what_is_not_there_is_named(bucket: Bucket, what: str, uri: str, said: str) -> None:
    uri = uri.format(bucket=bucket.name)
    storage = opened(uri)

    with pytest.raises(StorageError if what == "read" else SourceMissing) as refused:
        storage.read_bytes(10) if what == "read" else getattr(storage, what)()

    assert f"Cannot read {uri}: {said}." in refused.value.message
    assert refused.value.hint


def test_an_empty_source_is_no_video(bucket: Bucket) -> None:
    with pytest.raises(SourceInvalid, match=r"s3://.*/clip\.mp4 is empty"):
        opened(bucket.put("clip.mp4", b"")).source_url()


WRONG = {
    "nobody's access key": ({"AWS_ACCESS_KEY_ID": "AKIAWRONG"}, "does not know the access key"),
    "a wrong secret key": ({"AWS_SECRET_ACCESS_KEY": "c2VjcmV0"}, "the secret key is not the one"),
    "half of the credentials": ({"AWS_SECRET_ACCESS_KEY": ""}, "there are no credentials for S3"),
    "no credentials": ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "there are no credentials for S3"),
    "a profile that is not there": ({"AWS_PROFILE": "absent"}, "there are no credentials for S3"),
    "an endpoint that is no address": ({"AWS_ENDPOINT_URL": "localhost:9000"}, "settings of S3 make no sense"),
}


@pytest.mark.parametrize(("changes", "said"), WRONG.values(), ids=WRONG)
def test_settings_that_are_wrong_are_said_in_words_without_secrets(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], said: str
) -> None:
    uri = bucket.put("clip.mp4", b"content")
    for name, value in changes.items():
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name)

    with pytest.raises(SourceMissing) as refused:
        opened(uri).source_url()

    assert said in refused.value.message
    assert "AWS_" in refused.value.hint
    text = f"{refused.value.message} {refused.value.hint} {refused.value.log_tail}"
    for secret in (bucket.server.secret_key, bucket.server.access_key, "c2VjcmV0", "X-Amz"):
        assert secret not in text


def test_a_source_that_may_not_be_read_is_said_with_the_rights_it_takes(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = bucket.put("clip.mp4", b"content")
    for name, value in bucket.user("s3:PutObject").items():
        monkeypatch.setenv(name, value)

    with pytest.raises(SourceMissing, match="access is denied") as refused:
        opened(uri).identity()

    assert "s3:GetObject" in refused.value.hint


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("s3://bucket", "names no object"),
        ("s3://bucket/", "names no object"),
        ("s3://bucket/folder/", "names no object"),
        ("s3:///clip.mp4", "no address in S3"),
        ("s3://b/clip.mp4", "no address in S3"),
        ("s3://user:secret@bucket/clip.mp4", "no address in S3"),
        ("s3://bucket/a/../clip.mp4", "cannot be used"),
        ("s3://bucket/a\nb.mp4", "cannot be used"),
        ("s3://bucket/" + "a" * 1025, "1025 bytes"),
    ],
)
def test_an_address_that_names_no_object_is_refused_in_words(uri: str, said: str) -> None:
    with pytest.raises(StorageError, match=said) as refused:
        opened(uri)

    assert "secret" not in refused.value.message
    assert refused.value.hint


def test_the_client_is_not_loaded_for_local_files(tmp_path: Path) -> None:
    script = f"""
import sys
sys.path[:0] = {sys.path!r}
from pathlib import Path
import ecg_renderer.cli.app, ecg_renderer.local
from ecg_renderer.storage import open_storage, open_work_store
open_storage("clip.mp4", Path("/"))
open_work_store("file:///work")
assert not {{"boto3", "botocore"}} & set(sys.modules), "loaded"
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path)

    assert done.returncode == 0, done.stderr


def test_a_published_folder_gives_the_address_of_a_result() -> None:
    storages = [opened(uri) for uri in ("/videos/my clip.mp4", "s3://bucket/videos/my clip.mp4")]

    assert {storage.public_url("https://cdn.example/v/", 60) for storage in storages} == {
        "https://cdn.example/v/my%20clip.mp4"
    }
    assert storages[0].public_url(None, 60) is None


def test_an_object_that_is_not_published_gets_a_signed_address(bucket: Bucket) -> None:
    storage = opened(bucket.put("out.mp4", b"content"))

    url = storage.public_url(None, 604_800)

    assert url
    assert "X-Amz-Expires=604800" in url
    assert bucket.server.secret_key not in url
    with urlopen(url) as answer:
        assert answer.read() == b"content"


def test_a_signed_address_without_credentials_is_refused(no_aws: None) -> None:
    with pytest.raises(RenderError, match="there are no credentials"):
        opened("s3://bucket/out.mp4").public_url(None, 60)


def test_a_service_that_answers_is_told_from_one_that_knows_nobody(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert s3_is_set_up()
    assert ask_s3() == f"{bucket.server.url} answers and knows these credentials"

    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(StorageError, match="Cannot use S3: the secret key is not the one"):
        ask_s3()


def test_a_service_that_nobody_set_up_is_not_asked(no_aws: None) -> None:
    assert not s3_is_set_up()
