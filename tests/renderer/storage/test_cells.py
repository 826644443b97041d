"""The store of finished cells gives back what was put into it, whole or not at all."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ecg_renderer.errors import StorageError
from ecg_renderer.storage.cells import (
    Cell,
    CellStore,
    Kept,
    clear_cells,
    default_cells,
    kept_in,
    limit_cells,
    run_folder,
    seal_cell,
    told_again,
    whole_seal,
)
from ecg_renderer.storage.work_store import FolderWorkStore, open_work_store
from s3 import Bucket

CELL = Cell.of("ab12", "x264", 250)
PICTURES = os.urandom(70_000)


@pytest.fixture(params=["folder", "s3"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a store is."""
    if request.param == "folder":
        return (tmp_path / "store").as_uri()
    bucket: Bucket = request.getfixturevalue("bucket")
    return bucket.uri("videos/cells")


def made(folder: Path, name: str = "made.mp4", content: bytes = PICTURES) -> Path:
    """Return a finished cell's file, not sealed yet."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_bytes(content)
    return path


def keep(uri: str, path: Path, cell: Cell = CELL) -> None:
    asyncio.run(CellStore(uri).keep(cell, path))


def fetch(uri: str, path: Path, cell: Cell = CELL) -> bool:
    """Tell whether the cell came, whole."""
    path.parent.mkdir(exist_ok=True)
    found = asyncio.run(CellStore(uri).fetch({path: cell}))
    assert set(found) == ({path} if path.exists() else set())
    return path in found


def present(uri: str, *cells: Cell) -> set[int]:
    return set(asyncio.run(CellStore(uri).present(cells)))


def test_a_cell_comes_back_as_it_was_kept_and_readers_of_mp4_pass_over_its_seal(uri: str, tmp_path: Path) -> None:
    keep(uri, made(tmp_path / "a"))

    assert present(uri, CELL, Cell.of("ab12", "nvenc", 250), Cell.of("cd34", "x264", 250)) == {0}
    assert fetch(uri, tmp_path / "b/fetched.mp4")
    content = (tmp_path / "b/fetched.mp4").read_bytes()
    assert content.startswith(PICTURES)
    size, kind = content[len(PICTURES) :][:4], content[len(PICTURES) :][4:8]
    assert (int.from_bytes(size), kind) == (len(content) - len(PICTURES), b"free")


def test_what_was_found_in_a_cell_is_told_again_as_far_as_there_is_room(uri: str, tmp_path: Path) -> None:
    few = [("box", "a \x1b[1m \ud800 box"), ("outside", "리 leaves"), ("box", "a \x1b[1m \ud800 box")]
    many = [("outside", f"{number} {'긴' * 1000}") for number in range(30)]
    others = Cell.of("cd34", "x264", 250), Cell.of("ef56", "x264", 250)
    store, fetched = CellStore(uri), tmp_path / "fetched.mp4"

    async def kept() -> list[list[str]]:
        await store.keep(CELL, made(tmp_path / "a"), found=few)
        await store.keep(others[0], made(tmp_path / "b"), found=many)
        await store.keep(others[1], made(tmp_path / "c"), found=[("outside", str(number)) for number in range(9)])
        found = await store.present([CELL, *others])
        assert await store.fetch({fetched: CELL}) == {fetched: found[0]}
        return [told_again(found[number]) for number in range(3)]

    first, second, third = asyncio.run(kept())
    assert first == ["a  [1m   box", "리 leaves"]
    assert second == [*(line[:300] for _, line in many[:3]), "outside: more like this"]
    assert third == ["0", "1", "2", "outside: more like this"]


@pytest.mark.parametrize("found", ["5", "null", '[[1, 2], ["a"], "b", {}]', "[" * 1500 + "]" * 1500])
def test_what_somebody_else_wrote_into_a_seal_breaks_no_job(found: str, tmp_path: Path) -> None:
    path = made(tmp_path / "a")
    keep(tmp_path.as_uri(), path)
    store = open_work_store(tmp_path.as_uri())
    content = store.get(CELL.name)
    assert content is not None
    text = content[len(PICTURES) + 8 :].rstrip()
    assert b'"found": []' in text
    text = text.replace(b'"found": []', b'"found": ' + found.encode())
    store.put(CELL.name, content[: len(PICTURES) + 8] + text.ljust(4096 - 8))

    assert not any(asyncio.run(CellStore(tmp_path.as_uri()).present([CELL])).values())


def test_what_was_never_kept_is_not_there(uri: str, tmp_path: Path) -> None:
    assert present(uri, CELL) == set()
    assert not fetch(uri, tmp_path / "b/fetched.mp4")


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def named_otherwise(content: bytes) -> bytes:
    return content.replace(b"ab12-x264.mp4", b"ab13-x264.mp4")


DAMAGE: dict[str, tuple[Callable[[bytes], bytes], bool]] = {
    "truncated": (lambda content: content[:-1], False),
    "cut off in the middle": (lambda content: content[:30_000], False),
    "without anything before its seal": (lambda content: content[-4096:], False),
    "empty": (lambda content: b"", False),
    "a foreign file": (lambda content: b"\x00\x00\x00\x18ftypmp42" * 4000, False),
    "longer than it was": (lambda content: content + b"\x00", False),
    "another cell under this name": (named_otherwise, False),
    "one with another number of frames": (lambda content: content.replace(b'"frames": 250', b'"frames": 249'), False),
    "one whose seal is no JSON": (lambda content: content.replace(b'{"name"', b'["name"'), False),
    # Looking at the end alone cannot tell; using it does.
    "with one bit flipped": (flipped, True),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_cell_is_never_used_and_removed_that_is(damage: str, uri: str, tmp_path: Path) -> None:
    keep(uri, made(tmp_path / "a"))
    spoil, looks_well = DAMAGE[damage]
    store = open_work_store(uri)
    content = store.get(CELL.name)
    assert content is not None
    spoiled = spoil(content)
    assert spoiled != content
    store.put(CELL.name, spoiled)

    assert present(uri, CELL) == ({0} if looks_well else set())
    assert not fetch(uri, tmp_path / "b/fetched.mp4")
    assert not store.exists(CELL.name)


def test_a_cell_of_other_frames_than_wanted_is_not_used(uri: str, tmp_path: Path) -> None:
    keep(uri, made(tmp_path / "a"))
    longer = Cell(CELL.name, 251)

    assert present(uri, longer) == set()
    assert not fetch(uri, tmp_path / "b/fetched.mp4", longer)


def test_of_two_writers_either_leaves_a_whole_cell(uri: str, tmp_path: Path) -> None:
    """Two renders of the same pictures may differ in their bytes."""
    others = os.urandom(90_000)

    async def write_and_read() -> list[bytes]:
        seen = []
        for turn in range(12):
            paths = [made(tmp_path / "a", f"{turn}-one.mp4"), made(tmp_path / "a", f"{turn}-other.mp4", others)]
            fetched = tmp_path / f"a/{turn}-fetched.mp4"
            writers = [CellStore(uri).keep(CELL, path) for path in paths]
            found, *_ = await asyncio.gather(CellStore(uri).fetch({fetched: CELL}), *writers)
            assert turn == 0 or found, "between two writers a reader finds one of both"
            seen += [fetched.read_bytes()[:-4096]] if found else []
        return seen

    assert set(asyncio.run(write_and_read())) <= {PICTURES, others}
    assert fetch(uri, tmp_path / "b/fetched.mp4")


def test_who_reads_while_cells_are_removed_has_a_cell_whole_or_not_at_all(uri: str, tmp_path: Path) -> None:
    store = open_work_store(uri)

    async def write_remove_and_read() -> int:
        found = 0
        for turn in range(20):
            await CellStore(uri).keep(CELL, made(tmp_path / "a", f"{turn}.mp4"))
            fetched = tmp_path / f"a/{turn}-fetched.mp4"
            removing = asyncio.to_thread(store.remove, CELL.name)
            came, _ = await asyncio.gather(CellStore(uri).fetch({fetched: CELL}), removing)
            assert bool(came) == fetched.exists()
            assert not came or whole_seal(CELL, fetched)
            found += len(came)
        return found

    asyncio.run(write_remove_and_read())
    assert present(uri, CELL) == set()


def test_a_cell_that_goes_between_the_look_and_the_reading_is_one_that_is_not_there(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(uri, made(tmp_path / "a"))
    kind = type(open_work_store(uri))
    download = kind.download

    def too_late(store: FolderWorkStore, name: str, *arguments: object) -> None:
        store.remove(name)
        download(store, name, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(kind, "download", too_late)
    assert not fetch(uri, tmp_path / "b/fetched.mp4")


def test_what_was_fetched_stays_when_the_store_loses_it(tmp_path: Path) -> None:
    store = tmp_path / "store"
    keep(store.as_uri(), made(tmp_path / "a"))
    assert fetch(store.as_uri(), tmp_path / "b/fetched.mp4")

    assert clear_cells(store) == Kept(1, len(PICTURES) + 4096)

    assert whole_seal(CELL, tmp_path / "b/fetched.mp4")


def test_whoever_fetches_is_told_the_frames_as_they_come(uri: str, tmp_path: Path) -> None:
    cells = [Cell.of(f"{number:04x}", "x264", 10 + number) for number in range(9)]
    for number, cell in enumerate(cells[:8]):
        keep(uri, made(tmp_path / "a", f"{number}.mp4"), cell)
    frames: list[int] = []

    wanted = {tmp_path / f"a/fetched-{number}.mp4": cell for number, cell in enumerate(cells)}
    found = asyncio.run(CellStore(uri).fetch(wanted, frames.append))

    assert list(found) == list(wanted)[:8]
    assert sorted(frames) == list(range(10, 18))


def test_notes_come_back_and_a_store_that_cannot_be_used_has_none(uri: str, tmp_path: Path) -> None:
    async def note() -> list[bytes | None]:
        store = CellStore(uri)
        await store.note("probes/ab.json", b"{}")
        (tmp_path / "file").touch()
        nowhere = CellStore((tmp_path / "file/store").as_uri())
        await nowhere.note("probes/ab.json", b"{}")
        return [await store.recall("probes/ab.json"), await store.recall("x.json"), await nowhere.recall("x.json")]

    assert asyncio.run(note()) == [b"{}", None, None]


def test_a_store_that_cannot_be_written_says_so_when_a_cell_is_kept(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="store"):
        keep((tmp_path / "file/store").as_uri(), made(tmp_path / "a"))


# --- on one machine ---


def cells_of(store: Path) -> set[str]:
    return {path.name for path in store.glob("*.mp4")}


def test_the_cells_go_first_that_were_not_used_for_longest(tmp_path: Path) -> None:
    store = tmp_path / "store"
    cells = [Cell.of(f"{number:04x}", "x264", 10) for number in range(4)]
    for number, cell in enumerate(cells):
        keep(store.as_uri(), made(tmp_path / "a", f"{number}.mp4", bytes(1000)), cell)
        os.utime(store / cell.name, (number, number))
    assert fetch(store.as_uri(), tmp_path / "b/fetched.mp4", cells[0]), "so it was used just now"

    assert limit_cells(store, 30_000) == 0
    assert limit_cells(store, 2 * 5096 + 1) == 2

    assert cells_of(store) == {cells[0].name, cells[3].name}
    assert kept_in(store) == Kept(2, 2 * 5096)


def test_notes_go_when_they_are_old(tmp_path: Path) -> None:
    for name in ("probes/old.json", "looks/old.json", "looks/new.json"):
        asyncio.run(CellStore(tmp_path.as_uri()).note(name, b"{}"))
    for old in tmp_path.rglob("old.json"):
        os.utime(old, (0, 0))

    assert limit_cells(tmp_path, 10_000) == 0

    assert [path.name for path in tmp_path.rglob("*.json")] == ["new.json"]


def test_clearing_leaves_no_cell_and_no_note_but_a_render_that_runs(tmp_path: Path) -> None:
    store = tmp_path / "store"
    keep(store.as_uri(), made(tmp_path / "a"))
    asyncio.run(CellStore(store.as_uri()).note("probes/ab.json", b"{}"))
    with run_folder(store) as running:
        (running / "cell0.mp4").write_bytes(b"half")
        clear_cells(store)
        assert [path for path in store.rglob("*") if path.is_file() and running not in path.parents] == []
        assert (running / "cell0.mp4").exists()
    assert kept_in(store) == Kept(0, 0)


def test_a_store_that_is_not_there_is_an_empty_one(tmp_path: Path) -> None:
    assert kept_in(tmp_path / "store") == clear_cells(tmp_path / "store") == Kept(0, 0)
    assert limit_cells(tmp_path / "store", 0) == 0


def test_each_run_has_a_folder_of_its_own_which_goes_with_it(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with run_folder(store) as one, run_folder(store) as other:
        assert one != other
        assert one.exists()
        assert kept_in(store).cells == 0
    assert list(store.iterdir()) == []


def test_the_folder_of_a_killed_run_goes_with_the_next_one_and_that_of_a_living_one_stays(tmp_path: Path) -> None:
    store = tmp_path / "store"
    hold = f"""
        import pathlib, sys
        sys.path[:0] = {sys.path!r}
        from ecg_renderer.storage import run_folder
        with run_folder(pathlib.Path({str(store)!r})) as folder:
            (folder / "cell0.mp4").write_bytes(b"half")
            print(folder, flush=True)
            sys.stdin.read()
    """
    script = "\n".join(line[8:] for line in hold.splitlines())
    with subprocess.Popen([sys.executable, "-c", script], stdin=-1, stdout=-1, text=True) as holder:
        assert holder.stdout
        folder = Path(holder.stdout.readline().strip())
        with run_folder(store):
            assert (folder / "cell0.mp4").exists(), "its run is alive"
        holder.kill()
    with run_folder(store):
        assert not folder.exists()


def test_a_place_that_cannot_be_written_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="keep finished pieces in"), run_folder(tmp_path / "file/store"):
        pass


def test_the_users_store_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cells() == tmp_path / "ecg-render" / "cells"

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cells() == tmp_path / ".cache" / "ecg-render" / "cells"


def test_sealing_a_file_that_is_gone_is_an_error_of_storage(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        seal_cell(CELL, tmp_path / "gone.mp4")
