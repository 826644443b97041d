"""What real children know of our environment, and how they are counted."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import psutil
import pytest

from ecg_common.children import MARK, short_environment, tree_memory
from ecg_renderer.browser import Browser
from ecg_renderer.capture.stepwise import PlaywrightBrowser
from ecg_renderer.media.process import run_ffmpeg, run_ffprobe

SECRETS = {
    "AWS_ACCESS_KEY_ID": "s3cret", "AWS_SECRET_ACCESS_KEY": "s3cret", "AWS_SESSION_TOKEN": "s3cret",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN": "s3cret", "ECG_RENDER_JOB": "s3cret", "ECG_API_TOKEN": "s3cret",
    "DATABASE_URL": "postgresql://me:s3cret@host/db", "GITHUB_TOKEN": "s3cret", "PATH_KEY": "s3cret",
}  # fmt: skip
NEEDED = {"CUDA_VISIBLE_DEVICES": "0", "NVIDIA_VISIBLE_DEVICES": "all", "FONTCONFIG_PATH": "/etc/fonts",
          "LC_ALL": "C.UTF-8", "TZ": "Asia/Seoul", MARK: "me:1"}  # fmt: skip
PROXY = {"https_proxy": "http://me:pass@127.0.0.1:1"}
ENDLESS = ["-f", "lavfi", "-i", "testsrc=s=64x64"]


@asynccontextmanager
async def ffmpeg() -> AsyncIterator[None]:
    task = asyncio.create_task(run_ffmpeg([*ENDLESS, "-f", "null", "-"]))
    yield
    task.cancel()
    await asyncio.wait([task])


@asynccontextmanager
async def ffprobe() -> AsyncIterator[None]:
    task = asyncio.create_task(run_ffprobe(["-show_entries", "frame=pts", *ENDLESS], seconds=20))
    yield
    task.cancel()
    await asyncio.wait([task])


@asynccontextmanager
async def chromium() -> AsyncIterator[None]:
    browser = await Browser.start()
    yield
    await browser.close()


@asynccontextmanager
async def chromium_by_playwright() -> AsyncIterator[None]:
    browser = await PlaywrightBrowser.start()
    yield
    await browser.close()


CHILDREN = {
    "ffmpeg": ffmpeg,
    "ffprobe": ffprobe,
    "chromium": chromium,
    "chromium by playwright": chromium_by_playwright,
}


@pytest.mark.parametrize("name", CHILDREN)
def test_programs_that_read_strangers_bytes_know_no_secrets(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in {**SECRETS, **NEEDED, **PROXY}.items():
        monkeypatch.setenv(variable, value)

    found = asyncio.run(_environments(CHILDREN[name], name.split()[0]))

    assert "s3cret" not in str(found)
    # Chromium's helpers write their titles over theirs.
    whole = [environment for environment in found if "PATH" in environment]
    assert whole
    for environment in whole:
        assert NEEDED.items() <= environment.items()
        assert ("https_proxy" in environment) is name.startswith("ff")


async def _environments(running: Callable[[], object], program: str) -> list[dict[str, str]]:
    """Return the environments of our processes named like `program`, from the first moment in which there are any."""
    async with running():  # type: ignore[attr-defined]
        for _ in range(400):
            if found := await asyncio.to_thread(_read, program):
                return found
            await asyncio.sleep(0.05)
    return []


def _read(program: str) -> list[dict[str, str]]:
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if process.name().startswith(program[:8]) and (environment := process.environ()):
                found.append(environment)
    return found


@pytest.mark.parametrize("name", ["AWSPATH", "PATHS", "XHOME", "home", "LC_", "ECG_RENDER_CHILD_OF_X", "NVIDIA"])
def test_names_like_the_known_ones_are_not_known(name: str) -> None:
    assert short_environment({name: "x", "PATH": "/bin"}) == {"PATH": "/bin"}


def test_memory_is_that_of_a_process_and_of_what_it_started() -> None:
    script = (
        "import subprocess, sys; x = bytearray(50 << 20); print(subprocess.run([sys.executable, '-c', sys.argv[1]]))"
    )
    inner = "import sys, time; y = bytearray(50 << 20); print('ready', flush=True); time.sleep(60)"

    async def measured() -> tuple[int, int]:
        pipe = asyncio.subprocess.PIPE
        child = await asyncio.create_subprocess_exec(sys.executable, "-c", script, inner, stdout=pipe)
        assert child.stdout
        await child.stdout.readline()
        memory = tree_memory(child.pid)
        for process in psutil.Process(child.pid).children():
            process.kill()
        await child.communicate()
        return memory, tree_memory(child.pid)

    running, ended = asyncio.run(measured())
    assert 100 << 20 < running < 200 << 20
    assert ended == 0
