"""What a plugin of a stranger tries, and what becomes of it: nothing, a text without it, or a failure by its name."""

from __future__ import annotations

import asyncio
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

from captions import Json
from captures import Picture, browser_processes, differing, distinct, film, open_way, pictures_of
from ecg_renderer.browser import BrowserLauncher
from ecg_renderer.capture.patches import BoxOutgrownError
from ecg_renderer.capture.restarting import RestartingCapture
from ecg_renderer.chromium import CANVAS_ARGUMENTS, COMMON_ARGUMENTS
from ecg_renderer.errors import BrowserError, FrameTimeout, RenderError, ScenarioError
from ecg_renderer.model import CaptureWay, Film, around
from plugin_origin import module
from plugin_page import scenario

SIZE = (320, 180)
RATE = "10"
SECONDS = 1.0

# Each shows "GOT" and what it got, if it gets anything; a hostile plugin that gets nothing leaves its text alone.
NETWORK = """
const tried = (url) => Promise.allSettled([
  fetch(url), import(url), new Promise((resolve) => { new WebSocket(url.replace('http', 'ws')).onopen = resolve; }),
  new Promise((resolve) => { const image = new Image(); image.onload = resolve; image.src = url; }),
]);
export function animate(root) {
  tried('HERE').then(() => {});
  navigator.sendBeacon('HERE', 'x');
  window.open('HERE');
  return () => {};
}
"""
FILES = """
const got = (root) => (found) => { root.textContent = `GOT ${found}`; };
export function animate(root) {
  for (const url of ['file:///etc/passwd', '/../../../etc/passwd', '/%2e%2e/%2e%2e/%2e%2e/etc/passwd', '/fetched/x']) {
    fetch(url).then((answer) => answer.text()).then(got(root)).catch(() => {});
  }
  const keys = Object.keys(globalThis.process?.env ?? {});
  if (keys.length) got(root)(keys);
  return () => {};
}
"""
OTHERS = """
export function animate(root) {
  for (const text of document.querySelectorAll('.mtx-text')) text.style.color = 'red';
  for (const text of document.querySelectorAll('.mtx-text')) if (!text.contains(root)) text.remove();
  document.head.insertAdjacentHTML('beforeend', '<style>* { color: red !important; }</style>');
  document.body.append('everywhere');
  root.textContent = 'GOT';
  return () => {};
}
"""
OTHERS_LATER = """
const harm = () => { for (const text of document.querySelectorAll('.mtx-text')) text.style.transform = 'scale(3)'; };
export function animate(root) {
  setTimeout(harm, 50);
  requestAnimationFrame(() => Promise.resolve().then(harm));
  return (progress) => { if (progress > 0.5) harm(); };
}
"""
CLOCK = """
const real = globalThis.ecgClock?.real;
export function animate(root) {
  const began = performance.now();
  for (let i = 0; i < 3e6; i++);
  const passed = [performance.now() - began, Date.now() % 1, typeof real];
  if (passed[0] || passed[1] || real) root.textContent = `GOT ${passed}`;
  real?.setTimeout(() => { root.textContent = 'GOT'; }, 0);
  return () => {};
}
"""
THROWS = "export function animate() { return (progress) => { if (progress > 0.3) throw new Error('ha'); }; }"
UNREADABLE = "export function animate( {"
GREEDY = "export function animate() { const all = []; for (;;) all.push(new Array(1e6).fill(all.length)); }"
ENDLESS = "export function animate() { return (progress) => { while (progress > 0.3); }; }"
ENDLESS_AT_ONCE = "for (;;);"
ENDLESS_PROMISE = """
export function animate() { (async () => { for (;;) await null; })(); return () => {}; }
"""
ENDLESS_DEBUGGER = "export function animate() { for (;;) debugger; }"
# Chromium cannot interrupt it, nor ask the page what it runs.
DEAF = """
export function animate() { return (progress) => { if (progress > 0.3) [].indexOf.call({length: 2 ** 53 - 1}, 1); }; }
"""
DEAF_AT_ONCE = "[].indexOf.call({length: 2 ** 53 - 1}, 1);"
DEAF_PROMISE = """
export function animate() { Promise.resolve().then(() => [].indexOf.call({length: 2 ** 53 - 1}, 1)); return () => {}; }
"""
DEAF_CHANNELS = "export const evalChannels = () => [].indexOf.call({length: 2 ** 53 - 1}, 1);"
HARMLESS = "export function animate() { return () => {}; }"
NO_WAIT = """
export function animate(root) { const again = () => setTimeout(again, 0); again(); return () => {}; }
"""


# It is where it was measured when the document changes, and elsewhere in between.
JUMPS = """
export function animate(root) {
  root.style.display = 'inline-block';
  const keyframes = [0, 0, 20, 0, 0].map((y) => ({ transform: `translateY(${y}px)` }));
  root.animate(keyframes, 500);
  return () => {};
}
"""
# It ends far from where the document changed last.
RETURNS = """
export function animate(root) {
  root.style.display = 'inline-block';
  const moving = root.animate([{ transform: 'none' }, { transform: 'translate(0, 90px)' }], 1000);
  return (progress) => {
    if (progress < 0.5) return;
    moving.cancel();
    root.style.color = 'red';
  };
}
"""


def shot_with(script: str | None, frames: str = RATE, beside: str | None = None) -> Film:
    """Return a film of two captions; on the second runs a plugin of this script, on the first one of `beside`."""
    captions = scenario("Victim", [] if beside is None else [("y", {})], {"fontSizeRel": 0.15})
    [first] = captions["cues"]  # type: ignore[misc]
    [second] = scenario("Hostile", [] if script is None else [("x", {})], {"fontSizeRel": 0.15})["cues"]  # type: ignore[misc]
    captions["cues"] = [placed(first, "victim", 0.3), placed(second, "hostile", 0.7)]
    scripts = {"x@2.0.0": script, "y@2.0.0": beside}
    modules = [module(key, script) for key, script in scripts.items() if script is not None]
    return film(SECONDS, captions=captions, rate=frames, size=SIZE, modules=modules)


def placed(cue: Json, name: str, y: float) -> Json:
    [text] = cue["root"]["children"]
    text.update(id=f"text-{name}", displayTime=[0, SECONDS], baseTime=[0.1, 0.8])
    text["layout"]["position"]["y"] = y
    root = {**cue["root"], "id": f"group-{name}", "displayTime": [0, SECONDS]}
    return {**cue, "id": f"cue-{name}", "domLifetime": [0, SECONDS], "root": root}


def captured(script: str | None, way: str = "canvas") -> tuple[dict[int, Picture], list[str]]:
    shot = shot_with(script)

    async def capture() -> tuple[dict[int, Picture], list[str]]:
        async with open_way(way, shot) as opened:
            return await pictures_of(opened, shot.blocks, shot.whole), [
                failure.line for failure in opened.statistics.failures
            ]

    return asyncio.run(capture())


@pytest.fixture(scope="module")
def at_rest(node_modules: Path) -> dict[int, Picture]:
    return captured(None)[0]


def test_it_finds_no_network(at_rest: dict[int, Picture]) -> None:
    heard: list[object] = []

    async def listening() -> dict[int, Picture]:
        server = await asyncio.start_server(lambda *connection: heard.append(connection), "127.0.0.1", 0)
        here = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        shot = shot_with(NETWORK.replace("HERE", here))
        async with server, open_way("canvas", shot) as opened:
            pictures = await pictures_of(opened, shot.blocks, shot.whole)
            await asyncio.sleep(0.3)
            return pictures

    assert differing(asyncio.run(listening()), at_rest) == []
    assert heard == []


@pytest.mark.parametrize("script", [FILES, CLOCK, NO_WAIT], ids=["files", "clock", "timers without a wait"])
def test_it_finds_nothing(script: str, at_rest: dict[int, Picture]) -> None:
    pictures, warnings = captured(script)
    assert differing(pictures, at_rest) == []
    assert warnings == []


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (OTHERS, "changed the page outside of its text, which was taken back"),
        (OTHERS_LATER, "changed the page outside of its text, which was taken back"),
        (THROWS, "failed, at 1:"),
        (UNREADABLE, "cannot be loaded"),
    ],
    ids=["others", "others later", "throws", "unreadable"],
)
def test_it_is_switched_off_and_everything_is_as_if_it_were_not_there(
    script: str, said: str, at_rest: dict[int, Picture]
) -> None:
    pictures, warnings = captured(script)
    assert differing(pictures, at_rest) == []
    [warning] = warnings
    assert warning.startswith(f"The plugin x@2.0.0, which an origin gave, {said}")
    assert "ha" not in warning.split()


@pytest.mark.parametrize("way", ["canvas", "beginframe"])
def test_one_that_moves_out_of_what_is_captured_without_a_trace_in_the_document_is_noticed(way: str) -> None:
    shot = shot_with(JUMPS)

    async def capture() -> None:
        async with open_way(way, shot) as opened:
            area = around(await opened.measure([0, 1]))
            assert area
            await pictures_of(opened, shot.blocks, area)

    with pytest.raises(BoxOutgrownError) as caught:
        asyncio.run(capture())
    assert caught.value.frame > shot.blocks[0].frames.start + 1


@pytest.mark.parametrize("way", ["canvas", "beginframe"])
def test_one_that_jumps_back_leaves_nothing_behind(way: str) -> None:
    shot = shot_with(RETURNS)

    async def capture() -> list[dict[int, Picture]]:
        async with open_way(way, shot) as opened:
            patched = await pictures_of(opened, shot.blocks, shot.whole)
            await opened.send_whole_boxes()
            return [patched, await pictures_of(opened, shot.blocks, shot.whole)]

    patched, whole = asyncio.run(capture())
    assert distinct(whole) > 3
    assert differing(patched, whole) == []


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience for a plugin that will never end costs a core all the time."""
    for name, seconds in {"PING": 0.1, "SILENT": 0.3, "ENDLESS": 0.5, "DEAF": 1.0}.items():
        monkeypatch.setattr(f"ecg_renderer.capture.restarting.{name}_SECONDS", seconds)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("way", CaptureWay)
def test_one_without_an_end_fails_the_job_by_its_name_long_before_a_frame_times_out(way: str) -> None:
    assert str(blamed(ENDLESS, way)).endswith('runs without an end on "Hostile" in the cue "cue-hostile".')


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "script", [ENDLESS_AT_ONCE, ENDLESS_PROMISE, ENDLESS_DEBUGGER], ids=["loading", "promises", "debugger"]
)
def test_wherever_it_runs_without_an_end_its_name_is_known(script: str) -> None:
    blamed(script, "canvas")


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("way", CaptureWay)
def test_one_that_nothing_can_interrupt_is_named_with_its_text_and_the_browser_started_once(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[object] = []
    opened = RestartingCapture._replace_browser

    async def replaced(capture: RestartingCapture) -> None:
        started.append(capture)
        await opened(capture)

    monkeypatch.setattr(RestartingCapture, "_replace_browser", replaced)
    assert str(blamed(DEAF, way)).endswith('runs without an end on "Hostile" in the cue "cue-hostile".')
    assert started == []


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("script", [DEAF_AT_ONCE, DEAF_PROMISE, DEAF_CHANNELS], ids=["loading", "promises", "channels"])
def test_wherever_nothing_can_interrupt_it_its_name_is_known(script: str) -> None:
    blamed(script, "canvas")


def test_one_that_nothing_can_interrupt_is_named_when_the_first_frame_times_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ecg_renderer.capture.restarting.BLAME_SECONDS", 1.0)
    blamed(DEAF, "canvas", frame_timeout=3)


@pytest.mark.usefixtures("impatient")
def test_one_of_several_that_nothing_can_interrupt_in_a_promise_is_named_among_them() -> None:
    error = blamed(DEAF_PROMISE, "canvas", beside=HARMLESS)
    said = "One of the plugins x@2.0.0, y@2.0.0, which an origin gave, runs without an end."
    assert (str(error), "leave it out" in error.hint) == (said, True)


def test_what_a_browser_announced_that_is_gone_blames_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    async def sent(*_: object) -> Json:
        return {}

    async def guarded() -> None:
        capture = open_way("canvas", shot_with(ENDLESS))
        monkeypatch.setattr(capture, "_send", sent)
        monkeypatch.setattr(capture, "_on", lambda *_: None)
        await capture._note_announced({"payload": "x@2.0.0 text-hostile"})
        await capture._guard()
        capture._blame_announced()
        assert capture._endless is None
        await capture._end()

    asyncio.run(guarded())


@pytest.mark.parametrize(
    "said", [None, {}, *({"result": {"value": running}} for running in ({}, {"ms": "x"}, {"ms": 1e9}))]
)
def test_a_paused_page_goes_on_whatever_it_says_it_runs(said: Json | None, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def send(method: str, _: Json | None = None) -> Json:
        asked.append(method)
        if said is None and method != "Debugger.resume":
            raise BrowserError("Chromium refused it.")
        return said or {}

    capture = open_way("canvas", shot_with(ENDLESS))
    monkeypatch.setattr(capture, "_send", send)
    frame = {"callFrameId": "1", "location": {"scriptId": "1"}}
    with nullcontext() if said is not None else pytest.raises(BrowserError):
        asyncio.run(capture._note_where({"callFrames": [frame]}))
    assert asked == ["Debugger.evaluateOnCallFrame", "Debugger.resume"]


def test_one_that_the_debugger_cannot_stop_is_named_when_a_frame_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ecg_renderer.capture.restarting.PING_SECONDS", 600.0)
    blamed(ENDLESS, "canvas", frame_timeout=3)


def test_where_nothing_can_be_interrupted_all_that_may_be_at_fault_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(*_: object) -> Json:
        await asyncio.sleep(60)
        return {}

    async def blamed() -> RenderError:
        capture = open_way("canvas", shot_with(ENDLESS))
        monkeypatch.setattr(capture, "_send", silent)
        monkeypatch.setattr(capture, "_guarding", asyncio.current_task())
        return await capture._blamed(FrameTimeout("No caption picture for 30 s: the browser hangs."))

    monkeypatch.setattr("ecg_renderer.capture.restarting.BLAME_SECONDS", 0.01)
    said = "Perhaps a plugin that an origin gave calls what has no end: x@2.0.0."
    assert str(asyncio.run(blamed())) == f"No caption picture for 30 s: the browser hangs. {said}"


def test_one_that_takes_all_memory_ends_the_page_not_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ecg_renderer.capture.restarting.RESTARTS", 0)
    monkeypatch.setattr("ecg_renderer.capture.restarting.PING_SECONDS", 600.0)  # else it may be blamed for its loop
    [limit] = [argument for argument in COMMON_ARGUMENTS if "max-old-space-size" in argument]
    less = f"{limit.rpartition('=')[0]}=200"  # of two, Chromium takes the last: the full limit takes long to reach
    shot = shot_with(GREEDY)

    async def capture() -> None:
        launcher = BrowserLauncher((*CANVAS_ARGUMENTS, less))
        async with open_way("canvas", shot, frame_timeout=60, launcher=launcher) as opened:
            await pictures_of(opened, shot.blocks, shot.whole)

    with pytest.raises(BrowserError, match="crashed"):
        asyncio.run(capture())


def blamed(
    script: str, way: str, frame_timeout: float = 150, within: float = 90, beside: str | None = None
) -> ScenarioError:
    """Return the error that blames the plugin; it comes long before a frame would time out."""
    shot = shot_with(script, beside=beside)

    async def capture() -> None:
        async with open_way(way, shot, frame_timeout=frame_timeout) as opened:
            await pictures_of(opened, shot.blocks, shot.whole)

    began = time.monotonic()
    with pytest.raises(ScenarioError, match=r"plugins? x@2\.0\.0, .* runs without an end") as caught:
        asyncio.run(capture())
    assert browser_processes(None) == []
    assert time.monotonic() - began < within
    return caught.value
