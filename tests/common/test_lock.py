"""Files that one living process holds: what others who clean up at the worst moment do to them."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from ecg_common import lock
from ecg_common.lock import open_locked, remove_abandoned


@pytest.fixture(params=["its name comes last", "its name comes first"])
def file(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A path on a file system that lets a file be locked before it has a name, or on one that does not."""
    if request.param == "its name comes first":
        monkeypatch.setattr(lock, "_made_locked", lambda path: None)
    return tmp_path / "file"


def test_one_holds_it_and_the_others_neither_open_nor_remove_it(file: Path) -> None:
    held = open_locked(file)
    assert held is not None
    assert open_locked(file) is None
    assert not remove_abandoned(file)
    os.close(held)
    assert remove_abandoned(file)
    assert not file.exists()


def test_what_a_dead_process_left_is_taken_over(file: Path) -> None:
    file.write_bytes(b"half")
    held = open_locked(file)
    assert held is not None
    assert os.read(held, 9) == b"half"
    assert not remove_abandoned(file)
    os.close(held)


def test_a_new_file_is_never_seen_without_its_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, removed, flock = tmp_path / "file", [], fcntl.flock

    def cleaned_up_before(descriptor: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        removed.append(remove_abandoned(file))
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", cleaned_up_before)
    held = open_locked(file)
    assert held is not None
    assert removed == [False]
    assert os.path.samestat(file.stat(), os.fstat(held))
    os.close(held)


def test_who_only_looks_whether_it_is_abandoned_is_waited_for(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.touch()
    looking = os.open(file, os.O_RDWR)
    fcntl.flock(looking, fcntl.LOCK_EX)
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        if not pauses:
            os.close(looking)
        pauses.append(seconds)

    monkeypatch.setattr(lock.time, "sleep", pause)
    held = open_locked(file)
    assert held is not None
    assert len(pauses) == 1
    os.close(held)


def test_a_link_is_not_followed(file: Path, tmp_path: Path) -> None:
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="file"):
        open_locked(file)
    assert not (tmp_path / "elsewhere").exists()
