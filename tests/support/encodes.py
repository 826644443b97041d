"""Encode and merge small clips with the renderer's own arguments, captions from a file instead of a browser."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from math import floor
from pathlib import Path
from typing import Any

from clips import number_picture, write_nut
from ecg_api.plan import SourceFacts
from ecg_renderer.media.arguments import Overlay, SegmentEncode, segment_arguments, still_arguments
from ecg_renderer.media.merge import MergeResult, SegmentFile, merge
from ecg_renderer.media.probe import probe_source
from ecg_renderer.media.process import run_ffmpeg
from ecg_renderer.model import Box


def probe(path: Path) -> SourceFacts:
    return asyncio.run(probe_source(str(path), display=path.name, identity="test"))


@dataclass
class Render:
    """A source rendered to segments in `folder`; captions are (frame, number), shown until the next."""

    path: Path
    folder: Path
    rate: Fraction | None = None
    captions: Sequence[tuple[int, int]] = ()
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.source = probe(self.path)
        self.rate = self.rate or self.source.exact_rate
        self.width = self.options.pop("width", self.source.width)
        self.height = self.options.pop("height", self.source.height)

    @property
    def frames(self) -> int:
        if not self.source.variable_rate and self.rate == self.source.exact_rate:
            return self.source.frames
        return floor(Fraction(self.source.duration_seconds).limit_denominator(10**7) * self.rate + Fraction(1, 2))

    @property
    def box(self) -> Box:
        return Box(0, self.height // 4 * 2, self.width, self.height // 4 * 2)

    def job(self, start: int, end: int, overlay: Overlay | None, name: str) -> SegmentEncode:
        defaults: dict[str, Any] = {"quality": 90, "preset": "ultrafast", "encoder": "x264"}
        return SegmentEncode(
            source=self.source,
            url=str(self.path),
            start=start,
            end=end,
            rate=self.rate,
            width=self.width,
            height=self.height,
            output=self.folder / name,
            overlay=overlay,
            **defaults | self.options,
        )

    def segments(self, count: int) -> list[SegmentFile]:
        """Encode `count` segments of about equal length."""
        cuts = [self.frames * index // count for index in range(count + 1)]
        return [self.segment(start, end) for start, end in pairwise(cuts)]

    def segment(self, start: int, end: int) -> SegmentFile:
        name = f"{start}-{end}"
        job = self.job(start, end, self._overlay(start, end, name), f"{name}.mp4")
        self.encode(job)
        return SegmentFile(job.output, end - start)

    def encode(self, job: SegmentEncode) -> None:
        asyncio.run(run_ffmpeg(segment_arguments(job)))

    def still(self, job: SegmentEncode) -> None:
        asyncio.run(run_ffmpeg(still_arguments(job)))

    def _overlay(self, start: int, end: int, name: str) -> Overlay | None:
        shown = [(0, number) for frame, number in self.captions if frame <= start][-1:]
        shown += [(frame - start, number) for frame, number in self.captions if start < frame < end]
        if not shown:
            return None
        size = self.box.width, self.box.height
        nut = self.folder / f"{name}.nut"
        write_nut(str(nut), size, self.rate, [(frame, number_picture(number, *size)) for frame, number in shown])
        return Overlay(self.box, str(nut))

    def merged(self, segments: list[SegmentFile], container: str = "mp4") -> tuple[Path, MergeResult]:
        output = self.folder / f"merged-{len(segments)}.{container}"
        result = merge(
            segments,
            source=self.source,
            url=str(self.path),
            rate=self.rate,
            width=self.width,
            height=self.height,
            format=container,
            output=output,
        )
        return output, asyncio.run(result)
