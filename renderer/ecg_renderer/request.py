"""What to render, how this machine goes about it, and which servers plugins may come from.

Imports little: Chromium is started before the rest is loaded.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ecg_api.names import PLUGIN_ORIGIN_VARIABLE, PLUGIN_ORIGINS_VARIABLE
from ecg_api.problems import describe, unknown_word
from ecg_api.renderjob import RenderJob
from ecg_common.addresses import AddressPolicy, AddressRefused, origin_of
from ecg_renderer.errors import ManifestError, OptionsError
from ecg_renderer.model import MEGABYTE, CaptureWay, SelfCheck
from ecg_renderer.storage.base import printable

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


# --- which servers plugins may come from: a list of whoever runs the machine, of which a job names one


@dataclass(frozen=True)
class Origin:
    """A server of plugins that may be asked; `given` says where it was named, for messages."""

    address: str
    given: str
    policy: AddressPolicy


@dataclass(frozen=True)
class PluginOrigins:
    """The origins that this machine allows. A job may name one of them, and no other.

    Attributes:
        default: what a job gets that names none; empty: none.
        allowed: addresses without a slash at the end.
    """

    default: str = ""
    allowed: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Read ECG_PLUGIN_ORIGIN and ECG_PLUGIN_ORIGINS; raises OptionsError for what is no address."""
        default = _checked(PLUGIN_ORIGIN_VARIABLE, environment.get(PLUGIN_ORIGIN_VARIABLE, "").split()[:1])
        others = re.split(r"[,\s]+", environment.get(PLUGIN_ORIGINS_VARIABLE, ""))
        allowed = [*default, *_checked(PLUGIN_ORIGINS_VARIABLE, filter(None, others))]
        return cls(default[0] if default else "", tuple(dict.fromkeys(allowed)))

    def choose(self, wanted: str | None) -> Origin | None:
        """Return the origin of a job that asks for `wanted`, None for none; raises ManifestError for a foreign one."""
        address = (wanted or self.default).rstrip("/")
        if not address:
            return None
        if address not in self.allowed:
            there = ", ".join(self.allowed) or "empty"
            raise ManifestError(
                f"spec.plugins.origin: {printable(address)} is not one of the origins that are allowed here "
                f"({PLUGIN_ORIGINS_VARIABLE}: {there}).",
                hint="Plugins are programs: whoever runs this machine lists the servers that they may come from.",
            )
        policy = AddressPolicy(schemes=("https",), origins=tuple(map(origin_of, self.allowed)))
        return Origin(address, "spec.plugins.origin" if wanted else PLUGIN_ORIGIN_VARIABLE, policy)


def _checked(name: str, addresses: Iterable[str]) -> list[str]:
    found = []
    for address in addresses:
        try:
            origin_of(address)
        except AddressRefused as reason:
            raise OptionsError(
                f"The environment: {name}: {printable(address)}: {reason}", hint="Write https://host."
            ) from None
        found.append(address.rstrip("/"))
    return found
