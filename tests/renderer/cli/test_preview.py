"""ecg-render preview in a real browser: plays, jumps, follows edits, and shows what is rendered."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import av
import httpx
import numpy as np
import pytest
from playwright.async_api import Page, async_playwright

from captions import scenario, word_cue
from clips import Clip, counter
from ecg_renderer.chromium import find_chromium
from ecg_renderer.cli.requests import run_request
from ecg_renderer.errors import OptionsError
from ecg_renderer.model import SelfCheck
from ecg_renderer.preview import preview
from ecg_renderer.request import RunRequest
from plugin_origin import plugins, serving

WAIT = 60_000
JOB = """apiVersion: render.ecg.dev/v1alpha1
kind: RenderJob
metadata: {name: shown}
spec:
  source: {uri: %s}
  scenario: {uri: captions.json}
  output: {uri: out.mp4}
"""


def captions(word: str) -> Any:
    cues = [word_cue(number, 0.2 + number, 0.9 + number, ("cwi-color",)) for number in range(2)]
    cues[1]["root"]["children"][0]["text"] = word
    return scenario(cues)


def write(file: Path, content: str) -> None:
    """Write as editors do: another file in its place."""
    new = file.with_suffix(".new")
    new.write_text(content)
    new.replace(file)


@asynccontextmanager
async def served(folder: Path, clip: Clip, shown: Any = None) -> AsyncIterator[str]:
    """Serve the preview of a job in `folder`; yield its address."""
    write(folder / "captions.json", json.dumps(shown or captions("hello")))
    job = folder / "job.yaml"
    job.write_text(JOB % counter(clip))

    def make() -> RunRequest:
        request = run_request(str(job), [], cells=folder / "cells")
        return RunRequest(
            request.job, request.base, request.settings.model_copy(update={"selfcheck": SelfCheck.NEVER}), request.cells
        )

    def tell(address: str) -> None:
        try:  # as soon as it is told
            socket.create_connection(("127.0.0.1", urlsplit(address).port or 0), timeout=30).close()
            told.set_result(address)
        except OSError as error:
            told.set_exception(error)

    told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(preview(make, job, 0, tell))
    try:
        await asyncio.wait({told, task}, return_when=asyncio.FIRST_COMPLETED)
        yield told.result() if told.done() else task.result() or ""
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def opened(address: str) -> AsyncIterator[Page]:
    """Yield the page at an address, loaded and looked at."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=find_chromium())
        page = await browser.new_page(viewport={"width": 1200, "height": 700})
        await page.goto(address)
        await page.wait_for_selector("body[data-loaded][data-frame]", timeout=WAIT)
        yield page
        await browser.close()


def test_it_ends_at_once_and_in_silence_while_a_page_listens(tmp_path: Path) -> None:
    write(tmp_path / "captions.json", json.dumps(captions("hello")))
    job = tmp_path / "job.yaml"
    job.write_text(JOB % counter(Clip(frames=30)))
    command = [sys.executable, "-m", "ecg_renderer", "preview", str(job), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stderr
        address = process.stdout.readline().strip()
        with httpx.Client() as client, client.stream("GET", f"{address}events", timeout=WAIT / 1000) as answer:
            assert next(answer.iter_lines()).startswith("data: ")
            process.terminate()
            assert process.wait(WAIT / 1000) == 143
        assert process.stderr.read().strip() == "Stopped."


async def picture(page: Page, selector: str) -> Any:
    png = await page.locator(selector).screenshot()
    with av.open(io.BytesIO(png), "r", format="png_pipe") as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24").astype(int)


async def both(page: Page) -> tuple[Any, Any]:
    """Return what the page shows of the video, once it has sought its frame and painted it, and the rendered still."""
    sought = "() => { const video = document.querySelector('#video'); return !video.seeking && video.readyState >= 2; }"
    await page.wait_for_function(sought, timeout=WAIT)
    deadline = time.monotonic() + WAIT / 1000
    while True:
        shown, rendered = await picture(page, "#box > video"), await picture(page, "#still")
        is_painted = shown.shape == rendered.shape and (np.abs(shown - rendered).max(axis=2) > 60).mean() < 0.01
        if is_painted or time.monotonic() > deadline:
            return shown, rendered
        await asyncio.sleep(0.2)


def test_the_page_shows_what_is_rendered_and_follows_edits(tmp_path: Path) -> None:
    async def look() -> None:
        async with served(tmp_path, Clip(frames=60)) as address, opened(address) as page:
            assert await page.locator("#cues li.cue").count() == 2
            await page.keyboard.press("]")
            for _ in range(9):  # after spoken words, before the last
                await page.keyboard.press("ArrowRight")
            await page.wait_for_selector("body[data-frame='15']", timeout=WAIT)
            await page.keyboard.press("r")
            await page.wait_for_selector("#still[data-frame^='15/']", timeout=WAIT)
            # The same frame number in the picture, the same caption on it: what differs is scaled edges.
            shown, rendered = await both(page)
            assert shown.shape == rendered.shape
            assert np.abs(shown - rendered).mean() < 6
            assert (np.abs(shown - rendered).max(axis=2) > 60).mean() < 0.01

            write(tmp_path / "captions.json", json.dumps(captions("goodbye" + "e" * 90)))
            await page.wait_for_selector("#cues li.cue:has-text('goodbye') .found", timeout=WAIT)
            await page.wait_for_selector("body[data-looked=true]", timeout=WAIT)
            said = await page.locator("#cues .found").all_inner_texts()
            assert any("leaves the picture" in line for line in said)

            write(tmp_path / "captions.json", "{")
            await page.wait_for_selector("#failure:not([hidden])", timeout=WAIT)
            assert "captions.json" in await page.locator("#failure").inner_text()
            write(tmp_path / "captions.json", json.dumps(captions("again")))
            await page.wait_for_selector("#failure", state="hidden", timeout=WAIT)
            await page.wait_for_selector("#cues li.cue:has-text('again')", timeout=WAIT)

            await page.click("#play")
            await page.wait_for_function("() => Number(document.body.dataset.frame) > 15", timeout=WAIT)

            stage = page.frames[1]
            reached = await stage.evaluate(
                "address => fetch(address).then(() => 'reached', () => 'refused')", f"{address}job"
            )
            assert reached == "refused"
            assert await stage.evaluate("origin") == "null"

    asyncio.run(look())


def test_plugins_of_an_origin_look_as_they_are_rendered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = captions("hello")
    for word, name in zip(shown["cues"][0]["root"]["children"], ("sparks", "timers", "flame"), strict=False):
        word["pluginChain"] = [{"name": name, "params": {}}]

    async def look() -> None:
        async with served(tmp_path, Clip(frames=60), shown) as address, opened(address) as page:
            for _ in range(15):
                await page.keyboard.press("ArrowRight")
            await page.wait_for_selector("body[data-frame='15']", timeout=WAIT)
            await page.keyboard.press("r")
            await page.wait_for_selector("#still[data-frame^='15/']", timeout=WAIT)
            seen, rendered = await both(page)
            assert (np.abs(seen - rendered).max(axis=2) > 60).mean() < 0.01
            assert await page.frames[1].locator(".mtx-text span").count() > 4  # the letters of sparks

    with serving(plugins()) as origin:
        monkeypatch.setenv("ECG_PLUGIN_ORIGIN", origin.url)
        asyncio.run(look())
        assert {path.partition("@")[0] for path in origin.asked} >= {"sparks", "timers", "flame"}


def test_a_source_that_browsers_do_not_play_is_copied(tmp_path: Path) -> None:
    clip = Clip(frames=30, suffix=".mkv", codec="mpeg4", video=("-q:v", "4"))

    async def look() -> None:
        async with served(tmp_path, clip) as address, opened(address) as page:
            await page.wait_for_selector("#note:has-text('a small copy')", timeout=WAIT)
            await page.wait_for_function("() => document.querySelector('#video').readyState >= 2", timeout=WAIT)

    asyncio.run(look())


def test_only_the_holder_of_the_address_on_this_machine_is_answered(tmp_path: Path) -> None:
    async def ask() -> None:
        async with served(tmp_path, Clip(frames=30)) as address, httpx.AsyncClient(timeout=WAIT / 1000) as client:
            root = address[: address.index("/", 8)]
            assert (await client.get(f"{address}job")).status_code == 200
            assert (await client.get(f"{address}job", headers={"Host": "evil.example:80"})).status_code == 403
            assert (await client.get(f"{root}/job")).status_code == 404
            assert (await client.get(f"{root}/wrong/source")).status_code == 404
            for path in ("/../../pyproject.toml", "/%2e%2e/%2e%2e/pyproject.toml", "/preview/..%2fpages.py"):
                assert (await client.get(root + path)).status_code == 404
            assert (await client.get(f"{address}still?frame=999")).status_code == 404

    asyncio.run(ask())


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    job.write_text(JOB % "x.mp4")

    async def twice() -> None:
        taken = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        port = taken.sockets[0].getsockname()[1]
        async with taken:
            with pytest.raises(OptionsError, match=f"Port {port}"):
                await preview(lambda: run_request(str(job), []), job, port, print)

    asyncio.run(twice())
