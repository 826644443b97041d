"""MotionText itself, in Chromium, with plugins that note when they run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, sync_playwright

from ecg_renderer.chromium import find_chromium
from own_thread import in_own_thread

SAMPLES = Path(__file__).parent / "samples"
NODE_MODULES = Path(__file__).parents[3] / "renderer/ecg_renderer/page/node_modules"
MOTIONTEXT = NODE_MODULES / "motiontext-renderer/dist/index.js"
PLUGINS = ("cwi-color", "cwi-loud", "fadein", "elastic")

PAGE = """<!doctype html><body style="margin:0"><script type="module">
import { MotionTextRenderer, registerExternalPlugin } from "/motiontext.js";
let ran = [];
for (const name of PLUGINS) {
  const evalChannels = (spec, progress) => { ran.push(name); return { opacity: progress }; };
  const manifest = { name, version: "2.0.0", type: "channel" };
  registerExternalPlugin({ name, version: "2.0.0", module: { evalChannels }, baseUrl: "http://page/", manifest });
}
window.look = async (scenario, times) => {
  document.body.innerHTML = '<div style="width:640px;height:360px"><div></div></div>';
  const stage = document.body.firstChild.firstChild;
  const renderer = new MotionTextRenderer(stage);
  await renderer.loadConfig(scenario);
  return times.map((time) => {
    ran = [];
    renderer.seek(time);
    const cues = [...renderer.renderer.mountedElements.values()].map(({ cueId }) => cueId);
    return { time, cues: [...new Set(cues)], html: stage.innerHTML, text: stage.textContent, ran };
  });
};
</script></body>""".replace("PLUGINS", json.dumps(PLUGINS))


@dataclass(frozen=True)
class Look:
    """What MotionText shows at a time: ids of the cues it keeps, its HTML and text, plugins that ran."""

    time: float
    cues: list[str]
    html: str
    text: str
    ran: list[str]


def _serve(route: Route) -> None:
    if route.request.url == "http://page/":
        route.fulfill(content_type="text/html", body=PAGE)
    elif route.request.url == "http://page/motiontext.js":
        route.fulfill(content_type="text/javascript", body=MOTIONTEXT.read_text())
    else:
        route.abort()


@contextmanager
def _open_motiontext() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium())
        page = browser.new_page()
        page.route("**/*", _serve)
        page.goto("http://page/")
        page.wait_for_function("() => window.look !== undefined")
        yield page
        browser.close()


@pytest.fixture(scope="session")
def motiontext_page(node_modules: Path) -> Iterator[Page]:
    with in_own_thread(_open_motiontext()) as page:
        yield page


LookAt = Callable[[dict[str, Any], list[float]], list[Look]]


@pytest.fixture
def look_at(motiontext_page: Page) -> LookAt:
    """Load a scenario into MotionText 1.5.0 and look at it at some times (seconds, in order)."""

    def look(scenario: dict[str, Any], times: list[float]) -> list[Look]:
        argument = [scenario, times]
        return [Look(**seen) for seen in motiontext_page.evaluate("([s, t]) => window.look(s, t)", argument)]

    return look


@pytest.fixture
def sample() -> Callable[[str], bytes]:
    return lambda name: (SAMPLES / f"{name}.json").read_bytes()


@pytest.fixture
def caption() -> Callable[..., dict[str, Any]]:
    """Build a valid 2.0 scenario of one cue; arguments replace fields of the cue, the root or the word."""

    def build(
        *,
        cue: dict[str, Any] | None = None,
        root: dict[str, Any] | None = None,
        word: dict[str, Any] | None = None,
        **fields: Any,
    ) -> dict[str, Any]:
        text = {"id": "w", "eType": "text", "text": "word", **(word or {})}
        group = {"id": "r", "eType": "group", "displayTime": [1, 2], "children": [text], **(root or {})}
        return {
            "version": "2.0",
            "timebase": {"unit": "seconds"},
            "stage": {"baseAspect": "16:9"},
            "define": {},
            "tracks": [{"id": "caption", "type": "subtitle", "layer": 1}],
            "cues": [{"id": "c", "track": "caption", "domLifetime": [1, 2], "root": group, **(cue or {})}],
            **fields,
        }

    return build
