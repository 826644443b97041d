"""A real browser page with MotionText in which one caption with plugins can be shown and looked at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, Route, sync_playwright

from ecg_renderer.chromium import COMMON_ARGUMENTS, find_chromium
from ecg_renderer.served import ServedFile, content_type, page_file

ORIGIN = "http://ecg.invalid"
HARNESS = Path(__file__).with_suffix(".html")
SIZE = {"width": 640, "height": 360}

Plugin = str | tuple[str, object]


class PluginPage:
    """One caption at a time; `p` is the progress of its effects, which last from second 1 to 3."""

    def __init__(self, page: Page, problems: list[str]) -> None:
        self.page = page
        self.problems = problems

    def show(self, text: str, *plugins: Plugin, p: float | None = None, **style: object) -> PluginPage:
        """Lay out a caption of `text` with `plugins` (name, or name and params); go to `p`."""
        chain = [(plugin, {}) if isinstance(plugin, str) else plugin for plugin in plugins]
        names = sorted({name for name, _ in chain})
        self.page.evaluate("([s, n]) => test.show(s, n)", [scenario(text, chain, style), names])
        if p is not None:
            self.seek(p)
        return self

    def seek(self, p: float) -> int:
        """Go to `p`; return how many changes of the DOM that made."""
        return int(self.page.evaluate("p => test.seek(p)", p))

    def html(self, p: float | None = None) -> str:
        """Return the caption's DOM, at `p` or now."""
        if p is not None:
            self.seek(p)
        return str(self.page.evaluate("test.html()"))

    def htmls(self, progress: Iterable[float]) -> list[str]:
        """Return the caption's DOM at each `p` of `progress`, gone to in this order."""
        return list(self.page.evaluate("all => all.map((p) => (test.seek(p), test.html()))", list(progress)))

    def parts(self, kind: str, p: float | None = None) -> list[dict[str, Any]]:
        """Return how each "whole", "word" or "letter" looks, at `p` or now."""
        if p is not None:
            self.seek(p)
        return list(self.page.evaluate("kind => test.parts(kind)", kind))

    def paths(self, kind: str, look: str, progress: Iterable[float]) -> list[list[Any]]:
        """Return for each part of `kind` its `look` ("x", "scale", "color") at each `p` of `progress`."""
        script = "([kind, all]) => all.map((p) => (test.seek(p), test.parts(kind)))"
        frames = self.page.evaluate(script, [kind, list(progress)])
        return [[part[look] for part in path] for path in zip(*frames, strict=True)]

    def only(self, kind: str, p: float | None = None) -> dict[str, Any]:
        """Return how the one part of `kind` looks, at `p` or now."""
        [part] = self.parts(kind, p)
        return part

    def picture(self) -> bytes:
        """Return a PNG of the page."""
        return self.page.screenshot()

    def evaluate(self, script: str, argument: object = None) -> Any:
        """Run JavaScript in the page."""
        return self.page.evaluate(script, argument)


@contextmanager
def open_plugin_page() -> Iterator[PluginPage]:
    """Start a browser that gets its files from disk and reaches nothing else; close it at the end."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(COMMON_ARGUMENTS))
        try:
            page = browser.new_page(viewport=SIZE)
            problems: list[str] = []
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.on("console", lambda line: problems.append(line.text) if line.type in WORRYING else None)
            page.route("**/*", lambda route: serve(route, HARNESS, problems))
            page.goto(f"{ORIGIN}/")
            page.wait_for_function("window.test")
            yield PluginPage(page, problems)
        finally:
            browser.close()


WORRYING = ("warning", "error")


def serve(route: Route, harness: Path, problems: list[str], fetched: Mapping[str, ServedFile] | None = None) -> None:
    """Answer a request of the page with `harness`, one of `fetched` or of our files; note and refuse any other."""
    path = route.request.url.removeprefix(ORIGIN)
    if fetched and path in fetched:
        route.fulfill(body=fetched[path].body, content_type=fetched[path].content_type)
        return
    file = harness if path == "/" else page_file(path)
    if file is None or path == route.request.url:
        problems.append(f"asked for {route.request.url}")
        route.abort()
    else:
        route.fulfill(body=file.read_bytes(), content_type=content_type(file))


def scenario(text: str, chain: list[tuple[str, object]], style: dict[str, object]) -> dict[str, object]:
    """Return a scenario with one caption in the middle of the picture."""
    node = {
        "id": "text",
        "eType": "text",
        "text": text,
        "displayTime": [0, 10],
        "baseTime": [1, 3],
        "layout": {"position": {"x": 0.5, "y": 0.5}, "anchor": "cc"},
        "style": {"fontSizeRel": 0.1, "fontFamily": "Arial, sans-serif", "color": "#ffffff", **style},
        "pluginChain": [{"name": name, "params": params, "timeOffset": [0, 0]} for name, params in chain],
    }
    root = {"id": "group", "eType": "group", "displayTime": [0, 10], "children": [node]}
    return {
        "version": "2.0",
        "pluginApiVersion": "3.0",
        "timebase": {"unit": "seconds"},
        "stage": {"baseAspect": "16:9"},
        "tracks": [{"id": "captions", "type": "free", "layer": 1}],
        "cues": [{"id": "cue", "track": "captions", "domLifetime": [0, 10], "root": root}],
    }
