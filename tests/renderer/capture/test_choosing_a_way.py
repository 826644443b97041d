"""`auto` takes the fastest way that gives the reference's pictures, and says why when that is not the fastest."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from captures import EVERY_PLUGIN, Tampering, browser_processes, film, pictures_of
from ecg_renderer import capture as ways
from ecg_renderer.browser import BrowserLauncher
from ecg_renderer.capture import CaptureChoice, canvas, check_key, open_capture, stepwise
from ecg_renderer.colour import Conversion
from ecg_renderer.errors import BrowserError, OptionsError
from ecg_renderer.model import CaptureWay, Film
from ecg_renderer.request import Settings
from ecg_renderer.storage import CellStore, default_cells

CONVERSION = Conversion.of("bt709", full_range=False)
SIZE = (320, 180)
PATIENCE = 120


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "ecg-render" / "cells" / "selfcheck"


@pytest.fixture(scope="module")
def shot() -> Film:
    return film(0.8, size=SIZE)


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[CaptureWay]:
    """The ways that were checked."""
    checked: list[CaptureWay] = []
    check_way = ways.check_way

    async def note(candidate: ways.Capture, *arguments: object, **options: object) -> ways.CheckResult:
        checked.append(candidate.way)
        return await check_way(candidate, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(ways, "check_way", note)
    return checked


@asynccontextmanager
async def opened(
    shot: Film,
    way: CaptureWay | None = None,
    launcher: BrowserLauncher | None = None,
    conversion: Conversion | None = None,
) -> AsyncIterator[CaptureChoice]:
    settings = Settings.from_environment().model_copy(update={"capture": way, "stages": 2, "frame_timeout": PATIENCE})
    store = CellStore(default_cells().as_uri())
    async with open_capture(shot, conversion, settings, launcher or BrowserLauncher(), store) as choice:
        yield choice


def chosen(shot: Film, **options: object) -> tuple[CaptureWay, list[str]]:
    """Return the way that is chosen and its notes; it has to work."""

    async def choose() -> tuple[CaptureWay, list[str]]:
        async with opened(shot, **options) as choice:  # type: ignore[arg-type]
            assert choice.capture.statistics.patches == 0, "the check is counted as work"
            if options.get("conversion") is None:
                assert (await pictures_of(choice.capture, shot.blocks[:1], shot.whole))[0].any()
            return choice.capture.way, choice.notes

    return asyncio.run(choose())


@pytest.mark.parametrize("conversion", [None, CONVERSION], ids=["RGBA", "planes"])
def test_the_canvas_is_checked_and_taken(
    conversion: Conversion | None, shot: Film, checks: list[CaptureWay], cache: Path
) -> None:
    assert chosen(shot, conversion=conversion) == (CaptureWay.CANVAS, [])
    assert checks == [CaptureWay.CANVAS]
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize(("policy", "count"), [("always", 2), ("never", 0), ("cached", 1)])
def test_how_often_is_checked_can_be_said(
    policy: str, count: int, shot: Film, checks: list[CaptureWay], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECG_SELFCHECK", policy)

    assert {chosen(shot)[0], chosen(shot)[0]} == {CaptureWay.CANVAS}

    assert len(checks) == count


def test_another_word_for_how_often_is_refused(shot: Film, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECG_SELFCHECK", "sometimes")

    with pytest.raises(OptionsError, match="sometimes") as caught:
        chosen(shot)

    assert all(policy in str(caught.value) for policy in ("cached", "always", "never"))


def test_without_a_cache_folder_it_works_all_the_same(
    shot: Film, checks: list[CaptureWay], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))

    assert chosen(shot) == (CaptureWay.CANVAS, [])
    assert checks == [CaptureWay.CANVAS]


@pytest.mark.parametrize("way", CaptureWay)
def test_a_way_that_is_asked_for_is_taken_unchecked(way: CaptureWay, shot: Film, checks: list[CaptureWay]) -> None:
    assert chosen(shot, way=way) == (way, [])
    assert checks == []


def test_a_chromium_that_cannot_draw_elements_falls_back_at_once(
    shot: Film, checks: list[CaptureWay], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canvas, "LOAD_SECONDS", PATIENCE)
    began = time.monotonic()

    way, notes = chosen(shot, launcher=BrowserLauncher(arguments=()))

    assert way == CaptureWay.BEGINFRAME
    assert len(notes) == 1
    assert "canvas: The caption page failed: this Chromium cannot draw elements into a canvas" in notes[0]
    assert checks == [CaptureWay.BEGINFRAME], "what is taken instead is checked too"
    assert time.monotonic() - began < PATIENCE / 2


# Each is a function that replaces `draw`, the canvas's own drawElementImage.
WRONG_CANVASES = {
    "draws nothing": "() => {}",
    "draws one of several parts beside": """(({ prototype }, { clip } = prototype) => {
        prototype.clip = function (...a) { clip.apply(this, a); this.translate(2, 0); };
        return draw;
    })(CanvasRenderingContext2D)""",
    "draws a pixel beside": "function (e, x, y) { draw.call(this, e, x + 1, y); }",
    "draws half transparent": "function (...a) { this.globalAlpha = 0.5; draw.apply(this, a); }",
    "draws the picture before": """function (...a) {
        const before = this.last ?? document.createElement('canvas');
        const { width, height } = this.canvas;
        draw.apply(this, a);
        this.last = new OffscreenCanvas(width, height);
        this.last.getContext('2d').drawImage(this.canvas, 0, 0);
        this.clearRect(0, 0, width, height);
        this.drawImage(before, 0, 0);
    }""",
}


@pytest.fixture(scope="module")
def checked_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that keeps that the way which is taken instead is good."""
    return tmp_path_factory.mktemp("verdicts")


@pytest.mark.parametrize(
    ("fault", "conversion"), [*((fault, None) for fault in WRONG_CANVASES), ("draws half transparent", CONVERSION)]
)
def test_a_canvas_is_not_taken_that(
    fault: str, conversion: Conversion | None, shot: Film, checked_once: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(checked_once))
    context = "CanvasRenderingContext2D.prototype"
    script = (
        f"() => {{ const draw = {context}.drawElementImage; {context}.drawElementImage = {WRONG_CANVASES[fault]}; }}"
    )

    way, notes = chosen(shot, launcher=Tampering(script), conversion=conversion)

    assert way == CaptureWay.BEGINFRAME
    assert "is not the reference's" in notes[0]
    assert ("captured in parts" in notes[0]) == (fault == "draws one of several parts beside")


def test_a_canvas_that_hangs_is_not_waited_for(shot: Film, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways, "PICTURE_SECONDS", 4.0)
    ignored = "Object.defineProperty(HTMLCanvasElement.prototype, 'onpaint', { set() {} })"
    launcher = Tampering(f"() => {{ {ignored}; }}")

    way, notes = chosen(shot, launcher=launcher)

    assert way == CaptureWay.BEGINFRAME
    assert "more than 4 s" in notes[0]


def test_screenshots_are_the_last_resort_and_both_reasons_are_given(
    shot: Film, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stepwise, "BEGIN_FRAME_ARGUMENTS", ("--version",))

    way, notes = chosen(shot, launcher=BrowserLauncher(arguments=()))

    assert way == CaptureWay.SCREENSHOT
    assert "canvas: " in notes[0]
    assert "beginframe: Chromium (" in notes[0]
    assert "did not start: Chromium ended unexpectedly" in notes[0]


def test_no_chromium_at_all_is_an_error_that_says_what_to_do(shot: Film, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECG_CHROMIUM", "/bin/false")

    with pytest.raises(BrowserError, match="/bin/false") as caught:
        chosen(shot)

    assert "chromium-headless-shell" in caught.value.hint


def test_nothing_runs_while_nothing_is_captured(shot: Film) -> None:
    async def browsers() -> list[int]:
        counts = []
        async with opened(shot) as choice:
            counts.append(len(browser_processes(None)))
            assert choice.capture.way == CaptureWay.CANVAS
        counts.append(len(browser_processes(None)))
        return counts

    during, after = asyncio.run(browsers())

    assert during in (1, 2), "a wrapper script may stand before the one browser"
    assert after == 0


@pytest.mark.parametrize("way", [CaptureWay.BEGINFRAME, CaptureWay.SCREENSHOT])
def test_a_browser_that_was_warmed_for_another_way_is_ended(way: CaptureWay, shot: Film) -> None:
    async def profiles() -> set[str]:
        launcher = BrowserLauncher()
        launcher.warm()
        async with opened(shot, way, launcher=launcher):
            words = (word for process in browser_processes(None) for word in process.cmdline())
            return {word for word in words if word.startswith("--user-data-dir=")}

    assert len(asyncio.run(profiles())) == 1


def test_a_verdict_holds_for_what_it_was_made_for(shot: Film) -> None:
    plain = film(0.8, plugins=("fadein",), size=SIZE)
    styled_captions = {**plain.scenario, "tracks": [{**track} for track in plain.scenario["tracks"]]}
    styled_captions["tracks"][0]["defaultStyle"] = {"stroke": {"widthRel": 0.01}}
    keys = [
        check_key(CaptureWay.CANVAS, "156.0", shot),
        check_key(CaptureWay.BEGINFRAME, "156.0", shot),
        check_key(CaptureWay.CANVAS, "157.0", shot),
        check_key(CaptureWay.CANVAS, "156.0", plain),
        check_key(CaptureWay.CANVAS, "156.0", film(0.8, size=(640, 360))),
        check_key(CaptureWay.CANVAS, "156.0", film(0.8, captions=styled_captions, size=SIZE)),
    ]

    assert len(set(keys)) == len(keys)
    assert check_key(CaptureWay.CANVAS, "156.0", film(1.6, plugins=EVERY_PLUGIN[:4], size=SIZE)) == keys[0], (
        "more words, the same kind of film"
    )
