"""The debugging protocol over a pipe: commands, events, and an end that leaves nothing running."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil
import pytest

import processes
from ecg_renderer import chromium as chromium_module
from ecg_renderer import served
from ecg_renderer.browser import Browser, BrowserLauncher, DevTools, Json
from ecg_renderer.chromium import COMMON_ARGUMENTS, MEMORY_FILES, PROFILE_PREFIX, find_chromium
from ecg_renderer.errors import BrowserError

PATIENCE = 60.0


@asynccontextmanager
async def chromium(profile: Path) -> AsyncIterator[DevTools]:
    executable = find_chromium()
    assert executable is not None
    common = [*COMMON_ARGUMENTS, *chromium_module.sandbox_arguments()]
    arguments = ["--headless", "--remote-debugging-pipe", *common, f"--user-data-dir={profile}"]
    devtools = await DevTools.start([str(executable), *arguments])
    try:
        yield devtools
    finally:
        await devtools.close()


async def new_page(devtools: DevTools) -> str:
    """Return the session of a new page."""
    target = await devtools.send("Target.createTarget", {"url": "about:blank"})
    attached = await devtools.send("Target.attachToTarget", {"targetId": target["targetId"], "flatten": True})
    session: str = attached["sessionId"]
    return session


async def evaluate(devtools: DevTools, session: str, script: str) -> Json:
    parameters = {"expression": script, "returnByValue": True, "awaitPromise": True}
    return (await devtools.send("Runtime.evaluate", parameters, session=session))["result"]


def test_commands_are_answered_or_refused(tmp_path: Path) -> None:
    async def run() -> None:
        async with chromium(tmp_path) as devtools:
            assert "Chrome" in (await devtools.send("Browser.getVersion"))["product"]
            with pytest.raises(BrowserError, match=r"refused Browser\.fly"):
                await devtools.send("Browser.fly")
            session = await new_page(devtools)
            answers = await asyncio.gather(*(evaluate(devtools, session, f"{n} + 1") for n in range(50)))
            assert [answer["value"] for answer in answers] == list(range(1, 51))

    asyncio.run(run())


def test_an_answer_may_be_large(tmp_path: Path) -> None:
    async def run() -> int:
        async with chromium(tmp_path) as devtools:
            answer = await evaluate(devtools, await new_page(devtools), "'x'.repeat(20 << 20)")
            return len(answer["value"])

    assert asyncio.run(run()) == 20 << 20


def test_events_reach_their_handler_and_no_others_are_kept(tmp_path: Path) -> None:
    async def run() -> list[str]:
        async with chromium(tmp_path) as devtools:
            session = await new_page(devtools)
            heard: list[str] = []

            async def note(event: Json) -> None:
                heard.append(event["args"][0]["value"])
                await devtools.send("Browser.fly")  # a handler that fails disturbs nobody

            devtools.on("Runtime.consoleAPICalled", note)
            await devtools.send("Runtime.enable", session=session)
            await devtools.send("Network.enable", session=session)
            await evaluate(devtools, session, "for (const n of 'abc') console.log(n)")
            await devtools.send("Browser.getVersion")
            return heard

    assert asyncio.run(run()) == ["a", "b", "c"]


def test_an_answer_that_nobody_waits_for_any_more_is_dropped(tmp_path: Path) -> None:
    async def run() -> Json:
        async with chromium(tmp_path) as devtools:
            session = await new_page(devtools)
            slow = evaluate(devtools, session, "new Promise((resolve) => { globalThis.answer = resolve; })")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(slow, 0.05)
            await evaluate(devtools, session, "globalThis.answer?.()")
            return await evaluate(devtools, session, "'still there'")

    assert asyncio.run(run())["value"] == "still there"


def test_the_end_of_chromium_fails_what_waits_and_what_comes(tmp_path: Path) -> None:
    async def run() -> None:
        async with chromium(tmp_path) as devtools:
            session = await new_page(devtools)
            waiting = asyncio.ensure_future(evaluate(devtools, session, "new Promise(() => {})"))
            await asyncio.sleep(0.1)
            group = psutil.Process(devtools.group)
            processes.kill([group, *group.children(recursive=True)])
            with pytest.raises(BrowserError, match="ended unexpectedly"):
                await asyncio.wait_for(waiting, PATIENCE)
            with pytest.raises(BrowserError, match="ended unexpectedly"):
                await devtools.send("Browser.getVersion")

    asyncio.run(run())


@pytest.mark.parametrize("command", [["/no/such/chromium"], ["/bin/false"], ["/bin/echo", "hello"]])
def test_what_is_no_chromium_fails_at_the_first_command(command: list[str]) -> None:
    async def run() -> None:
        devtools = await DevTools.start(command)
        try:
            with pytest.raises(BrowserError, match="ended unexpectedly"):
                await asyncio.wait_for(devtools.send("Browser.getVersion"), PATIENCE)
        finally:
            await devtools.close()

    asyncio.run(run())


def test_closing_ends_every_process_even_stopped_ones(tmp_path: Path) -> None:
    async def run() -> list[psutil.Process]:
        async with chromium(tmp_path) as devtools:
            await new_page(devtools)
            group = psutil.Process(devtools.group)
            started = [group, *group.children(recursive=True)]
            for process in started[1:]:
                with suppress(psutil.NoSuchProcess):
                    process.suspend()
            return started

    started = asyncio.run(run())

    assert len(started) > 3
    _, alive = psutil.wait_procs(started, timeout=PATIENCE)
    assert alive == []


@pytest.mark.parametrize("seconds", [0.0, 0.004, 0.05, 0.15, 3.0])
def test_a_start_that_is_broken_off_leaves_nothing_behind(seconds: float) -> None:
    async def run() -> None:
        launcher = BrowserLauncher()
        launcher.warm()
        await asyncio.sleep(seconds)
        await launcher.close()

    def mine() -> tuple[set[psutil.Process], set[Path]]:
        profiles = MEMORY_FILES.glob(f"{PROFILE_PREFIX}{os.getpid()}-*")
        return set(psutil.Process().children(recursive=True)), set(profiles)

    before = mine()
    asyncio.run(asyncio.wait_for(run(), PATIENCE))

    assert [found - known for found, known in zip(mine(), before, strict=True)] == [set(), set()]


def test_a_page_whose_scripts_fail_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "index.html").write_text("<script src='/broken.js'></script>")
    (tmp_path / "broken.js").write_text("throw new Error('no captions today')")
    monkeypatch.setattr(served, "PAGE_FOLDER", tmp_path)
    monkeypatch.setattr(served, "PAGE_PACKAGES", ())

    async def run() -> None:
        browser = await Browser.start()
        try:
            await browser.open_page(64, 36)
        finally:
            await browser.close()

    with pytest.raises(BrowserError, match="did not load: no captions today"):
        asyncio.run(run())


def test_a_headless_shell_that_playwright_installed_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ECG_CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
    assert find_chromium() is None

    for folder in ("chromium_headless_shell-1255", "chromium_headless_shell-999", "chromium-2000"):
        (tmp_path / folder / "linux").mkdir(parents=True)
        (tmp_path / folder / "linux" / "chrome-headless-shell").touch()

    assert find_chromium() == tmp_path / "chromium_headless_shell-1255/linux/chrome-headless-shell"


def test_without_room_in_shared_memory_chromium_does_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chromium_module, "MINIMUM_MEMORY_FILES_BYTES", 1 << 60)

    async def run() -> tuple[str, list[str]]:
        browser = await Browser.start()
        try:
            [process] = [p for p in psutil.Process().children(recursive=True) if is_main(p)][-1:]
            command = process.cmdline()
            page = await browser.open_page(64, 36)
            return await page.evaluate("() => document.title"), command
        finally:
            await browser.close()

    title, command = asyncio.run(run())

    assert title == "captions"
    assert "--disable-dev-shm-usage" in command


def is_main(process: psutil.Process) -> bool:
    try:
        words = process.cmdline()
    except psutil.Error:  # it has ended meanwhile
        return False
    return any(word.startswith("--user-data-dir=") for word in words) and not any("--type=" in word for word in words)
