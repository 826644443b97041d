"""The status page and the description of the API, in the browser."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

import clips
import live_streams
from ecg_api.failures import FailureCode
from ecg_renderer.chromium import find_chromium
from ecg_shim.failures import failure
from ecg_shim.model import JobStatus
from shim_memory import Served, finished

NOW = datetime.now(UTC)
expect.set_options(timeout=20_000)
PLAYED = """(video, seconds) => new Promise((played) => {
  setInterval(() => { if (video.currentTime >= seconds) played(); }, 50);
})"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Return a function that opens a page; at the end none may have had an error or asked another server."""
    contexts, complaints = [], []

    def open_page(served: Served, path: str = "/", **options: object) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
        page.on("request", lambda sent: None if sent.url.startswith(served.address) else complaints.append(sent.url))
        page.goto(served.address + path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints


def test_without_jobs_the_page_says_how_to_post_one(served, opened):
    page = opened(served)
    expect(page.locator("#example")).to_contain_text(f"curl {served.address}/render")
    expect(page.get_by_role("status").first).to_have_text("Healthy · standalone")


def test_jobs_move_from_waiting_to_a_video_that_plays(served, opened):
    served.backend.set("talk", status=JobStatus.QUEUED, message="Waiting for a free place", created_at=NOW)
    page = opened(served)
    job = page.get_by_role("listitem").filter(has_text="talk")
    expect(job).to_contain_text("Waiting for a free place")
    expect(page.locator("#waiting")).to_have_text("1")

    served.backend.set("talk", status=JobStatus.PROCESSING, progress=42, message="Rendering segment 2 of 4",
                       eta_seconds=75, started_at=NOW)  # fmt: skip
    expect(job.get_by_role("progressbar", name="Progress of talk")).to_have_js_property("value", 42)
    expect(job).to_contain_text("42 %")
    expect(job).to_contain_text("1 min 15 s to go")
    expect(page.locator("#rendering")).to_have_text("1 of 3")

    finished(served.backend, "talk", clips.counter(clips.Clip()))
    served.backend.set("talk", finished_at=NOW + timedelta(seconds=12))
    expect(job).to_contain_text("2 s of video")
    expect(job).to_contain_text("rendered in 12 s")
    expect(page.locator("#said")).to_have_text("Job talk: Completed")
    job.get_by_role("button", name="Play talk").click()
    video = page.locator("dialog video")
    video.evaluate(PLAYED, 0.5)
    assert video.evaluate("video => [video.videoWidth, video.videoHeight]") == [320, 180]
    video.evaluate("video => { video.currentTime = 1.2; video.play(); }")
    video.evaluate(PLAYED, 1.4)

    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_be_hidden()
    expect(page.locator("dialog video:not([src])")).to_have_count(1)
    with page.expect_download() as download:
        job.get_by_role("link", name="Download talk").click()
    assert download.value.suggested_filename == "talk.mp4"


def test_a_job_is_watched_while_it_renders_from_the_beginning_and_to_its_end(served, opened):
    """The pieces of a render that is over appear one by one; Chromium has H.264 and AAC, and plays them by hls.js."""
    folder = live_streams.watched()
    pieces = {f"live/{path.name}": path for path in (folder / "live").glob("*.mp4")}

    def finish(count: int) -> None:
        served.backend.streams["talk"] = {**live_streams.after(folder, count), **pieces}

    finish(1)
    served.backend.set("talk", status=JobStatus.PROCESSING, live=True, created_at=NOW)
    page = opened(served)
    expect(page.get_by_role("link", name="Playlist of talk")).to_have_attribute(
        "href", f"{served.address}/api/render/talk/live.m3u8"
    )
    page.get_by_role("button", name="Watch talk while it renders").click()
    video, said = page.locator("dialog video"), page.locator("#player-live")
    expect(said).to_have_text("2 s of 6 s are rendered.")
    video.evaluate(PLAYED, 1.5)
    assert video.evaluate("video => video.buffered.end(0)") == pytest.approx(2, abs=0.1)

    finish(2)
    expect(said).to_have_text("4 s of 6 s are rendered.")
    video.evaluate(PLAYED, 3)
    video.evaluate("video => { video.currentTime = 0.5; }")
    video.evaluate(PLAYED, 1)
    assert video.evaluate("video => video.currentTime") < 3

    finish(3)
    served.backend.set("talk", status=JobStatus.COMPLETED)
    expect(said).to_have_text("All 6 s are rendered.")
    video.evaluate("video => { video.currentTime = 5; }")
    expect(page.locator("dialog video")).to_have_js_property("ended", True)
    assert video.evaluate("video => video.duration") == pytest.approx(6, abs=0.1)
    assert video.evaluate("video => [video.videoWidth, video.videoHeight]") == [320, 180]
    page.get_by_role("button", name="Close the player").click()
    expect(page.locator("dialog video:not([src])")).to_have_count(1)


def test_a_job_that_ends_early_says_how_much_there_is_to_watch(served, opened):
    folder = live_streams.watched()
    served.backend.streams["talk"] = {
        **live_streams.after(folder, 1),
        **{f"live/{path.name}": path for path in (folder / "live").glob("*.mp4")},
    }
    served.backend.set("talk", status=JobStatus.PROCESSING, live=True, created_at=NOW)
    page = opened(served)
    page.get_by_role("button", name="Watch talk while it renders").click()
    expect(page.locator("#player-live")).to_have_text("2 s of 6 s are rendered.")
    served.backend.set("talk", status=JobStatus.CANCELLED)
    expect(page.locator("#player-live")).to_have_text("Rendering ended after 2 s of 6 s.")
    expect(page.locator("dialog video")).to_have_js_property("ended", True)


def test_a_failure_is_shown_with_its_reason(served, opened):
    reason = failure(FailureCode.FFMPEG_ERROR, "FFmpeg <b>ended</b> with status 1.")
    served.backend.set(
        "broken", status=JobStatus.FAILED, failure=reason, created_at=datetime.now(UTC) - timedelta(minutes=5)
    )
    job = opened(served).get_by_role("listitem")
    expect(job).to_contain_text("FFMPEG_ERROR: FFmpeg <b>ended</b> with status 1.")
    expect(job).to_contain_text("5 min ago")
    expect(job.get_by_role("button")).to_have_count(0)


def test_a_job_can_be_cancelled_by_keyboard(served, opened):
    served.backend.set("talk", created_at=NOW)
    page = opened(served)
    cancel = page.get_by_role("button", name="Cancel talk")
    cancel.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("listitem")).to_contain_text("Cancelled")
    assert served.backend.jobs["talk"].status is JobStatus.CANCELLED


def test_the_focus_stays_while_the_page_refreshes(served, opened):
    served.backend.set("first", created_at=NOW)
    page = opened(served)
    page.get_by_role("button", name="Cancel first").focus()
    served.backend.set("second", created_at=NOW + timedelta(seconds=1))
    expect(page.get_by_role("listitem")).to_have_count(2)
    expect(page.get_by_role("button", name="Cancel first")).to_be_focused()
    assert page.locator(".id").all_text_contents() == ["second", "first"]


def test_problems_of_the_service_are_shown(served, opened):
    served.backend.health_says = {"healthy": False, "problems": ["Only 12 MB are free in /data."]}
    expect(opened(served).get_by_role("alert")).to_have_text("Only 12 MB are free in /data.")


def test_a_service_with_a_token_is_asked_with_it(serve, opened):
    served = serve(ECG_API_TOKEN="hunter2")
    served.backend.set("talk", created_at=NOW)
    page = opened_without_complaints(opened, served)
    page.get_by_label("This service asks for its API token.").fill("hunter2")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("listitem")).to_contain_text("talk")
    expect(page.get_by_label("This service asks for its API token.")).to_be_hidden()


def opened_without_complaints(opened: Callable[..., Page], served: Served) -> Page:
    """Open a page whose first requests are refused, which browsers complain about."""
    context = opened(served, "/health").context
    page = context.new_page()
    page.goto(served.address)
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_both_schemes(served, opened, scheme):
    for status in JobStatus:
        served.backend.set(status, status=status, message="Something", created_at=NOW)
    page = opened(served, color_scheme=scheme)
    page.locator(".job").first.wait_for()
    assert page.evaluate(CONTRASTS) == []


def test_the_pages_fit_a_telephone(served, opened):
    served.backend.set("f70a8eb4-3c1d-4a55-9d7e-2b6f7e0f5a11", status=JobStatus.PROCESSING, created_at=NOW)
    page = opened(served, viewport={"width": 360, "height": 740})
    page.locator(".job").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_everything_that_can_be_used_has_a_name(served, opened):
    finished(served.backend, "talk", clips.counter(clips.Clip()))
    page = opened(served)
    page.get_by_role("listitem").wait_for()
    for element in page.locator("button:visible, a:visible, input:visible, progress:visible").all():
        assert re.search(r"\w", element.aria_snapshot()), element
        assert element.evaluate("e => (e.ariaLabel ?? e.labels?.[0]?.textContent ?? e.textContent).trim()")


def test_the_page_leads_to_the_description_of_the_api(served, opened):
    page = opened(served)
    link = page.get_by_role("link", name="API")
    described = served.client.get(link.get_attribute("href")).json()
    assert {"/render", "/api/render/{job_id}/status", "/health", "/queue/status"} <= set(described["paths"])
    assert served.client.get("/docs", follow_redirects=True).json() == described


# Every visible text against the first solid colour behind it: WCAG asks for 4.5.
CONTRASTS = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return canvas.getImageData(0, 0, 1, 1).data;
  };
  const light = (colour) => {
    const [r, g, b] = [...colour].map((v) => v / 255).map((v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const behind = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = rgba(getComputedStyle(one).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return rgba("white");
  };
  const poor = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !element.checkVisibility() || element.closest("option, script")) continue;
    const [a, b] = [light(rgba(getComputedStyle(element).color)), light(behind(element))].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05);
    if (ratio < 4.5) poor.push(`${element.className || element.tagName}: ${ratio.toFixed(2)}`);
  }
  return poor;
}"""
