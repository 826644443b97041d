"""How this machine renders: numbers that belong to the machine and not to the job, from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from ecg_renderer.errors import OptionsError
from ecg_renderer.frames import MEGABYTE
from ecg_renderer.model import CaptureWay, SelfCheck

LARGEST_POOL = 32
GIGABYTE = 10**9


@dataclass(frozen=True)
class Settings:
    """Settings of the machine.

    Attributes:
        stages: BROWSER_POOL_SIZE, independent caption stages in the browser, 1 to 32.
        queue_frames: QUEUE_MAX_SIZE, caption pictures that may wait for FFmpeg.
        memory_bytes: MEMORY_THRESHOLD_MB, bytes that may wait for FFmpeg.
        capture: ECG_CAPTURE, a capture way, or None to choose the fastest that passes its check.
        frame_timeout: ECG_FRAME_TIMEOUT, seconds without a frame after which the browser is replaced.
        selfcheck: ECG_SELFCHECK, when a fast way to capture is compared with screenshots.
        cells_bytes: ECG_CELLS_GB, the most that finished pieces of video may take in the user's cache.
    """

    stages: int = 8
    queue_frames: int = 60
    memory_bytes: int = 500 * MEGABYTE
    capture: CaptureWay | None = None
    frame_timeout: float = 30.0
    selfcheck: SelfCheck = SelfCheck.CACHED
    cells_bytes: int = 10 * GIGABYTE

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Read the settings; raises OptionsError for a value out of range."""
        return cls(
            stages=int(_number(environment, "BROWSER_POOL_SIZE", 8, 1, LARGEST_POOL)),
            queue_frames=int(_number(environment, "QUEUE_MAX_SIZE", 60, 1, 100_000)),
            memory_bytes=int(_number(environment, "MEMORY_THRESHOLD_MB", 500, 1, 1_000_000) * MEGABYTE),
            capture=capture_way(environment.get("ECG_CAPTURE", "auto")),
            frame_timeout=_number(environment, "ECG_FRAME_TIMEOUT", 30, 0.1, 3600),
            selfcheck=_selfcheck(environment.get("ECG_SELFCHECK", "")),
            cells_bytes=int(_number(environment, "ECG_CELLS_GB", 10, 0, 1_000_000) * GIGABYTE),
        )


def capture_way(text: str) -> CaptureWay | None:
    """Return the capture way of that name, None for "auto"; raises OptionsError for another word."""
    if text == "auto":
        return None
    try:
        return CaptureWay(text)
    except ValueError as error:
        ways = ", ".join(way.value for way in CaptureWay)
        raise OptionsError(f"{text!r} is no capture way.", hint=f"Ways: auto, {ways}.") from error


def _selfcheck(text: str) -> SelfCheck:
    try:
        return SelfCheck(text or SelfCheck.CACHED)
    except ValueError as error:
        words = ", ".join(SelfCheck)
        raise OptionsError(f"ECG_SELFCHECK is {text!r}.", hint=f"It can be: {words}.") from error


def _number(environment: Mapping[str, str], name: str, default: float, low: float, high: float) -> float:
    text = environment.get(name, "").strip()
    if not text:
        return default
    try:
        value = float(text)
    except ValueError as error:
        raise OptionsError(f"{name} is {text!r}, which is no number.") from error
    if not low <= value <= high:
        raise OptionsError(f"{name} is {text}; it must be {low:g} to {high:g}.")
    return value
