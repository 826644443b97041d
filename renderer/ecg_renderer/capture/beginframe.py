"""Frames on command: Chromium draws one exactly when it is told to, and hands over the picture of a part of it.

It takes the same pictures as a screenshot in a fraction of the time, because nothing waits for the display's clock and
only the wanted part is drawn. Headless shell only (`--enable-begin-frame-control`).
"""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from ecg_renderer.browser import (
    COMMON_ARGUMENTS,
    INSTALL_HINT,
    ORIGIN,
    content_type,
    find_chromium,
    make_profile,
    page_file,
)
from ecg_renderer.capture.cdp import DevTools, Json
from ecg_renderer.capture.scene import Scene
from ecg_renderer.capture.stepwise import StepwiseCapture
from ecg_renderer.colour import Conversion
from ecg_renderer.errors import BrowserError, FrameTimeout
from ecg_renderer.model import Box, CaptureWay

LOAD_SECONDS = 30.0
PUMP_SECONDS = 0.004
TRANSPARENT = {"r": 0, "g": 0, "b": 0, "a": 0}

BEGIN_FRAME_ARGUMENTS = (
    "--headless",
    "--remote-debugging-pipe",
    "--deterministic-mode",
    "--enable-begin-frame-control",
    "--run-all-compositor-stages-before-draw",  # a frame is only done when everything in it is
    "--disable-new-content-rendering-timeout",
    "--disable-threaded-animation",
    "--disable-threaded-scrolling",
    "--disable-checker-imaging",
    "--disable-image-animation-resync",
    "--enable-surface-synchronization",
    "--disable-breakpad",
    "--mute-audio",
)


class BeginFrameCapture(StepwiseCapture):
    """Captures with `HeadlessExperimental.beginFrame`, in a Chromium of its own."""

    way = CaptureWay.BEGINFRAME

    def __init__(self, scene: Scene, conversion: Conversion | None, *, frame_timeout: float) -> None:
        super().__init__(scene, conversion, frame_timeout=frame_timeout)
        self._profile: Path | None = None
        self._devtools: DevTools | None = None
        self._session_id = ""
        self._view: Box | None = None

    async def _open(self) -> None:
        executable = find_chromium()
        if executable is None:
            raise BrowserError(
                "Frames on command need Chromium's headless shell, and none was found.", hint=INSTALL_HINT
            )
        try:
            async with asyncio.timeout(LOAD_SECONDS):
                await self._start(executable)
                await self._load()
        except TimeoutError as error:
            raise FrameTimeout(f"The caption page did not load within {LOAD_SECONDS:g} s.") from error

    async def _start(self, executable: Path) -> None:
        self._profile = make_profile()
        self._view = None
        self._devtools = await DevTools.start(
            [str(executable), *BEGIN_FRAME_ARGUMENTS, *COMMON_ARGUMENTS, f"--user-data-dir={self._profile}"]
        )
        self._session_id = ""
        self.browser_version = (await self._send("Browser.getVersion"))["product"].split("/")[-1]
        size = {"width": self._scene.width, "height": self._scene.height}
        target = await self._send(
            "Target.createTarget", {"url": "about:blank", "enableBeginFrameControl": True, **size}
        )
        attached = await self._send("Target.attachToTarget", {"targetId": target["targetId"], "flatten": True})
        self._session_id = attached["sessionId"]

    async def _load(self) -> None:
        assert self._devtools is not None
        loaded = asyncio.Event()

        async def note_load(_event: Json) -> None:
            loaded.set()

        self._devtools.on("Fetch.requestPaused", self._serve)
        self._devtools.on("Inspector.targetCrashed", self._note_crash)
        self._devtools.on("Page.loadEventFired", note_load)
        await self._send("Inspector.enable")
        await self._send("Page.enable")
        await self._send("Fetch.enable", {"patterns": [{"urlPattern": "*"}]})
        await self._send("Emulation.setDefaultBackgroundColorOverride", {"color": TRANSPARENT})
        await self._send("Page.navigate", {"url": f"{ORIGIN}/"})
        await self._pumped(loaded.wait())
        await self._pumped(self._call("config => ecg.load(config)", self._scene.page_config(stages=1, canvas=False)))

    async def _close(self) -> None:
        devtools, self._devtools = self._devtools, None
        profile, self._profile = self._profile, None
        if devtools:
            await devtools.close()
        if profile:
            shutil.rmtree(profile, ignore_errors=True)

    async def _send(self, method: str, parameters: Json | None = None) -> Json:
        assert self._devtools is not None
        return await self._devtools.send(method, parameters, session=self._session_id)

    async def _call(self, script: str, argument: Any) -> Any:
        expression = f"({script})({json.dumps(argument)})"
        answer = await self._send(
            "Runtime.evaluate", {"expression": expression, "awaitPromise": True, "returnByValue": True}
        )
        failure = answer.get("exceptionDetails")
        if failure:
            said = failure.get("exception", {}).get("description") or failure["text"]
            raise BrowserError(f"The caption page failed: {said.splitlines()[0]}")
        return answer["result"].get("value")

    async def _picture(self, box: Box) -> bytes:
        if box != self._view:
            # The view of the page, not its layout: frames are drawn at the size of this box, all else is left out.
            view = {"x": box.x, "y": box.y, "width": box.width, "height": box.height, "scale": 1}
            size = {"width": self._scene.width, "height": self._scene.height}
            metrics = {**size, "deviceScaleFactor": 1, "mobile": False, "viewport": view}
            await self._send("Emulation.setDeviceMetricsOverride", metrics)
            self._view = box
        answer = await self._begin_frame({"screenshot": {"format": "png", "optimizeForSpeed": True}})
        if "screenshotData" not in answer:
            raise BrowserError("Chromium drew a frame without giving its picture.")
        return base64.b64decode(answer["screenshotData"])

    async def _begin_frame(self, parameters: Json | None = None) -> Json:
        return await self._send("HeadlessExperimental.beginFrame", parameters)

    async def _pumped(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Await `work` while frames go on: without them, a page neither loads nor is laid out."""
        task = asyncio.create_task(work)
        try:
            while not task.done():
                await self._begin_frame()
                await asyncio.wait({task}, timeout=PUMP_SECONDS)
            return await task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _serve(self, event: Json) -> None:
        url = event["request"]["url"]
        file = page_file(url[len(ORIGIN) :].split("?")[0]) if url.startswith(ORIGIN + "/") else None
        if file is None:
            refused = {"requestId": event["requestId"], "errorReason": "BlockedByClient"}
            await self._send("Fetch.failRequest", refused)
            return
        body = base64.b64encode(await asyncio.to_thread(file.read_bytes)).decode()
        headers = [{"name": "Content-Type", "value": content_type(file)}]
        answer = {"requestId": event["requestId"], "responseCode": 200, "responseHeaders": headers, "body": body}
        await self._send("Fetch.fulfillRequest", answer)

    async def _note_crash(self, _event: Json) -> None:
        if self._devtools:
            self._devtools.fail("The caption page crashed.")
