"""What a browser plays of the source: the file itself, or, where it cannot decode that, a small copy of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from ecg_renderer.errors import RenderError
from ecg_renderer.media.inputs import input_name, source_options
from ecg_renderer.media.process import Progress, run_ffmpeg
from ecg_renderer.preparation import PreparedJob

COPY_HEIGHT = 540
# What every browser plays; the page asks for a copy of anything else, and where a file does not play after all.
_PLAYED = {
    ("h264", "yuv420p"): {"mov", "mp4", "matroska"},
    ("vp8", "yuv420p"): {"matroska", "webm"},
    ("vp9", "yuv420p"): {"matroska", "webm", "mov", "mp4"},
    ("av1", "yuv420p"): {"matroska", "webm", "mov", "mp4"},
}


def plays_itself(prepared: PreparedJob) -> bool:
    """Tell whether browsers are expected to play the source as it is: a local file of a common kind."""
    source = prepared.source
    containers = _PLAYED.get((source.codec, source.pixel_format), set())
    return Path(prepared.source_url).is_file() and bool(containers & set(source.container.split(",")))


def copy_arguments(url: str, output: Path) -> list[str]:
    """Return FFmpeg's arguments that write a small H.264 copy of the video at `url`, which every browser plays."""
    opened = [word for name, value in source_options(url).items() for word in (f"-{name}", str(value))]
    picture = ["-vf", f"scale=-2:min({COPY_HEIGHT}\\,trunc(ih/2)*2),format=yuv420p"]
    video = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "28", "-g", "25"]
    sound = ["-map", "0:a:0?", "-c:a", "aac", "-ac", "2"]
    file = ["-movflags", "+faststart", f"file:{output}"]
    return [*opened, "-i", input_name(url), "-map", "0:V:0", *picture, *video, *sound, *file]


@dataclass
class SourceCopy:
    """A small H.264 copy of a source, made once, when it is first asked for.

    Attributes:
        done: how much of it there is, 0 to 1.
        failure: why there will be none.
    """

    folder: Path
    done: float = 0.0
    failure: str = ""
    path: Path | None = None
    _task: asyncio.Task[None] | None = field(default=None, repr=False)
    _identity: str = ""

    def begin(self, prepared: PreparedJob) -> None:
        """Make the copy, unless it is being made or there already."""
        if self._task and self._identity == prepared.source.identity:
            return
        self._identity, self.done, self.failure, self.path = prepared.source.identity, 0.0, "", None
        self._task = asyncio.create_task(self._make(prepared), name="copy of the source")

    async def close(self) -> None:
        """End the copying."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _make(self, prepared: PreparedJob) -> None:
        seconds = max(0.1, float(prepared.source.duration_seconds))

        def note(progress: Progress) -> None:
            self.done = min(0.99, progress.seconds / seconds)

        file = self.folder / "source.mp4"
        redact = {prepared.source_url: prepared.source.uri}
        try:
            await run_ffmpeg(
                copy_arguments(prepared.source_url, file),
                action="copying the source for the browser",
                on_progress=note,
                redact=redact,
            )
        except RenderError as error:
            self.failure = error.message
            return
        self.path, self.done = file, 1.0
