import os
from pathlib import Path

import pytest

from ecg_renderer.errors import SourceMissing, StorageError
from ecg_renderer.storage import FileStorage, open_storage


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("clip.mp4", "/jobs/clip.mp4"),
        ("media/clip.mp4", "/jobs/media/clip.mp4"),
        ("../clip.mp4", "/clip.mp4"),
        ("/videos/clip.mp4", "/videos/clip.mp4"),
        ("file:///videos/clip.mp4", "/videos/clip.mp4"),
        ("file://localhost/videos/clip.mp4", "/videos/clip.mp4"),
        ("file:///videos/my%20clip.mp4", "/videos/my clip.mp4"),
        ("file:///videos/what?#1.mp4", "/videos/what?#1.mp4"),
        ("100%25.mp4", "/jobs/100%25.mp4"),
        ("C:clip.mp4", "/jobs/C:clip.mp4"),
        ("영상 제목.mp4", "/jobs/영상 제목.mp4"),
    ],
)
def test_a_path_is_found_from_the_manifests_directory(uri: str, path: str) -> None:
    storage = open_storage(uri, Path("/jobs"))

    assert isinstance(storage, FileStorage)
    assert storage.name == path


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("ftp://host/clip.mp4", "ftp:// is not supported"),
        ("gs://user:secret@bucket/clip.mp4?token=secret", "gs://bucket/clip.mp4"),
        ("", "names no file"),
        ("  ", "names no file"),
        ("a\0b", "names no file"),
        ("file://videos/clip.mp4", "names the host 'videos'"),
        ("file:///a%00b", "no absolute path"),
    ],
)
def test_a_uri_that_nothing_serves_is_refused_in_words(uri: str, said: str) -> None:
    with pytest.raises(StorageError) as refused:
        open_storage(uri, Path("/jobs"))

    assert said in refused.value.message
    assert "secret" not in refused.value.message
    assert refused.value.hint


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    (tmp_path / "scenario.json").write_bytes(b"12345")
    storage = open_storage("scenario.json", tmp_path)

    assert storage.read_bytes(5) == b"12345"
    with pytest.raises(StorageError, match="larger than the 4 bytes"):
        storage.read_bytes(4)


@pytest.mark.parametrize(("name", "said"), [("absent.json", "no such file"), (".", "directory")])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(StorageError, match=said) as refused:
        open_storage(name, tmp_path).read_bytes(10)

    assert str(tmp_path) in refused.value.message


def test_ffmpeg_gets_the_absolute_path_of_a_source(tmp_path: Path) -> None:
    (tmp_path / "-odd name.mp4").write_bytes(b"x")

    assert open_storage("-odd name.mp4", tmp_path).source_url() == str(tmp_path / "-odd name.mp4")


@pytest.mark.parametrize(("name", "said"), [("absent.mp4", "no such file"), (".", "is a directory")])
def test_a_source_that_is_not_there_is_the_clients_mistake(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(SourceMissing, match=said):
        open_storage(name, tmp_path).source_url()


def test_identity_follows_the_content_and_not_the_name(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"first version")
    before = open_storage("clip.mp4", tmp_path).identity()

    clip.rename(tmp_path / "renamed.mp4")
    renamed = open_storage("renamed.mp4", tmp_path).identity()
    (tmp_path / "renamed.mp4").write_bytes(b"other version")
    edited = open_storage("renamed.mp4", tmp_path).identity()

    assert renamed == before
    assert edited != before
    with pytest.raises(SourceMissing, match="no such file"):
        open_storage("clip.mp4", tmp_path).identity()


def test_identity_notices_a_change_in_the_middle_of_a_long_file(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(bytes(3 << 20))
    os.utime(clip, ns=(0, 0))
    before = open_storage("clip.mp4", tmp_path).identity()

    with clip.open("r+b") as file:
        file.seek(3 << 19)
        file.write(b"x")

    assert open_storage("clip.mp4", tmp_path).identity() != before
