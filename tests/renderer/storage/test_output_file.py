import asyncio
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from ecg_renderer.errors import Cancelled, ResourceError, StorageError
from ecg_renderer.storage import OutputFile, check_writable, open_result, open_storage


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_an_output_appears_under_its_name_only_when_committed(tmp_path: Path) -> None:
    destination = tmp_path / "out.mp4"
    destination.write_bytes(b"old")

    with OutputFile(destination, "key") as output:
        assert output.path.parent == tmp_path
        assert output.path.name.startswith(".")
        assert output.path.suffix == ".mp4"
        output.path.write_bytes(b"new")
        assert destination.read_bytes() == b"old"
        assert output.commit() == str(destination)

    assert destination.read_bytes() == b"new"
    assert names(tmp_path) == ["out.mp4"]


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt, None])
def test_an_output_that_is_not_committed_leaves_nothing_behind(
    tmp_path: Path, failure: type[BaseException] | None
) -> None:
    destination = tmp_path / "new" / "deeper" / "out.mp4"

    def render() -> None:
        with OutputFile(destination, "key") as output:
            output.path.write_bytes(b"half")
            if failure:
                raise failure

    if failure:
        with pytest.raises(failure):
            render()
    else:
        render()

    assert names(tmp_path) == []


def test_a_folder_of_pictures_that_is_not_committed_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = open_result("new/deeper/pictures/", tmp_path)
    with folder.output("key") as output:
        (output.path / "captions-000000.png").write_bytes(b"half")
    assert names(tmp_path) == []
    with folder.output("key") as output:
        (output.path / "captions-000000.png").write_bytes(b"done")
        assert output.commit() == folder.name == f"{tmp_path}/new/deeper/pictures/"
    assert names(tmp_path / "new" / "deeper") == ["pictures"]
    assert names(tmp_path / "new" / "deeper" / "pictures") == ["captions-000000.png"]


def test_what_somebody_puts_into_a_folder_of_pictures_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    with open_result("pictures/", tmp_path).output("key") as output:
        (tmp_path / "pictures" / "notes.txt").write_text("mine")
        with pytest.raises(StorageError, match=r"holds notes\.txt, which no render wrote"):
            output.commit()
    assert names(tmp_path) == ["pictures"]
    assert names(tmp_path / "pictures") == ["notes.txt"]


def write_pictures(folder: Path, content: bytes) -> None:
    folder.mkdir(exist_ok=True)
    for number in range(3):
        (folder / f"captions-{number:06}.png").write_bytes(content)


def contents(folder: Path) -> set[bytes]:
    return {path.read_bytes() for path in folder.iterdir()}


def test_who_is_cancelled_while_a_folder_of_pictures_gets_its_name_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = tmp_path / "pictures"
    write_pictures(pictures, b"old")
    renaming, rename = threading.Event(), Path.rename

    def slow_rename(path: Path, target: Path) -> Path:
        renaming.set()
        time.sleep(0.1)
        return rename(path, target)

    async def write() -> None:
        with open_result("pictures/", tmp_path).output("key") as output:
            write_pictures(output.path, b"new")
            monkeypatch.setattr(Path, "rename", slow_rename)
            await asyncio.to_thread(output.commit)

    async def run() -> None:
        writing = asyncio.create_task(write())
        assert await asyncio.to_thread(renaming.wait, 60)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        assert names(tmp_path) == ["pictures"]

    asyncio.run(run())
    assert contents(pictures) == {b"new"}


def test_a_folder_of_pictures_whose_context_was_left_is_not_committed(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    write_pictures(pictures, b"old")
    with open_result("pictures/", tmp_path).output("key") as output:
        write_pictures(output.path, b"new")
    with pytest.raises(Cancelled, match="no longer wanted"):
        output.commit()
    assert names(tmp_path) == ["pictures"]
    assert contents(pictures) == {b"old"}


@pytest.mark.parametrize(("renames", "kept"), [(0, b"old"), (1, b"old"), (2, b"new")])
def test_a_folder_of_pictures_outlives_a_killed_commit(tmp_path: Path, renames: int, kept: bytes) -> None:
    pictures = tmp_path / "pictures"
    write_pictures(pictures, b"old")
    killed = f"""
        import os, pathlib, sys
        sys.path[:0] = {sys.path!r}
        from ecg_renderer.storage import open_result
        rename, left = pathlib.Path.rename, [{renames}]
        def dying(path, target):
            if not left[0]:
                os.kill(os.getpid(), 9)
            left[0] -= 1
            moved = rename(path, target)
            if not left[0] and {renames} == 2:
                os.kill(os.getpid(), 9)
            return moved
        pathlib.Path.rename = dying
        with open_result("pictures/", pathlib.Path({str(tmp_path)!r})).output("key") as output:
            (output.path / "captions-000000.png").write_bytes(b"new")
            output.commit()
    """
    assert subprocess.run([sys.executable, "-c", textwrap.dedent(killed)], check=False).returncode == -9
    with open_result("pictures/", tmp_path).output("key") as output:
        assert contents(pictures) == {kept}
        assert not list(output.path.glob("*.png"))
        write_pictures(output.path, b"next")
        output.commit()
    assert names(tmp_path) == ["pictures"]
    assert contents(pictures) == {b"next"}


def test_the_root_is_no_folder_for_pictures(tmp_path: Path) -> None:
    root = open_result("/", tmp_path)
    assert root.name == "/"
    with pytest.raises(StorageError, match="which no render wrote"), root.output("key"):
        pass


def test_a_committed_output_keeps_the_directories_that_were_made_for_it(tmp_path: Path) -> None:
    destination = tmp_path / "new" / "out.mp4"
    with OutputFile(destination, "key") as output:
        output.path.write_bytes(b"done")
        output.commit()

    assert destination.read_bytes() == b"done"


def test_a_name_of_the_greatest_length_can_be_written(tmp_path: Path) -> None:
    destination = tmp_path / ("긴" * 83 + ".mp4")

    with OutputFile(destination, "k" * 64) as output:
        output.path.write_bytes(b"done")
        output.commit()

    assert destination.read_bytes() == b"done"


def test_a_link_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "out.mp4"
    link.symlink_to(tmp_path / "real" / "out.mp4")

    with OutputFile(link, "key") as output:
        output.path.write_bytes(b"done")
        output.commit()

    assert link.is_symlink()
    assert (tmp_path / "real" / "out.mp4").read_bytes() == b"done"


def test_a_directory_is_no_output(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="is a directory"):
        check_writable(tmp_path)


def test_a_device_is_no_output() -> None:
    with pytest.raises(StorageError, match="not a regular file"):
        check_writable(Path("/dev/null"))


def test_a_place_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(StorageError, match="is a file, not a directory"):
        check_writable(tmp_path / "file" / "sub" / "out.mp4")


def test_a_place_where_the_system_makes_no_files_is_refused() -> None:
    with pytest.raises(StorageError, match=r"Cannot write /proc/out\.mp4"):
        check_writable(Path("/proc/out.mp4"))


@pytest.mark.parametrize("kind", ["same path", "hard link", "symbolic link"])
def test_the_source_is_never_overwritten(tmp_path: Path, kind: str) -> None:
    source = tmp_path / "clip.mp4"
    source.write_bytes(b"footage")
    output = tmp_path / "out.mp4"
    if kind == "same path":
        output = source
    elif kind == "hard link":
        output.hardlink_to(source)
    else:
        output.symlink_to(source)

    with pytest.raises(StorageError, match="is the source itself"):
        check_writable(output, source=str(source))

    assert source.read_bytes() == b"footage"


def test_an_output_larger_than_the_free_space_is_refused_before_the_render(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="MB free, but the output may need"):
        check_writable(tmp_path / "out.mp4", needed_bytes=1 << 60)

    assert names(tmp_path) == []


def test_checking_leaves_no_trace(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "out.mp4", source="https://host/clip.mp4")

    assert names(tmp_path) == []


def test_two_renders_of_one_job_do_not_share_a_file(tmp_path: Path) -> None:
    destination = tmp_path / "out.mp4"
    with OutputFile(destination, "key") as first:
        first.path.write_bytes(b"first")
        with pytest.raises(StorageError, match="Another process is writing"), OutputFile(destination, "key"):
            pass
        assert first.path.read_bytes() == b"first"


def test_another_job_for_the_same_output_does_not_disturb_a_living_one(tmp_path: Path) -> None:
    destination = tmp_path / "out.mp4"
    with OutputFile(destination, "one") as first:
        first.path.write_bytes(b"first")
        with OutputFile(destination, "two") as second:
            assert second.path != first.path
        first.commit()

    assert destination.read_bytes() == b"first"


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    destination = tmp_path / "out.mp4"
    killed = f"""
        import os, pathlib, sys
        sys.path[:0] = {sys.path!r}
        from ecg_renderer.storage import OutputFile
        OutputFile(pathlib.Path({str(destination)!r}), "dead").__enter__().path.write_bytes(b"half")
        os.kill(os.getpid(), 9)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(killed)], check=False)
    left = names(tmp_path)
    (tmp_path / ".somebody.part.mp4").write_bytes(b"not ours")

    check_writable(destination)

    assert len(left) == 1
    assert names(tmp_path) == [".somebody.part.mp4"]


def mounted(tmp_path: Path, options: str, code: str) -> subprocess.CompletedProcess[str]:
    """Run Python `code` with a small file system of its own at `tmp_path`."""
    script = f'mount -t tmpfs -o {options} none "{tmp_path}" && exec "{sys.executable}" -c "$0"'
    setup = f"import pathlib, sys; sys.path[:0] = {sys.path!r}; place = pathlib.Path({str(tmp_path)!r})\n"
    return subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script, setup + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def can_mount(tmp_path: Path) -> None:
    if mounted(tmp_path, "size=64k", "").returncode:
        pytest.skip("this system lets the tests mount nothing")


CHECK = """
    from ecg_renderer.errors import RenderError
    from ecg_renderer.storage import OutputFile, check_writable
    try:
        check_writable(place / "out.mp4")
    except RenderError as error:
        print(error.code, error.message)
    print(sorted(path.name for path in place.iterdir()))
"""


@pytest.mark.usefixtures("can_mount")
def test_a_full_disk_is_found_before_the_render(tmp_path: Path) -> None:
    fill = """
    try:
        (place / "filler").write_bytes(bytes(1 << 20))
    except OSError:
        pass
    """
    run = mounted(tmp_path, "size=64k", textwrap.dedent(fill) + textwrap.dedent(CHECK))

    assert "SYSTEM_RESOURCE_ERROR Cannot write" in run.stdout
    assert "the disk is full" in run.stdout
    assert "['filler']" in run.stdout


@pytest.mark.usefixtures("can_mount")
def test_a_read_only_disk_is_found_before_the_render(tmp_path: Path) -> None:
    run = mounted(tmp_path, "ro", CHECK)

    assert "STORAGE_ACCESS_ERROR Cannot write" in run.stdout
    assert "the file system is read-only" in run.stdout


def test_a_failed_commit_leaves_the_old_output(tmp_path: Path) -> None:
    destination = tmp_path / "out.mp4"
    destination.write_bytes(b"old")

    with (
        pytest.raises(StorageError, match="Cannot write"),
        OutputFile(destination, "key") as output,
    ):
        output.path.unlink()
        output.commit()

    assert destination.read_bytes() == b"old"
    assert names(tmp_path) == ["out.mp4"]


def test_a_directory_without_permission_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try_it = f"""
        import os, pathlib, sys
        sys.path[:0] = {sys.path!r}
        from ecg_renderer.errors import StorageError
        from ecg_renderer.storage import check_writable
        os.chdir({str(tmp_path)!r})
        if os.geteuid() == 0:
            os.seteuid(65534)  # root may write everywhere
        try:
            check_writable(pathlib.Path("out.mp4"))
        except StorageError as error:
            print(error.message)
    """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(try_it)], capture_output=True, text=True, check=False)

    assert "out.mp4: permission is denied" in run.stdout, run.stderr


def test_the_output_of_a_uri_is_beside_its_destination(tmp_path: Path) -> None:
    with open_storage("out.mp4", tmp_path).output("key") as output:
        output.path.write_bytes(b"done")
        assert output.commit() == str(tmp_path / "out.mp4")
