"""All segments of a plan, one after the other: those that are finished already are kept, the others rendered."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from ecg_api.plan import SegmentPlan
from ecg_api.rendering import StreamingStatistics
from ecg_renderer.capture.patches import Capture
from ecg_renderer.errors import RenderError
from ecg_renderer.frames import QueueStatistics
from ecg_renderer.media.arguments import SegmentEncode
from ecg_renderer.media.codecs import encoder_threads
from ecg_renderer.media.merge import SegmentFile
from ecg_renderer.media.process import Progress
from ecg_renderer.media.verify import Shape, check_segment
from ecg_renderer.model import FrameRange
from ecg_renderer.pipeline import PipelineSettings, SegmentOutcome, StreamingPipeline
from ecg_renderer.preparation import PreparedJob
from ecg_renderer.progress import Observer, ProgressReport, Speedometer, Stage
from ecg_renderer.settings import Settings
from ecg_renderer.storage import WorkDir

SUFFIX = "mp4"


@dataclass
class RenderedSegments:
    """The segment files, in order, and what it took to make those that were not there yet."""

    files: list[SegmentFile] = field(default_factory=list)
    reused: int = 0
    distinct_frames: int = 0
    capture: str = ""
    capture_milliseconds: dict[str, float] = field(default_factory=dict)
    browser_restarts: int = 0
    first_frame_seconds: float | None = None
    streaming: StreamingStatistics = field(default_factory=StreamingStatistics)
    warnings: list[str] = field(default_factory=list)

    def add(self, outcome: SegmentOutcome) -> None:
        """Add what one segment took."""
        before, queue = self.streaming, outcome.queue
        processed = before.processed_frames + queue.processed_frames
        dropped = before.dropped_frames + queue.dropped_frames
        self.streaming = StreamingStatistics(
            processed_frames=processed,
            dropped_frames=dropped,
            drop_rate=dropped / (processed + dropped) if processed + dropped else 0.0,
            peak_queue_memory_mb=max(before.peak_queue_memory_mb, queue.peak_memory_mb),
            slowdown_peak=max(before.slowdown_peak, outcome.slowdown_peak),
            slowdown_seconds=before.slowdown_seconds + outcome.slowdown_seconds,
        )
        self.distinct_frames += outcome.distinct_frames
        self.warnings.extend(outcome.warnings)


class RenderProgress:
    """Turns FFmpeg's progress within segments into progress of the whole output.

    Attributes:
        queue: tells what waits for FFmpeg; None where nobody asks.
    """

    def __init__(self, observer: Observer, prepared: PreparedJob, began: float) -> None:
        self._observer = observer
        self._plan = prepared.plan
        self._encoder = prepared.encoder.encoder
        self._began = began
        self._speed: Speedometer | None = None
        self._segment: SegmentPlan | None = None
        self.capture = ""
        self.queue: Callable[[], QueueStatistics | None] | None = None
        self.first_frame_seconds: float | None = None

    def begin(self, segment: SegmentPlan) -> None:
        """Note that `segment` is next."""
        self._segment = segment
        self._report(segment.start, None, None)

    def frames(self, progress: Progress) -> None:
        """Take FFmpeg's progress in the current segment."""
        assert self._segment is not None
        if progress.frame > 0 and self.first_frame_seconds is None:
            self.first_frame_seconds = time.monotonic() - self._began
        done = self._segment.start + min(progress.frame, self._segment.frames)
        self._speed = self._speed or Speedometer(self._plan.frames)
        self._report(done, *self._speed.note(done))

    def _report(self, done: int, speed: float | None, eta: float | None) -> None:
        queue = self.queue() if self.queue else None
        self._observer.report(
            ProgressReport(
                Stage.RENDERING,
                frames_done=done,
                frames_total=self._plan.frames,
                frames_per_second=speed,
                eta_seconds=eta,
                encoder=self._encoder,
                capture=self.capture,
                segment=self._segment.index if self._segment else 0,
                segments=len(self._plan.segments),
                queued_frames=queue.queue_size if queue else 0,
            )
        )


class SegmentRenderer:
    """Renders what is missing in a work directory: of all segments, or of those in `only`.

    Attributes:
        capture: where caption pictures come from; needed only if `need_captions`.
    """

    def __init__(
        self,
        prepared: PreparedJob,
        work: WorkDir,
        settings: Settings,
        progress: RenderProgress,
        *,
        only: Collection[int] | None = None,
    ) -> None:
        self._prepared = prepared
        self._segments = [s for s in prepared.plan.segments if only is None or s.index in only]
        self._work = work
        self._settings = settings
        self._progress = progress
        self._missing = {s.index for s in self._segments if not work.finished(s.content_key, SUFFIX)}
        self._pipeline: StreamingPipeline | None = None
        self.capture: Capture | None = None

    @property
    def need_captions(self) -> bool:
        """Tell whether a segment that is to be rendered has captions."""
        return any(s.captioned_frames for s in self._segments if s.index in self._missing)

    def queue(self) -> QueueStatistics | None:
        """Return what went through the queue of the segment at hand so far; None before the first."""
        running = self._pipeline.queue if self._pipeline else None
        return running.statistics() if running else None

    async def render_all(self) -> RenderedSegments:
        """Render the missing segments in order; each is committed to the work directory as soon as it is checked."""
        segments = self._segments
        done = RenderedSegments(reused=len(segments) - len(self._missing))
        if self.capture:
            self._progress.capture = done.capture = self.capture.way
        for segment in segments:
            if segment.index in self._missing:
                self._progress.begin(segment)
                done.add(await self._render(segment))
            file = self._work.segment_path(segment.content_key, SUFFIX)
            done.files.append(SegmentFile(file, segment.frames))
        if self.capture:
            done.capture_milliseconds = dict(self.capture.statistics.milliseconds)
            done.browser_restarts = self.capture.statistics.restarts
        done.first_frame_seconds = self._progress.first_frame_seconds
        return done

    async def _render(self, segment: SegmentPlan) -> SegmentOutcome:
        options = self._prepared.job.spec.options
        try:
            with self._work.segment(segment.content_key, SUFFIX) as output:
                self._pipeline = StreamingPipeline(
                    self.capture,
                    self._prepared.blocks(FrameRange(segment.start, segment.end)),
                    self._encode(segment, output.path),
                    self._prepared.conversion,
                    PipelineSettings(self._settings.queue_frames, self._settings.memory_bytes, options.frame_policy),
                    self._progress.frames,
                )
                outcome = await self._pipeline.run()
                # FFmpeg's success is not believed: it ends well on a truncated source too.
                shape = Shape(
                    self._prepared.plan.width, self._prepared.plan.height, segment.frames, self._prepared.grid.rate
                )
                await asyncio.to_thread(check_segment, output.path, shape)
                output.commit()
        except RenderError as error:
            error.segment = segment.index
            raise
        return outcome

    def _encode(self, segment: SegmentPlan, output: Path) -> SegmentEncode:
        plan, options = self._prepared.plan, self._prepared.job.spec.options
        return SegmentEncode(
            source=plan.source,
            url=self._prepared.source_url,
            start=segment.start,
            end=segment.end,
            rate=plan.exact_rate,
            width=plan.width,
            height=plan.height,
            quality=options.quality,
            preset=options.preset,
            encoder=self._prepared.encoder.encoder,
            output=output,
            fit=options.fit,
            threads=encoder_threads(os.cpu_count() or 1),
        )
