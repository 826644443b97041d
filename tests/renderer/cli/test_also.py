"""`--also`: more results of one run, from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from command_line import NO_BROWSER, ecg_render, files, workplace
from ecg_renderer.cli.requests import named_by_also


def test_more_results_are_made_and_listed(tmp_path: Path) -> None:
    before = files(workplace(tmp_path))
    options = ["--also", "out/small.mp4:160x90", "--also", "captions=out/over.webm", "--also", "out/words.vtt"]
    ended = ecg_render("run", "job.yaml", *options, cwd=tmp_path)
    assert ended.code == 0, ended.err
    names = ["captioned.mp4", "small.mp4", "over.webm", "words.vtt"]
    assert ended.out.splitlines() == [f"{tmp_path}/out/{name}" for name in names]
    assert files(tmp_path) - before == {f"out/{name}" for name in names}
    assert "also      small.mp4: video, " in ended.err
    assert "over.webm: captions, " in ended.err


def test_a_size_that_is_impossible_is_refused_with_its_field(tmp_path: Path) -> None:
    before = files(workplace(tmp_path))
    # The other side would be 36 pixels.
    wanted = "spec.renditions=[{uri: out/b.mp4, width: 64}]"
    ended = ecg_render("run", "job.yaml", "--set", wanted, "--json", cwd=tmp_path, changes=NO_BROWSER)
    assert ended.code == 68
    assert "spec.renditions[0]: With the other side as given" in ended.err
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("also", "words"),
    [
        ("out/a.mkv", "--also out/a.mkv ends in none of"),
        ("out/a.mp4:10x64", "--also out/a.mp4:10x64: width: 10 is below 64"),
        ("out/a.mp4:64x9999", "--also out/a.mp4:64x9999: height: 9999 is above"),
        ("captions=out/a.mp4", "--also captions=out/a.mp4: captions alone need an alpha channel"),
        ("out/captioned.mp4", "where spec.output is written too"),
        ("out/", "captioned.mp4: a folder of pictures is replaced as a whole"),
        ("out/captioned.mp4/", "captioned.mp4: a folder of pictures is replaced as a whole"),
        ("/", "--also / is /, where spec.output is"),
        ("", "names no file"),
    ],
)
def test_what_cannot_be_made_is_refused_before_anything_is_rendered(tmp_path: Path, also: str, words: str) -> None:
    before = files(workplace(tmp_path))
    ended = ecg_render("run", "job.yaml", "--also", also, cwd=tmp_path, changes=NO_BROWSER)
    assert ended.code in (64, 68)
    assert words in ended.err
    assert "renditions" not in ended.err
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--also link/captioned.mp4:160x90", "link/captioned.mp4, where spec.output is written too, as {}/out/"),
        ("--also out/pics/ --also link/pics/", "link/pics/, where --also out/pics/ is written too, as {}/out/pics/"),
        ("--also link/", "link/, where spec.output is {}/out/captioned.mp4: a folder of pictures is replaced"),
        ("--live out/w --also out/w/x.srt", "out/w/x.srt, where spec.live is {}/out/w: the folder to watch holds"),
        (
            "--set spec.live={} --also out/captioned-live/x.srt",
            "out/captioned-live/x.srt, where spec.live is {}/out/ca",
        ),
        ("--live link/w --also out/w/p/", "out/w/p/, where spec.live is {}/link/w: the folder to watch holds"),
        ("--live link/w/v --also out/w/", "out/w/, where spec.live is {}/link/w/v: a folder of pictures is replaced"),
    ],
)
def test_places_are_told_apart_by_where_links_lead(tmp_path: Path, options: str, words: str) -> None:
    before = files(workplace(tmp_path))
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to("out")
    ended = ecg_render("run", "job.yaml", *options.split(), cwd=tmp_path, changes=NO_BROWSER)
    assert ended.code == 64, ended.err
    assert f"is {tmp_path}/{words.format(tmp_path)}" in " ".join(ended.err.split())
    assert files(tmp_path) == before


def test_what_the_manifest_and_what_also_asked_for_is_told_apart() -> None:
    said = "Set spec.renditions[0].width. spec: renditions[1].uri: no. spec.renditions[2].height: 1. renditions[3]: x"
    named = "Set the width of --also a.mp4:1x1. --also b.mkv: no. spec.renditions[0].height: 1. renditions[1]: x"
    assert named_by_also(said, ["a.mp4:1x1", "b.mkv"]) == named


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("spec.renditions[0]", "job.yaml: --set 'spec.renditions[0]': must look like"),
        ("spec.renditions[0].width=[", "job.yaml: --set spec.renditions[0].width: '[' is not a YAML value"),
        ("spec.renditions[0].width=64", "job.yaml: spec.renditions[0]: unknown field"),
        ("spec.renditions=[{uri: b.mp4, width: 1}]", "job.yaml: spec.renditions[0].width: 1 is below 64"),
    ],
)
def test_an_assignment_is_named_as_it_was_written(tmp_path: Path, assignment: str, words: str) -> None:
    workplace(tmp_path)
    options = ["--also", "a.mp4:64x64", "--set", assignment]
    ended = ecg_render("run", "job.yaml", *options, cwd=tmp_path, changes=NO_BROWSER)
    assert ended.code == 64
    assert words in " ".join(ended.err.split())


def test_the_plan_lists_what_will_be_made(tmp_path: Path) -> None:
    workplace(tmp_path)
    wanted = "spec.renditions=[{uri: a.mp4, width: 160, height: 90}, {uri: b.srt}]"
    ended = ecg_render("plan", "job.yaml", "--json", "--set", wanted, cwd=tmp_path)
    assert [(made["name"], made["content"], made.get("width")) for made in ended.json["renditions"]] == [
        ("a.mp4", "video", 160),
        ("b.srt", "subtitles", None),
    ]
