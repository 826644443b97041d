"""What can go wrong in a render.

    RenderError                        base: carries code, message, hint, segment, frame, log tail
     ├─ PiecesGone                     RENDER_ERROR             finished pieces are gone: plan again
     ├─ ManifestError                  VALIDATION_ERROR         the job file itself
     ├─ OptionsError                   INVALID_RENDER_OPTIONS   a value that cannot be rendered
     ├─ ScenarioError                  SCENARIO_PARSE_ERROR     JSON, structure, times, tracks, plugins
     ├─ SourceMissing                  INVALID_VIDEO_URL        cannot be reached or opened
     ├─ SourceInvalid                  INVALID_VIDEO_FORMAT     is there, but is not a usable video
     ├─ StorageError                   STORAGE_ACCESS_ERROR     reading or writing work files or the output
     ├─ ServiceUnreachable             CONNECTION_ERROR         storage does not answer, or is overloaded
     ├─ UploadFailed                   S3_UPLOAD_ERROR          the same, in the middle of an upload
     ├─ BrowserError                   BROWSER_ERROR            Chromium missing, crashed, refused
     ├─ FrameTimeout                   RENDERING_TIMEOUT        a frame or the whole job took too long
     ├─ FfmpegError                    FFMPEG_ERROR             missing, failed, or its result broke a check
     ├─ GpuUnavailable                 GPU_NOT_AVAILABLE        this node cannot encode as the job's others do
     ├─ GpuMemoryError                 GPU_MEMORY_INSUFFICIENT  others have filled the GPU's memory
     ├─ ResourceError                  SYSTEM_RESOURCE_ERROR    disk full, out of memory
     └─ Cancelled                      JOB_CANCELLED            stopped on request

Raise the class that tells the user whose move it is. Whether a retry makes sense follows from the code alone
(`ecg_api.failures.RULES`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from ecg_api.failures import RULES, Failure, FailureCode


class RenderError(Exception):
    """A failure with a code; its text is one clear sentence or two for a person."""

    code: ClassVar[FailureCode] = FailureCode.RENDER_ERROR

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        segment: int | None = None,
        frame: int | None = None,
        log_tail: list[str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.segment = segment
        self.frame = frame
        self.log_tail = log_tail or []

    @property
    def exit_code(self) -> int:
        """The process exit code that stands for this failure."""
        return RULES[self.code].exit_code

    def failure(self) -> Failure:
        """Return the failure in the form that is printed and stored."""
        return Failure(
            code=self.code,
            message=self.message,
            hint=self.hint,
            retryable=RULES[self.code].retryable,
            segment=self.segment,
            frame=self.frame,
            log_tail=self.log_tail,
        )


class PiecesGone(RenderError):
    """The plan, or finished pieces that it counts on, are not in storage any more; a new plan does without them."""


class ManifestError(RenderError):
    """The RenderJob file cannot be read or breaks a rule of its schema."""

    code = FailureCode.VALIDATION_ERROR


class OptionsError(RenderError):
    """The options are valid words but cannot be rendered, alone or together."""

    code = FailureCode.INVALID_RENDER_OPTIONS


class ScenarioError(RenderError):
    """The scenario is not JSON, or breaks a rule; the message names the path."""

    code = FailureCode.SCENARIO_PARSE_ERROR


class SourceMissing(RenderError):
    """The source video cannot be found, opened or fetched."""

    code = FailureCode.INVALID_VIDEO_URL


class SourceInvalid(RenderError):
    """The source is there but holds no video that can be captioned."""

    code = FailureCode.INVALID_VIDEO_FORMAT


class StorageError(RenderError):
    """A work file or the output cannot be read or written."""

    code = FailureCode.STORAGE_ACCESS_ERROR


class ServiceUnreachable(RenderError):
    """Storage does not answer, breaks off, or asks to be left alone for a while."""

    code = FailureCode.CONNECTION_ERROR


class UploadFailed(RenderError):
    """Storage went away, or was overloaded, while something was uploaded to it."""

    code = FailureCode.S3_UPLOAD_ERROR


class BrowserError(RenderError):
    """Chromium is missing, crashed, or did not do what it was told."""

    code = FailureCode.BROWSER_ERROR


class BrowserGone(BrowserError):
    """Chromium, or its page, ended while it was needed: another one may well do the same work."""


class FrameTimeout(RenderError):
    """A frame, or the job, took longer than it may."""

    code = FailureCode.RENDERING_TIMEOUT


class FfmpegError(RenderError):
    """FFmpeg is missing, failed, or wrote something else than planned."""

    code = FailureCode.FFMPEG_ERROR


class FfmpegStopped(FfmpegError):
    """FFmpeg was ended from outside, as when memory ran out: what it was asked for has nothing to do with it."""


class GpuUnavailable(RenderError):
    """NVENC is what the job encodes with, and it does not work on this node."""

    code = FailureCode.GPU_NOT_AVAILABLE


class GpuMemoryError(RenderError):
    """Others have filled the GPU's memory."""

    code = FailureCode.GPU_MEMORY_INSUFFICIENT


class ResourceError(RenderError):
    """The machine ran out of disk or memory."""

    code = FailureCode.SYSTEM_RESOURCE_ERROR


class Cancelled(RenderError):
    """The job was stopped on request."""

    code = FailureCode.JOB_CANCELLED


def first_failure(group: BaseExceptionGroup[BaseException], *foremost: type[BaseException]) -> BaseException:
    """Return the failure of a task group that tells most: of the types `foremost`, else ours, else the first."""
    flat = [
        first_failure(error, *foremost) if isinstance(error, BaseExceptionGroup) else error
        for error in group.exceptions
    ]
    for kind in (*foremost, RenderError):
        for error in flat:
            if isinstance(error, kind):
                return error
    return flat[0]


@contextmanager
def plain_failures(*foremost: type[BaseException]) -> Iterator[None]:
    """Let the failure that tells most out of a task group as itself, not wrapped in a group."""
    try:
        yield
    except BaseExceptionGroup as group:
        raise first_failure(group, *foremost) from group
