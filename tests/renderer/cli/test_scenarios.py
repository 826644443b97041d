"""scenario check, migrate and from; burn: what they print, and how they end."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import clips
import command_line
from command_line import ecg_render
from ecg_renderer.cli.app import app as cli
from ecg_renderer.cli.requests import as_given, burn_request
from ecg_renderer.inspection import Surroundings, inspect
from ecg_renderer.looking import Looker
from ecg_renderer.model import Film
from ecg_renderer.scenario import Picture

SRT = "1\n00:00:00,000 --> 00:00:00,400\nHello there\n\n2\n00:00:00,500 --> 00:00:01,000\nand you\n"
TOO_WIDE = "x" * 300
UNREADABLE = ["long subtitle lines", "read too fast"]


def caption(text: str, **word: Any) -> dict[str, Any]:
    root = {
        "id": "r",
        "eType": "group",
        "displayTime": [0.1, 0.9],
        "layout": {"anchor": "bc", "position": {"x": 0.5, "y": 0.9}, "childrenLayout": {"gap": 0.01}},
        "children": [{"id": "w", "eType": "text", "text": text, **word}],
    }
    return {
        "version": "2.0",
        "timebase": {"unit": "seconds"},
        "stage": {"baseAspect": "16:9"},
        "tracks": [{"id": "t", "type": "subtitle", "defaultStyle": {"fontSizeRel": 0.05}}],
        "cues": [{"id": "c1", "track": "t", "root": root}],
    }


def written(folder: Path, name: str, content: Any) -> Path:
    file = folder / name
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


@pytest.mark.parametrize(
    ("content", "kinds"),
    [
        (caption("short"), []),
        (caption(TOO_WIDE), [*UNREADABLE, "outside the picture"]),
        (caption("short", pluginChain=[{"name": "wave"}]), ["unknown plugin wave"]),
        ({"cues": [{"text": TOO_WIDE, "start": 0, "end": 1}]}, ["flat cue", "version", "missing track", *UNREADABLE]),
        (SRT, ["read too fast"]),
        (
            {**caption("one"), "cues": [{**caption("one")["cues"][0], "id": name} for name in ("c1", "c2")]},
            ["id", "overlapping captions"],
        ),
    ],
    ids=["good", "too wide", "unknown plugin", "flat fits", "subtitles", "on each other"],
)
def test_check_names_what_would_look_wrong(content: Any, kinds: list[str], tmp_path: Path) -> None:
    done = ecg_render("scenario", "check", written(tmp_path, "captions.json", content), "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert (report["canRender"], list(report["counts"])) == (True, kinds)
    for found in report["findings"]:
        assert found["path"]
        assert found["problem"]


def test_check_names_cue_and_word_and_what_to_do(tmp_path: Path) -> None:
    done = ecg_render("scenario", "check", written(tmp_path, "captions.json", caption(TOO_WIDE)), cwd=tmp_path)
    assert done.code == 0
    assert "cues[0].root.children[0]: leaves the picture: " in done.out
    assert f'(cue "c1", "{"x" * 40}")' in done.out
    assert "-> Shorten it" in done.out
    assert done.out.splitlines()[-1] == "It can be rendered: 1 cue, 3 findings of 3 kinds."


def test_check_ends_with_the_failure_of_what_cannot_be_rendered(tmp_path: Path) -> None:
    file = written(tmp_path, "captions.json", {"cues": [{"start": 1, "end": 2}]})
    done = ecg_render("scenario", "check", file, "--json", cwd=tmp_path)
    assert done.code == 67
    assert "captions.json: cues[0]: has neither a root nor a text" in json.loads(done.out)["failure"]["message"]


def test_check_measures_against_the_video(tmp_path: Path) -> None:
    file = written(tmp_path, "captions.json", {**caption("late"), "cues": [{"text": "late", "start": 500, "end": 501}]})
    video = clips.counter(command_line.CLIP)
    done = ecg_render("scenario", "check", file, "--video", video, "--json", "--no-browser", cwd=tmp_path)
    assert done.code == 0, done.err
    assert "cue outside the video" in json.loads(done.out)["counts"]


def test_migrate_prints_version_2_0_that_needs_no_more(tmp_path: Path) -> None:
    file = written(tmp_path, "old.json", {"version": "1.3", "cues": [{"text": 15, "start": 1, "end": 2}]})
    done = ecg_render("scenario", "migrate", file, cwd=tmp_path)
    assert done.code == 0
    assert "Warning: version: is 1.3" in done.err
    migrated = json.loads(done.out)
    assert migrated["version"] == "2.0"
    again = ecg_render("scenario", "migrate", written(tmp_path, "new.json", migrated), cwd=tmp_path)
    assert json.loads(again.out) == migrated
    assert again.err == ""


def test_from_writes_what_becomes_of_subtitles(tmp_path: Path) -> None:
    turned = "\n3\n00:00:05,000 --> 00:00:04,000\nturned\n"
    file, made = written(tmp_path, "talk.srt", SRT + turned), tmp_path / "talk.json"
    done = ecg_render("scenario", "from", file, "--look", "pop", "--aspect", "9:16", "-o", made, cwd=tmp_path)
    assert (done.code, done.out) == (0, f"{made}\n")
    assert done.err == "Warning: caption at 5 s: ends at 4 s, before it begins, and was taken to be shown until 6 s\n"
    data = json.loads(made.read_text())
    assert data["stage"]["baseAspect"] == "9:16"
    assert ecg_render("scenario", "check", made, "--no-browser", "--aspect", "9:16", cwd=tmp_path).code == 0


def test_from_refuses_what_is_no_subtitles(tmp_path: Path) -> None:
    for name, data, told in (
        ("a.json", {"cues": []}, "a.json is a scenario, not subtitles."),
        ("b.json", {"monologues": [], "id": 1}, "b.json: cues: is missing; there is id, monologues. What is read:"),
        ("c.json", '{"segments": [{"text": "cut o', "c.json: is not JSON: Unterminated string"),
        ("d.srt", "", "d.srt: is empty. What is read:"),
        ("e.srt", "<html><body>404</body></html>", "This looks like HTML"),
    ):
        done = ecg_render("scenario", "from", written(tmp_path, name, data), cwd=tmp_path)
        assert (done.code, told in done.err) == (67, True), done.err


def test_burn_takes_a_video_and_its_subtitles(tmp_path: Path) -> None:
    video = clips.counter(command_line.CLIP)
    output = tmp_path / "out.mp4"
    also = ("--also", "talk.vtt", "--live", "watch", "--cells", "kept")
    done = ecg_render("burn", video, written(tmp_path, "talk.srt", SRT), "-o", output, *also, "--quiet", cwd=tmp_path)
    assert (done.code, done.out) == (0, f"{output}\n{tmp_path / 'talk.vtt'}\n"), done.err
    assert (tmp_path / "talk.vtt").read_text().startswith("WEBVTT")
    assert "#EXT" in (tmp_path / "watch" / "live.m3u8").read_text()
    assert list((tmp_path / "kept").glob("*.mp4"))
    pairs = zip(clips.frames(output), clips.frames(video), strict=True)
    changed = [np.abs(after.astype(int) - before).max() > 60 for after, before in pairs]
    assert changed == [frame < 12 or frame >= 15 for frame in range(30)]


@pytest.mark.parametrize("look", ["plain", "pop"])
def test_italic_bold_and_underlined_words_are_seen(tmp_path: Path, look: str) -> None:
    said = ["Word", "<i>Word</i>", "<b>Word</b>" if look == "plain" else "<i><u>Word</u></i>", "<u>Word</u>", "Word"]
    cues = [f"{i}\n00:00:00,{200 * i:03} --> 00:00:00,{200 * i + 199}\nA {text}\n" for i, text in enumerate(said)]
    folder = command_line.workplace(tmp_path)
    written(folder, "talk.srt", "\n".join(cues))
    chosen = ("--set", "spec.scenario.uri=talk.srt", "--set", f"spec.scenario.look={look}")
    done = ecg_render("frames", "job.yaml", "--hash", *chosen, cwd=folder)
    hashes = [line.split()[-1] for line in done.out.splitlines()]
    at_rest = [hashes[6 * number + 5] for number in range(5)]
    assert at_rest[0] == at_rest[4] and len(set(at_rest)) == 4, done.err


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["none.mp4", "talk.srt"], "Check VIDEO."),
        (["talk.srt", "video.mp4"], "may have been swapped"),
        (["", "talk.srt"], "VIDEO is empty"),
        (["video.mp4", ""], "CAPTIONS is empty"),
        (["ftp://x/video.mp4", "talk.srt"], "VIDEO: cannot read from ftp://"),
        (["video.mp4", "ftp://x/talk.srt"], "CAPTIONS: cannot read from ftp://"),
        (["video.mp4", "talk.srt", "-o", "ftp://x/out.mp4"], "--output: cannot write to ftp://"),
        (["video.mp4", "talk.srt", "-o", "out.avi"], "--output out.avi ends in none of .mp4"),
        (["video.mp4", "talk.srt", "-o", "https://h/put.mkv?sig=SECRET"], "--output https://h/put.mkv ends in none"),
        (
            ["video.mp4", "talk.srt", "--also", "https://u:SECRET@h/x.gif?sig=SECRET"],
            "--also https://h/x.gif: cannot write",
        ),
        (["video.mp4", "talk.srt", "--also", "https://h/x.mp4?sig=SECRET:"], "--also 'https://h/x.mp4' names no file"),
        (["video.mp4", "talk.srt", "--also", "out.srt", "--also", "x.gif"], "--also x.gif ends in none of .mp4"),
        (["video.mp4", "talk.srt", "--also", "x.mp4:1x64"], "--also x.mp4:1x64: width: 1 is below 64"),
        (["video.mp4", "talk.srt", "--also", "video-captions.mp4"], "--also video-captions.mp4: two outputs"),
        (["video.mp4", "talk.srt", "--set", "spec.options.quality=200"], "--set spec.options.quality: 200 is above"),
        (["video.mp4", "talk.srt", "--set", "spec.output.uri=["], "command line: --set spec.output.uri: '[' is not"),
        (["video.mp4", "talk.srt", "--set", "spec.options.encoder=nvenc"], "Give --set spec.options.encoder=auto"),
    ],
)
def test_burn_names_its_own_arguments(
    tmp_path: Path, words: list[str], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("ecg_renderer.media.encoder._has_nvidia_device", lambda: False)
    shutil.copy(clips.counter(command_line.CLIP), "video.mp4")
    written(tmp_path, "talk.srt", SRT)
    done = CliRunner().invoke(cli, ["burn", *words, "--quiet"])
    assert named in done.stderr, done.output
    assert done.exit_code >= 64
    assert not re.search(r"(?<!--set )spec\.|renditions|manifest|SECRET", done.stderr), done.stderr
    assert {path.name for path in tmp_path.iterdir()} <= {"video.mp4", "talk.srt", "cache"}


def test_what_only_looks_like_a_field_stays_as_it_is() -> None:
    for message in ("/tmp/spec.output/x.mp4 is there.", "a-spec.source.mp4", "/tmp/spec.scenario.look"):
        assert as_given(message, []) == message
    given = as_given("Set spec.renditions[0].width to 64. spec.renditions[0].height: 1 is below 64.", ["v.mp4:1x1"])
    assert given == "Set the width of --also v.mp4:1x1 to 64. --also v.mp4:1x1: height: 1 is below 64."


def test_a_dot_in_a_name_is_no_ending() -> None:
    for name in ("talk.v2", "Mr. Who", "talk"):
        assert burn_request("video.mp4", "talk.srt", "plain", [], output=name).job.spec.output.uri.endswith(name)


def test_a_look_at_many_captions_tells_how_far_it_is_and_misses_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ecg_renderer.inspection.AT_ONCE", 1)
    at_once: list[int] = []

    async def counted_layout(looker: Looker, film: Film, *given: Any, **options: Any) -> Any:
        at_once.append(len(film.scenario["cues"]))
        return await layout(looker, film, *given, **options)

    layout = Looker.layout
    monkeypatch.setattr(Looker, "layout", counted_layout)
    times = [(0, 5), (1, 1.9), (2, 4), (2.1, 2.4), (3, 3.4)]
    cues = [{"text": f"cue {number}", "start": start, "end": end} for number, (start, end) in enumerate(times, 1)]
    told: list[tuple[int, int]] = []
    around = Surroundings(Picture(320, 180), Fraction(10), 5)
    found = asyncio.run(inspect({"cues": cues}, "many", around, on_progress=lambda *so_far: told.append(so_far)))
    assert told == [(number, 5) for number in range(1, 6)]
    assert at_once == [1, 2, 2, 3, 3]
    lying = {finding.cue: finding.problem for finding in found.findings if finding.kind == "overlapping captions"}
    assert lying == {
        "cue-2": 'lies on the text of cue "cue-1" at 1.00 s',
        "cue-3": 'lies on the text of cue "cue-1" at 2.00 s',
        "cue-4": 'lies on the text of cue "cue-1", "cue-3" at 2.10 s',
        "cue-5": 'lies on the text of cue "cue-1", "cue-3" at 3.00 s',
    }


def test_captions_that_all_lie_on_each_other_are_told_once_each() -> None:
    cues = [{"text": "hello", "start": 0, "end": 5, "style": {"position": "center"}} for _ in range(240)]
    found = asyncio.run(inspect({"cues": cues}, "pile", Surroundings(Picture(320, 180), Fraction(10), 5)))
    lying = [finding for finding in found.findings if finding.kind == "overlapping captions"]
    assert [finding.path for finding in lying] == [f"cues[{number}]" for number in range(1, 240)]
    assert lying[0].problem == 'lies on the text of cue "cue-1" at 0.00 s'
    assert lying[4].problem == 'lies on the text of cue "cue-1", "cue-2", "cue-3", 2 others at 0.00 s'
    assert lying[-1].problem == 'lies on the text of cue "cue-1", "cue-2", "cue-3", 97 or more others at 0.00 s'
    assert not [finding for finding in found.findings if finding.kind == "subtitles at one time"]


def test_a_plan_names_what_shows_only_in_the_browser(tmp_path: Path) -> None:
    word = caption(TOO_WIDE, style={"fontFamily": "No Such Family"})
    written(tmp_path, "captions.json", word)
    job = {
        "apiVersion": "render.ecg.dev/v1alpha1",
        "kind": "RenderJob",
        "metadata": {"name": "wide"},
        "spec": {
            "source": {"uri": str(clips.counter(clips.Clip(frames=30)))},
            "scenario": {"uri": "captions.json"},
            "output": {"uri": "out.mp4"},
        },
    }
    manifest = written(tmp_path, "job.json", job)
    plan = ecg_render("plan", manifest, "--cells", tmp_path / "cells", "--json", cwd=tmp_path).json
    warnings = plan["warnings"]
    assert plan["looked_at_seconds"] == 1
    assert any('"No Such Family", which is not here' in line for line in warnings), warnings
    assert any("leaves the picture" in line for line in warnings)
    run = ["run", manifest, "--cells", tmp_path / "others", "--capture", "canvas", "--json"]
    told = ecg_render(*run, cwd=tmp_path).json["warnings"]  # on a page that shows only what is in the canvas
    assert any('"No Such Family", which is not here' in line for line in told), told
    blind = ecg_render("plan", manifest, "--cells", tmp_path / "cells", "--no-browser", "--json", cwd=tmp_path)
    assert "looked_at_seconds" not in blind.json
    assert not any("leaves the picture" in line for line in blind.json["warnings"])
