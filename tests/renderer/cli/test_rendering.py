"""The commands at work: what they print where, and what they make."""

from __future__ import annotations

import hashlib
import os
import pty
import re
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

import clips
import command_line
from command_line import NO_BROWSER, Ended, ecg_render, files, scenario, workplace
from processes import SHARED_MEMORY


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ended]:
    """A folder in which a job was rendered, and what was said."""
    folder = workplace(tmp_path_factory.mktemp("rendered"))
    return folder, ecg_render("run", "job.yaml", cwd=folder)


def test_a_render_prints_the_path_of_the_video_and_nothing_else(rendered: tuple[Path, Ended]) -> None:
    folder, ended = rendered
    assert ended.code == 0, ended.err
    assert ended.out == f"{folder}/out/captioned.mp4\n"
    assert files(folder) == {"video.mp4", "scenario.json", "job.yaml", "out/captioned.mp4"}
    assert len(clips.frames(folder / "out/captioned.mp4")) == 30


def test_a_summary_on_standard_error_tells_what_was_rendered_and_how(rendered: tuple[Path, Ended]) -> None:
    _, ended = rendered
    for words in ("1.0 s of 320x180 at 30 frames/s", "x real time", "encoder   x264 (", "by canvas, 8 stages", "none"):
        assert words in ended.err


def test_quiet_says_nothing_but_the_path(rendered: tuple[Path, Ended]) -> None:
    folder, _ = rendered
    ended = ecg_render("run", "job.yaml", "--quiet", cwd=folder)
    assert (ended.err, ended.out) == ("", f"{folder}/out/captioned.mp4\n")


def test_renderers_at_once_on_one_shared_memory_do_not_disturb_each_other(tmp_path: Path) -> None:
    """Two of them each in a process namespace of its own, as in two containers: their process ids are the same."""
    container = ["unshare", "--user", "--map-root-user", "--pid", "--fork"]
    if subprocess.run([*container, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine lends no namespaces")
    folders = [tmp_path / name for name in ("here", "one", "other")]
    shared = set(SHARED_MEMORY.iterdir())
    renders = []
    for folder, around in zip(folders, ([], container, container), strict=True):
        folder.mkdir()
        command = [*around, *command_line.command("run", "job.yaml", "--quiet")]
        environment = command_line.environment(folder)
        renders.append(subprocess.Popen(command, cwd=workplace(folder), env=environment, stderr=subprocess.PIPE))
    for render in renders:
        assert render.communicate(timeout=command_line.SECONDS)[1] == b""
        assert render.returncode == 0
    results = {hashlib.sha256((folder / "out/captioned.mp4").read_bytes()).hexdigest() for folder in folders}
    assert len(results) == 1
    ours = {f"ecg-profile-{render.pid}-" for render in renders} | {f"ecg-profile-{pid}-" for pid in range(1, 10)}
    left = set(SHARED_MEMORY.iterdir()) - shared
    assert [path for path in left if path.name.startswith(tuple(ours))] == []


def test_json_is_one_object_with_the_whole_result(tmp_path: Path) -> None:
    ended = ecg_render("run", "job.yaml", "--json", "--segments", "2", "--stages", "2", cwd=workplace(tmp_path))
    result = ended.json
    output = tmp_path / "out/captioned.mp4"
    assert result["output"] == str(output)
    assert result["sha256"] == hashlib.sha256(output.read_bytes()).hexdigest()
    told = [result[key] for key in ("frames", "framesDropped", "segments", "stages", "capture", "encoder", "rate")]
    assert told == [30, 0, 2, 2, "canvas", "x264", "30/1"]
    assert 0 < result["distinctFrames"] < 10
    assert set(result["seconds"]) >= {"planning", "starting", "rendering", "merging", "total"}


def test_options_change_the_manifest_and_paths_start_at_the_current_folder(tmp_path: Path) -> None:
    (tmp_path / "job").mkdir()
    workplace(tmp_path / "job")
    options = ["--output", "here.mov", "--set", "spec.options.format=mov", "--set", "spec.options.width=160"]
    ended = ecg_render("run", "job/job.yaml", *options, "--encoder", "x264", "--capture", "screenshot", cwd=tmp_path)
    assert ended.code == 0, ended.err
    assert ended.out == f"{tmp_path}/here.mov\n"
    assert clips.frames(tmp_path / "here.mov")[0].shape == (90, 160)
    assert "by screenshot" in ended.err


def test_a_manifest_is_read_from_standard_input(tmp_path: Path) -> None:
    workplace(tmp_path)
    ended = ecg_render("plan", "-", cwd=tmp_path, stdin=(tmp_path / "job.yaml").read_text())
    assert ended.code == 0, ended.err
    assert "320x180 h264" in ended.out


def test_a_terminal_shows_a_bar_and_keeps_the_warnings(tmp_path: Path) -> None:
    captions = scenario("one", "two", seconds=1)
    captions["cues"].append(command_line.cue("late", 5, 6))
    workplace(tmp_path, captions=captions)
    shown = on_terminal(command_line.command("run", "job.yaml"), tmp_path)
    for words in ("Planning", "Rendering", "/30", "x264", "canvas", "Warning: cues[2]: is shown from 5 to 6 s"):
        assert words in shown


def on_terminal(command: list[str], folder: Path) -> str:
    """Run a command whose standard error is a terminal, and return what that was shown."""
    ours, theirs = pty.openpty()
    environment = command_line.environment(folder, {"TERM": "xterm-256color", "COLUMNS": "120"})
    child = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError:  # how Linux says that the other side is closed
        pass
    os.close(ours)
    assert child.wait(command_line.SECONDS) == 0, shown
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())


def test_a_plan_shows_source_segments_and_warnings(tmp_path: Path) -> None:
    captions = scenario("one", "two", seconds=1)
    captions["cues"].append(command_line.cue("late", 5, 6))
    ended = ecg_render("plan", "job.yaml", "--segments", "2", cwd=workplace(tmp_path, captions=captions))
    for words in ("video.mp4", "320x180 h264 in mov, 30 frames/s, 30 frames, 1.0 s", "aac, 1 channel, 48 kHz"):
        assert words in ended.out
    for words in ("different pictures", "about", "cues[2]: is shown from 5 to 6 s"):
        assert words in ended.out
    assert files(tmp_path) == {"video.mp4", "scenario.json", "job.yaml"}


def test_a_plan_as_json_has_the_models_words_and_the_encoder(tmp_path: Path) -> None:
    ended = ecg_render("plan", "job.yaml", "--json", "--segments", "3", cwd=workplace(tmp_path))
    plan = ended.json
    assert [len(plan["segments"]), len(plan["cells"])] == [3, 3]
    assert [plan["target"]["frames"], plan["target"]["encoder"]] == [30, "x264"]
    assert plan["source"]["rate"] == "30/1"
    assert plan["segments"][0]["start"] == 0


def picture(path: Path, pixel_format: str) -> NDArray[np.uint8]:
    with av.open(str(path)) as container:
        return next(container.decode(video=0)).to_ndarray(format=pixel_format)


def test_a_still_is_the_frame_of_the_video(tmp_path: Path) -> None:
    workplace(tmp_path, quality=100)
    assert ecg_render("run", "job.yaml", "--quiet", cwd=tmp_path).code == 0
    ended = ecg_render("still", "job.yaml", "--at", "0.3", "-o", "still.png", cwd=tmp_path)
    assert ended.out == f"{tmp_path}/still.png\n", ended.err
    with av.open(str(tmp_path / "out/captioned.mp4")) as video:
        frame = list(video.decode(video=0))[9].to_ndarray(format="rgb24")
    still = picture(tmp_path / "still.png", "rgb24")
    assert still.shape == frame.shape
    assert np.abs(still.astype(int) - frame).mean() < 3
    assert clips.read_counters(tmp_path / "still.png")[0].source == 9
    assert b"sRGB" in (tmp_path / "still.png").read_bytes()[:200]  # else browsers turn its hues


def test_captions_only_are_transparent_where_there_is_no_caption(tmp_path: Path) -> None:
    workplace(tmp_path)
    ended = ecg_render("still", "job.yaml", "--at", "0.3", "--captions-only", "-o", "captions.png", cwd=tmp_path)
    assert ended.code == 0, ended.err
    captions = picture(tmp_path / "captions.png", "rgba")
    assert captions.shape == (180, 320, 4)
    opaque = np.argwhere(captions[..., 3] > 128)
    assert 20 < len(opaque) < 5000
    assert opaque[:, 0].min() > 90, "the caption stands in the lower half"


def test_a_still_without_a_caption_needs_no_browser(tmp_path: Path) -> None:
    workplace(tmp_path, captions=scenario())
    ended = ecg_render("still", "job.yaml", "--at", "0", "--captions-only", "-o", "nothing.png", cwd=tmp_path)
    assert ended.code == 0, ended.err
    assert not picture(tmp_path / "nothing.png", "rgba").any()


@pytest.mark.parametrize("seconds", ["1", "-0.1", "nan"])
def test_a_still_outside_of_the_video_says_how_long_it_is(tmp_path: Path, seconds: str) -> None:
    workplace(tmp_path)
    ended = ecg_render("still", "job.yaml", "--at", seconds, "-o", "x.png", cwd=tmp_path, changes=NO_BROWSER)
    assert ended.code == 68
    assert "1.000 s long" in ended.err
    assert not (tmp_path / "x.png").exists()
