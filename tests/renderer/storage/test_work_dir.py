import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from ecg_renderer.errors import StorageError
from ecg_renderer.storage import WorkDir, default_work_root, lock


def put(work: WorkDir, key: str, content: bytes) -> None:
    with work.segment(key, "mkv") as segment:
        segment.path.write_bytes(content)
        segment.commit()


def test_finished_segments_are_found_again_by_their_key(tmp_path: Path) -> None:
    with WorkDir(tmp_path / "job") as work:
        assert work.finished("aa", "mkv") is None
        put(work, "aa", b"segment")

    with WorkDir(tmp_path / "job") as work:
        found = work.finished("aa", "mkv")
        assert found == work.segment_path("aa", "mkv")
        assert found.read_bytes() == b"segment"
        assert work.finished("bb", "mkv") is None


def test_a_half_written_segment_is_not_a_finished_one(tmp_path: Path) -> None:
    killed = f"""
        import os, pathlib, sys
        sys.path[:0] = {sys.path!r}
        from ecg_renderer.storage import WorkDir
        work = WorkDir(pathlib.Path({str(tmp_path)!r})).__enter__()
        work.segment("aa", "mkv").__enter__().path.write_bytes(b"half")
        os.kill(os.getpid(), 9)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(killed)], check=False)
    assert len(list((tmp_path / "segments").iterdir())) == 1

    with WorkDir(tmp_path) as work:
        assert work.finished("aa", "mkv") is None
        assert list((tmp_path / "segments").iterdir()) == []


def test_one_process_at_a_time_holds_a_work_directory(tmp_path: Path) -> None:
    with (
        WorkDir(tmp_path),
        pytest.raises(StorageError, match="Another process is rendering") as refused,
        WorkDir(tmp_path),
    ):
        pass

    assert "--work-dir" in refused.value.hint
    with WorkDir(tmp_path):
        pass


def test_cleaning_removes_all_of_it_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with WorkDir(tmp_path / "job") as work:
        put(work, "aa", b"segment")
        work.clean()

    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_a_cleaned_directory_can_be_used_again(tmp_path: Path) -> None:
    first = WorkDir(tmp_path / "job")
    with first:
        first.clean()
        with WorkDir(tmp_path / "job") as second:
            put(second, "aa", b"segment")
            assert second.finished("aa", "mkv")


def test_a_directory_that_is_cleaned_while_another_process_opens_it_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, done = lock._try_lock, []

    def cleaned_first(descriptor: int) -> bool | None:
        if not done:
            done.append(True)
            shutil.rmtree(tmp_path / "job")
        return take(descriptor)

    monkeypatch.setattr(lock, "_try_lock", cleaned_first)

    with WorkDir(tmp_path / "job") as work:
        put(work, "aa", b"segment")
        with pytest.raises(StorageError, match="Another process"), WorkDir(tmp_path / "job"):
            pass


def test_a_place_that_cannot_be_written_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with (
        pytest.raises(StorageError, match="Cannot use the work directory"),
        WorkDir(tmp_path / "file" / "job"),
    ):
        pass


def test_the_cache_directory_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_work_root() == tmp_path / "ecg-render" / "work"

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_work_root() == tmp_path / ".cache" / "ecg-render" / "work"
