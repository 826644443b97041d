"""Encode and merge small clips with the renderer's own arguments, captions from a file instead of a browser."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from math import floor
from pathlib import Path
from typing import Any

from clips import number_picture, write_nut
from ecg_api.plan import SourceFacts, Target
from ecg_api.rational import to_rational
from ecg_renderer.colour import tone_map_of
from ecg_renderer.media.arguments import (
    LEAD_FRAMES,
    CellFiles,
    Overlay,
    Pictures,
    segment_arguments,
    still_arguments,
)
from ecg_renderer.media.merge import MergeResult, merge
from ecg_renderer.media.placing import seek_before
from ecg_renderer.media.probe import probe_source
from ecg_renderer.media.process import run_ffmpeg
from ecg_renderer.model import Box
from ecg_renderer.planning import output_colour


def probe(path: Path | str) -> SourceFacts:
    """Return what is found out about a file, or what is at an address."""
    return asyncio.run(probe_source(str(path), display=Path(path).name, identity="test"))


def known(path: Path) -> SourceFacts:
    """Return what `probe` does, asked once: it takes several processes."""
    return _known(path, path.stat().st_mtime_ns)


@functools.cache
def _known(path: Path, _changed: int) -> SourceFacts:
    return probe(path)


@dataclass(frozen=True)
class Job:
    """One run of FFmpeg; `output` gets the cell that it writes."""

    pictures: Pictures
    files: CellFiles
    output: Path

    @property
    def start(self) -> int:
        return self.pictures.start

    @property
    def end(self) -> int:
        return self.pictures.end

    @property
    def arguments(self) -> list[str]:
        return segment_arguments(self.pictures, self.files)


@dataclass
class Render:
    """A source rendered to segments in `folder`; captions are (frame, number), shown until the next."""

    path: Path
    folder: Path
    rate: Fraction | None = None
    captions: Sequence[tuple[int, int]] = ()
    keep_hdr: bool = False
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.source = known(self.path)
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

    @property
    def target(self) -> Target:
        """What all segments together are, of `frames` frames."""
        defaults: dict[str, Any] = {"quality": 90, "preset": "ultrafast", "fit": "cover", "format": "mp4"}
        encoder = self.options.get("encoder", "x264")
        return Target(
            width=self.width,
            height=self.height,
            rate=to_rational(self.rate),
            frames=self.frames,
            colour=output_colour(self.source, encoder, keep_hdr=self.keep_hdr),
            **defaults | {"encoder": encoder} | self.options,
        )

    def job(self, start: int, end: int, overlay: Overlay | None, name: str) -> Job:
        pictures = Pictures(
            source=self.source,
            url=str(self.path),
            target=self.target,
            start=start,
            end=end,
            seek=seek_before(self.source, start, self.rate),
            overlay=overlay,
            tone_map=tone_map_of(self.source, self.target.colour, self.folder),
        )
        return Job(pictures, CellFiles(self.folder, start, end - start), self.folder / name)

    def segments(self, count: int) -> list[Path]:
        """Encode `count` segments of about equal length, each by a process of its own."""
        cuts = [self.frames * index // count for index in range(count + 1)]
        return [self.segment(start, end) for start, end in pairwise(cuts)]

    def segment(self, start: int, end: int) -> Path:
        name = f"{start}-{end}"
        job = self.job(start, end, self._overlay(start, end, name), f"{name}.mp4")
        self.encode(job)
        return job.output

    def cells(self, frames: int) -> list[Path]:
        """Encode everything in one process, to cells of so many frames."""
        folder = self.folder / f"cells-{frames}"
        folder.mkdir(exist_ok=True)
        job = self.job(0, self.frames, self._overlay(0, self.frames, "all"), "")
        files = CellFiles(folder, 0, frames)
        asyncio.run(run_ffmpeg(segment_arguments(job.pictures, files)))
        return [files.path(number) for number in range(-(-self.frames // frames))]

    def encode(self, job: Job) -> None:
        asyncio.run(run_ffmpeg(job.arguments))
        job.files.path(job.files.first).rename(job.output)

    def still(self, job: Job) -> None:
        asyncio.run(run_ffmpeg(still_arguments(job.pictures, job.output)))

    def _overlay(self, start: int, end: int, name: str) -> Overlay | None:
        shown = [(start, number) for frame, number in self.captions if frame <= start][-1:]
        shown += [(frame, number) for frame, number in self.captions if start < frame < end]
        if not shown:
            return None
        size = self.box.width, self.box.height
        nut = self.folder / f"{name}.nut"
        pictures = [(LEAD_FRAMES + frame, number_picture(number, *size)) for frame, number in shown]
        write_nut(str(nut), size, self.rate, pictures)
        return Overlay(self.box, str(nut))

    def merged(self, segments: list[Path], container: str = "mp4") -> tuple[Path, MergeResult]:
        output = self.folder / f"merged-{len(segments)}.{container}"
        target = self.target.model_copy(update={"format": container})
        result = merge(segments, target=target, source=self.source, url=str(self.path), output=output)
        return output, asyncio.run(result)
