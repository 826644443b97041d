"""What to render, and how this machine goes about it. Imports little: Chromium is started before the rest is loaded."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ecg_api.problems import describe, unknown_word
from ecg_api.renderjob import RenderJob
from ecg_renderer.errors import OptionsError
from ecg_renderer.model import MEGABYTE, CaptureWay, SelfCheck

if TYPE_CHECKING:
    from ecg_renderer.planning import Cutting


TARGET_SECONDS = 60.0


@dataclass(frozen=True)
class RunRequest:
    """A job to run here.

    `base` is the folder that relative paths in the manifest start from. `cells` is the folder in which finished pieces
    are kept. `segments` forces their number.
    """

    job: RenderJob
    base: Path
    settings: Settings
    cells: Path
    segments: int | None = None

    @property
    def cutting(self) -> Cutting:
        """How the work is shared out: by the manifest where it says so, else a minute of video at a time."""
        return cutting_of(self.job, forced=self.segments)


def cutting_of(job: RenderJob, *, most: int | None = None, forced: int | None = None) -> Cutting:
    """Return how the manifest wants the work shared out, into at most `most` segments, or into `forced`."""
    from ecg_renderer.planning import CELL_SECONDS, LIVE_CELL_SECONDS, Cutting

    wanted = job.spec.segments
    return Cutting(
        max_segments=min((limit for limit in (wanted.max, most) if limit), default=None),
        target_seconds=wanted.target_seconds or TARGET_SECONDS,
        forced=forced,
        cell_seconds=LIVE_CELL_SECONDS if job.spec.live else CELL_SECONDS,
    )


# --- how this machine renders: numbers that belong to the machine and not to the job --------------


GIGABYTE = 10**9


def _capture_way(value: object) -> object:
    if value == "auto":
        return None
    ways = ("auto", *CaptureWay)
    if isinstance(value, str) and value not in ways:
        raise ValueError(f"{value!r} is not one of {', '.join(ways)}{unknown_word(value, ways)}")
    return value


class Settings(BaseModel):
    """Settings of the machine.

    Attributes:
        stages: independent caption stages in the browser.
        queue_frames: caption pictures that may wait for FFmpeg.
        memory_mb: MiB that may wait for FFmpeg.
        capture: a capture way, or None to choose the fastest that passes its check.
        frame_timeout: seconds without a frame after which the browser is replaced.
        selfcheck: when a fast way to capture is compared with screenshots.
        cells_gb: GB that finished pieces of video may take in the user's cache.
    """

    # Not pydantic-settings: loading it takes 30 ms of CPU in which Chromium could already start.
    model_config = ConfigDict(frozen=True, validate_by_name=True, validate_by_alias=True, allow_inf_nan=False)

    stages: int = Field(default=8, ge=1, le=32, validation_alias="BROWSER_POOL_SIZE")
    queue_frames: int = Field(default=60, ge=1, le=100_000, validation_alias="QUEUE_MAX_SIZE")
    memory_mb: int = Field(default=500, ge=1, le=1_000_000, validation_alias="MEMORY_THRESHOLD_MB")
    capture: Annotated[CaptureWay | None, BeforeValidator(_capture_way)] = Field(
        default=None, validation_alias="ECG_CAPTURE"
    )
    frame_timeout: float = Field(default=30.0, ge=0.1, le=3600, validation_alias="ECG_FRAME_TIMEOUT")
    selfcheck: SelfCheck = Field(default=SelfCheck.CACHED, validation_alias="ECG_SELFCHECK")
    cells_gb: float = Field(default=10.0, ge=0, le=1_000_000, validation_alias="ECG_CELLS_GB")

    @property
    def memory_bytes(self) -> int:
        """Bytes of pictures that may wait."""
        return self.memory_mb * MEGABYTE

    @property
    def cells_bytes(self) -> int:
        """Bytes that finished pieces of video may take in the user's cache."""
        return int(self.cells_gb * GIGABYTE)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Read the settings; raises OptionsError that names every variable that cannot be used."""
        names = [str(field.validation_alias) for field in cls.model_fields.values()]
        given = {name: text for name in names if (text := environment.get(name, "").strip())}
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            problems = "; ".join(describe(error, cls))
            raise OptionsError(f"The environment: {problems}.", hint="Correct or unset what is named.") from error
