"""The page reaches nothing but its own files, has no clock and no chance of its own."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from playwright.async_api import Error as PlaywrightError

from captures import browser_processes, film, open_way
from ecg_renderer.browser import Browser
from ecg_renderer.capture import stepwise
from ecg_renderer.capture.stepwise import PlaywrightBrowser
from ecg_renderer.chromium import sandbox_problem
from ecg_renderer.errors import BrowserError

Evaluate = Callable[[str, Any], Awaitable[Any]]

SIZE = (640, 360)
SECONDS_TO_ARRIVE = 0.8

ATTEMPTS = {
    "fetch": "url => fetch(url)",
    "fetch without cors": "url => fetch(url, {mode: 'no-cors'})",
    "a beacon": "url => navigator.sendBeacon(url, 'x')",
    "an XMLHttpRequest": "url => { const r = new XMLHttpRequest(); r.open('GET', url); r.send(); }",
    "an image": "url => { new Image().src = url; }",
    "an image in the page": "url => document.body.insertAdjacentHTML('beforeend', `<img src='${url}'>`)",
    "a background": "url => { document.body.style.backgroundImage = `url(${url})`; }",
    "a font": "url => new FontFace('x', `url(${url})`).load()",
    "a style sheet": "url => document.body.insertAdjacentHTML('beforeend', `<link rel=stylesheet href='${url}'>`)",
    "a script": "url => { const s = document.createElement('script'); s.src = url; document.body.append(s); }",
    "a module": "url => import(url)",
    "a frame": "url => document.body.insertAdjacentHTML('beforeend', `<iframe src='${url}'></iframe>`)",
    "a video": "url => document.body.insertAdjacentHTML('beforeend', `<video src='${url}' autoplay></video>`)",
    "an object": "url => document.body.insertAdjacentHTML('beforeend', `<object data='${url}'></object>`)",
    "a prefetch": "url => document.head.insertAdjacentHTML('beforeend', `<link rel=prefetch href='${url}'>`)",
    "a preconnect": "url => document.head.insertAdjacentHTML('beforeend', `<link rel=preconnect href='${url}'>`)",
    "a web socket": "url => new WebSocket(url.replace('https', 'wss'))",
    "an event stream": "url => new EventSource(url)",
    "a worker": "url => new Worker(url)",
    "a worker that fetches": "url => new Worker(URL.createObjectURL(new Blob([`fetch('${url}')`])))",
    "WebTransport": "url => new WebTransport(url)",
    "WebRTC": """async url => {
        const [, host, port] = /(127[.\\d]+):(\\d+)/.exec(url);
        const peer = new RTCPeerConnection({iceServers: [
            {urls: `stun:${host}:${port}`},
            {urls: `turn:${host}:${port}?transport=tcp`, username: 'x', credential: 'x'},
        ]});
        peer.createDataChannel('x');
        await peer.setLocalDescription(await peer.createOffer());
    }""",
    "a new window": "url => { window.open(url); }",
    "a form in a new window": """url => {
        document.body.insertAdjacentHTML('beforeend', `<form id=f action='${url}' target=_blank></form>`);
        document.getElementById('f').submit();
    }""",
    "going there": "url => { location.href = url; }",
}


class Listener(asyncio.DatagramProtocol):
    """A port of its own for TCP and UDP, which notes everything that comes."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.url = ""

    async def open(self) -> Listener:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        loop = asyncio.get_running_loop()
        self._datagrams, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(host, port))
        self.url = f"https://{host}:{port}/"
        return self

    def close(self) -> None:
        self._server.close()
        self._datagrams.close()

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.heard.append("a datagram")

    def _connected(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heard.append("a connection")
        writer.close()


@asynccontextmanager
async def driven_page() -> AsyncIterator[Evaluate]:
    browser = await Browser.start()
    try:
        page = await browser.open_page(*SIZE)
        yield page.evaluate
    finally:
        await browser.close()


@asynccontextmanager
async def playwrights_page() -> AsyncIterator[Evaluate]:
    browser = await PlaywrightBrowser.start()
    try:
        page = await browser.open_page(*SIZE)
        yield page.evaluate
    finally:
        await browser.close()


@asynccontextmanager
async def page_on_command() -> AsyncIterator[Evaluate]:
    async with open_way("beginframe", film(0.4)) as capture:
        yield capture._call  # type: ignore[attr-defined]


PAGES = {"canvas": driven_page, "screenshot": playwrights_page, "beginframe": page_on_command}


async def attempt(evaluate: Evaluate, name: str, url: str) -> None:
    script = f"async url => {{ try {{ await ({ATTEMPTS[name]})(url) }} catch {{ }} }}"
    with suppress(TimeoutError, PlaywrightError, BrowserError):  # going elsewhere may end the page
        await asyncio.wait_for(evaluate(script, url), SECONDS_TO_ARRIVE)


@pytest.mark.parametrize("page", PAGES)
def test_the_page_cannot_reach_the_network(page: str) -> None:
    async def reach_out() -> dict[str, list[str]]:
        listeners = {name: await Listener().open() for name in ATTEMPTS}
        async with PAGES[page]() as evaluate:
            leaving = "going there"
            staying = [name for name in ATTEMPTS if name != leaving]
            await asyncio.gather(*(attempt(evaluate, name, listeners[name].url) for name in staying))
            await asyncio.sleep(SECONDS_TO_ARRIVE)
            await attempt(evaluate, leaving, listeners[leaving].url)
            await asyncio.sleep(SECONDS_TO_ARRIVE)
        for listener in listeners.values():
            listener.close()
        return {name: listener.heard for name, listener in listeners.items() if listener.heard}

    assert asyncio.run(reach_out()) == {}


@pytest.mark.parametrize("page", PAGES)
def test_only_the_files_of_the_page_are_served(page: str) -> None:
    async def statuses() -> dict[str, bool]:
        paths = [
            "/stage.js",
            "/plugins/fadein.mjs",
            "/../browser.js",
            "/%2e%2e/%2e%2e/x.js",
            "/no-such.js",
            "//elsewhere/x.js",
        ]
        script = "paths => Promise.all(paths.map((path) => import(path).then(() => true, () => false)))"
        async with PAGES[page]() as evaluate:
            return dict(zip(paths, await evaluate(script, paths), strict=True))

    served = asyncio.run(statuses())

    assert [path for path, there in served.items() if there] == ["/stage.js", "/plugins/fadein.mjs"]


@pytest.mark.parametrize("page", PAGES)
def test_the_clock_stands_until_it_is_set(page: str) -> None:
    look = "() => ({now: Date.now(), date: +new Date(), performance: performance.now()})"
    schedule = """() => {
        window.fired = [];
        setTimeout(() => fired.push('timeout'), 0);
        setInterval(() => fired.push('interval'), 1);
        requestAnimationFrame(() => fired.push('frame'));
        requestIdleCallback(() => fired.push('idle'));
    }"""

    async def looks() -> tuple[Any, ...]:
        async with PAGES[page]() as evaluate:
            await evaluate("() => ecgClock.set(1.5)", None)
            await evaluate(schedule, None)
            before = await evaluate(look, None)
            await asyncio.sleep(0.1)
            after = await evaluate(look, None)
            fired = await evaluate("() => fired", None)
            await evaluate("() => ecgClock.set(2)", None)
            return before, after, fired, await evaluate(look, None)

    before, after, fired, later = asyncio.run(looks())

    assert before == after
    assert fired == []
    assert {key: value - before[key] for key, value in later.items()} == {"now": 500, "date": 500, "performance": 500}


def test_what_a_frame_of_the_display_sets_is_no_timer_of_a_timer() -> None:
    draw = """() => {
        const clock = new ecgClock.Clock(), late = [];
        const draw = () => {
            const shown = ecgClock.now();
            setTimeout(() => late.push(ecgClock.now() - shown), 0);
            requestAnimationFrame(draw);
        };
        clock.during(() => requestAnimationFrame(draw));
        ecgClock.set(0.5);
        clock.advance((callback) => clock.during(callback), () => {}, () => false);
        return late;
    }"""

    async def lateness() -> list[float]:
        async with driven_page() as evaluate:
            late: list[float] = await evaluate(draw, None)
            return late

    late = asyncio.run(lateness())

    assert len(late) > 20
    assert set(late) == {0}


@pytest.mark.parametrize("page", PAGES)
def test_chance_is_the_same_in_every_browser(page: str) -> None:
    async def numbers() -> list[float]:
        async with PAGES[page]() as evaluate:
            drawn: list[float] = await evaluate("() => Array.from({length: 100}, () => Math.random())", None)
            return drawn

    first, second = asyncio.run(numbers()), asyncio.run(numbers())

    assert first == second
    assert len(set(first)) == 100
    assert all(0 <= number < 1 for number in first)
    assert 0.4 < sum(first) / 100 < 0.6


def names_in(process: psutil.Process) -> list[str]:
    """Return the names in a process's environment; none of one that has ended meanwhile."""
    try:
        return list(process.environ())
    except psutil.NoSuchProcess:
        return []


def seccomp_mode(pid: int) -> str:
    """Return what confines a process; nothing for one that has ended meanwhile."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return ""
    [mode] = re.findall(r"Seccomp:\s(\d)", status)
    return str(mode)


def test_the_pages_process_knows_no_secrets_and_is_confined_where_that_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not for Chromium")

    async def look() -> tuple[list[str], list[str]]:
        async with driven_page():
            processes = [*browser_processes(None), *browser_processes("renderer")]
            secrets = [name for process in processes for name in names_in(process) if name.startswith("AWS_")]
            return secrets, [mode for process in browser_processes("renderer") if (mode := seccomp_mode(process.pid))]

    secrets, filters = asyncio.run(look())

    assert secrets == []
    assert set(filters) == {"0" if sandbox_problem() else "2"}
    assert bool(sandbox_problem()) or os.geteuid() != 0


def test_without_room_for_a_profile_the_reference_says_so_and_leaves_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(stepwise, "make_profile", full)
    with pytest.raises(BrowserError, match="No space left on device"):
        asyncio.run(PlaywrightBrowser.start())
