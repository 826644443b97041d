"""`ecg-render frames --hash`: one line a frame, the same lines however the work is cut up."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import numpy as np
import pytest

import command_line
from command_line import ecg_render, scenario, workplace
from ecg_renderer.model import Box
from ecg_renderer.stills import HashedPicture

EMPTY = hashlib.sha256(bytes(320 * 180 * 4)).hexdigest()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workplace whose captions move."""
    captions = scenario("one", "two", "three", plugin="elastic")
    captions["cues"].append(command_line.cue("throughout", 0.2, 0.75, "fadein"))
    return workplace(tmp_path_factory.mktemp("hashes"), captions=captions)


@pytest.fixture(scope="module")
def listing(folder: Path) -> list[str]:
    """The lines for one segment and one stage."""
    ended = ecg_render("frames", "job.yaml", "--hash", "--segments", "1", "--stages", "1", cwd=folder)
    assert ended.code == 0, ended.err
    return ended.out.splitlines()


def test_there_is_a_line_for_each_frame(listing: list[str]) -> None:
    assert [line.split()[0] for line in listing] == [str(n) for n in range(30)]
    assert all(len(line.split()[1]) == 64 for line in listing)


def test_pictures_that_move_have_different_hashes_and_dead_frames_that_of_the_empty_picture(listing: list[str]) -> None:
    hashes = [line.split()[1] for line in listing]
    assert len(set(hashes)) > 10
    assert hashes[29] == EMPTY
    assert hashes[15] != EMPTY


OTHER_WAYS = {
    "4 segments": ["--segments", "4"],
    "13 segments": ["--segments", "13", "--stages", "2"],
    "4 stages": ["--stages", "4"],
}


@pytest.mark.parametrize("options", OTHER_WAYS.values(), ids=OTHER_WAYS)
def test_the_same_pictures_come_out_however_the_work_is_cut_up(
    folder: Path, listing: list[str], options: list[str]
) -> None:
    ended = ecg_render("frames", "job.yaml", "--hash", *options, cwd=folder)
    assert ended.out.splitlines() == listing, ended.err


def test_a_range_gives_the_same_lines_as_the_whole(folder: Path, listing: list[str]) -> None:
    ended = ecg_render("frames", "job.yaml", "--hash", "--range", "11:17", cwd=folder)
    assert ended.out.splitlines() == listing[11:17], ended.err


def test_an_empty_range_is_listed_without_a_browser(folder: Path) -> None:
    options = ["--range", "29:30"]
    ended = ecg_render("frames", "job.yaml", "--hash", *options, cwd=folder)
    assert ended.out == f"29 {EMPTY}\n", ended.err


def test_without_hash_the_command_says_that_it_is_needed(folder: Path) -> None:
    ended = ecg_render("frames", "job.yaml", cwd=folder)
    assert ended.code == 2
    assert "--hash" in ended.err


def test_a_reader_that_has_seen_enough_is_no_failure(folder: Path) -> None:
    lister = " ".join(command_line.command("frames", "job.yaml", "--hash"))
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{lister} | head -n 1"],
        cwd=folder,
        env=command_line.environment(folder),
        capture_output=True,
        text=True,
        timeout=command_line.SECONDS,
        check=False,
    )
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1


def patch(box: Box, value: tuple[int, int, int, int]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.tile(np.array(value, np.uint8), box.area)


def test_the_hash_is_that_of_all_bytes_after_any_order_of_changes() -> None:
    picture, plain = HashedPicture(40, 300), np.zeros((300, 40, 4), np.uint8)
    random = np.random.default_rng(7)
    for _ in range(50):
        top, left = int(random.integers(0, 290)), int(random.integers(0, 30))
        box = Box(left, top, 10, 10)
        value = (int(random.integers(1, 256)), 2, 3, 255)
        picture.apply(box, patch(box, value))
        plain[top : top + 10, left : left + 10] = value
        assert picture.shows(box, patch(box, value))
        assert picture.digest() == hashlib.sha256(plain.tobytes()).hexdigest()
    picture.clear()
    assert picture.digest() == hashlib.sha256(bytes(40 * 300 * 4)).hexdigest()


def test_the_colour_of_transparent_pixels_does_not_count() -> None:
    picture, box = HashedPicture(8, 8), Box(0, 0, 8, 8)
    picture.apply(box, patch(box, (9, 9, 9, 0)))
    assert picture.digest() == HashedPicture(8, 8).digest()
    assert picture.shows(box, patch(box, (1, 2, 3, 0)))
