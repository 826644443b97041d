"""From the command line's words to what the renderer takes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from ecg_renderer.errors import OptionsError
from ecg_renderer.manifest import read_manifest
from ecg_renderer.model import FrameRange
from ecg_renderer.request import RunRequest
from ecg_renderer.settings import Settings, capture_way
from ecg_renderer.storage.cells import default_cells


def run_request(
    job: str,
    assignments: Iterable[str],
    *,
    output: str | None = None,
    encoder: str | None = None,
    segments: int | None = None,
    cells: Path | None = None,
    capture: str | None = None,
    stages: int | None = None,
) -> RunRequest:
    """Return the request that a manifest and options make; None leaves what manifest and environment say.

    Raises ManifestError or OptionsError.
    """
    values: dict[tuple[str, ...], str] = {}
    if output is not None:
        # Paths in a manifest start at its folder, paths on a command line at the current one.
        values["spec", "output", "uri"] = output if "://" in output else str(Path(output).expanduser().absolute())
    if encoder is not None:
        values["spec", "options", "encoder"] = encoder
    manifest = read_manifest(job, assignments, values)
    settings = Settings.from_environment()
    if capture is not None:
        settings = replace(settings, capture=capture_way(capture))
    if stages is not None:
        settings = replace(settings, stages=stages)
    return RunRequest(manifest.job, manifest.base, settings, (cells or default_cells()).absolute(), segments)


def frame_range(text: str | None, frames: int) -> FrameRange:
    """Return the frames that `A:B` means of a video of `frames` frames; all of them for None.

    Either side may be left out; a B beyond the end means the end. Raises OptionsError.
    """
    first, colon, last = (text or ":").partition(":")
    try:
        start, end = int(first or 0), int(last or frames)
    except ValueError:
        colon = ""
    if not colon:
        raise OptionsError(f"--range {text} is no range of frames.", hint="Write A:B, such as 0:300, 60: or :60.")
    if not 0 <= start < min(end, frames):
        raise OptionsError(
            f"--range {text} holds no frame of this video, which has frames 0 to {frames - 1}.",
            hint="Write A:B with A below B; B itself is not included.",
        )
    return FrameRange(start, min(end, frames))
