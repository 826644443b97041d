"""`ecg-render doctor`: what it finds, and what it says when something is missing."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from command_line import Ended, ecg_render
from ecg_renderer import doctor
from ecg_renderer.errors import BrowserError
from ecg_renderer.model import CaptureWay
from ecg_renderer.request import Settings

NEEDED = ("Python", "FFmpeg", "Encoders", "npm packages", "Chromium", "Capture")
WANTED = (
    "NVENC",
    "Sandbox",
    "Shared memory",
    "Beginframe",
    "Latin font",
    "CJK font",
    "Emoji font",
    "Other scripts",
    "/dev/shm",
    "Disk",
)


@pytest.fixture(scope="module")
def examined(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """The doctor's findings on this machine."""
    return ecg_render("doctor", "--json", cwd=tmp_path_factory.mktemp("doctor"))


def states(ended: Ended) -> dict[str, str]:
    return {check["name"]: check["state"] for check in ended.json["checks"]}


def test_a_machine_that_renders_is_said_to(examined: Ended) -> None:
    assert examined.code == 0
    assert examined.json["canRender"] is True
    assert {states(examined)[name] for name in NEEDED} == {"ok"}


def test_everything_is_looked_at_and_explained(examined: Ended) -> None:
    assert set(states(examined)) - {"S3"} == {*NEEDED, *WANTED}
    for check in examined.json["checks"]:
        assert check["found"], check
        assert check["meaning"], check
        assert check["fix"] or check["state"] == "ok", check


MISSING = {
    "not there": ("/nonexistent", "/nonexistent", {"Chromium": "/nonexistent", "FFmpeg": "not installed"}),
    "something else": ("/bin/false", "/bin/true", {"Chromium": "did not start", "FFmpeg": "does not start"}),
}


@pytest.mark.parametrize(("chromium", "ffmpeg", "found"), MISSING.values(), ids=MISSING)
def test_what_is_missing_is_named_with_its_fix(
    tmp_path: Path, chromium: str, ffmpeg: str, found: dict[str, str]
) -> None:
    ended = ecg_render("doctor", "--json", cwd=tmp_path, changes={"ECG_CHROMIUM": chromium, "ECG_FFMPEG": ffmpeg})
    assert ended.code == 1
    assert set(found) <= set(ended.json["missing"])
    checks = {check["name"]: check for check in ended.json["checks"]}
    for name, words in found.items():
        assert words in checks[name]["found"]
        assert checks[name]["fix"]


def test_a_person_gets_a_table_a_conclusion_and_what_to_do_about_missing_fonts(tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("ffmpeg", "ffprobe", "setpriv"):
        (tools / tool).symlink_to(str(shutil.which(tool)))
    (tools / "fc-match").write_text('#!/bin/sh\necho "DejaVu Sans"\n')
    (tools / "fc-match").chmod(0o755)
    chromium = shutil.which("chromium-headless-shell") or os.environ.get("ECG_CHROMIUM", "")
    ended = ecg_render("doctor", cwd=tmp_path, changes={"PATH": f"{tools}:/bin", "ECG_CHROMIUM": chromium})
    assert ended.code == 0, ended.out
    for words in ("Chromium", "started in", "libx264", "A render can work here."):
        assert words in ended.out
    for words in ("only DejaVu Sans for Arial", "apt-get install fonts-noto-cjk"):
        assert words in ended.out


def test_what_is_slow_on_a_busy_machine_gets_the_time_that_it_has_in_a_render(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[float] = []

    @asynccontextmanager
    async def opened(film: object, conversion: object, settings: Settings, *_: object) -> AsyncIterator[Any]:
        given.append(settings.frame_timeout)
        raise BrowserError("enough was seen")
        yield

    monkeypatch.setattr(doctor, "open_capture", opened)
    with pytest.raises(BrowserError, match="enough was seen"):
        asyncio.run(doctor._capture(CaptureWay.BEGINFRAME))
    assert given == [Settings().frame_timeout]
