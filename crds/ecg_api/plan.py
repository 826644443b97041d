"""The plan: what the source is, how it is cut, what each segment renders. Travels as JSON by storage.

    probe -> SourceFacts ─┐
    scenario, options ────┴─> Plan ── SegmentPlan … -> renderers -> merge

Frames are integers on an exact rate; frame n is shown at n / rate seconds. Rational numbers travel as text.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Literal, NamedTuple, Self

from pydantic import Field, model_validator

from ecg_api.base import ApiModel
from ecg_api.rational import PositiveRational, Rational

Matrix = Literal["bt709", "bt601", "bt2020"]


class AudioFacts(ApiModel):
    """One audio stream of the source."""

    index: int = Field(ge=0, description="FFmpeg's number of the stream in the file.")
    codec: str
    channels: int = Field(ge=0)
    sample_rate: int = Field(ge=0, description="Samples in a second.")
    start_seconds: Rational = Field(description="Time of the first sample on the file's clock, in seconds.")

    @property
    def start(self) -> Fraction:
        """Time of the first sample on the file's clock, in seconds."""
        return Fraction(self.start_seconds)


class SeekPoint(NamedTuple):
    """A place at which a decoder may be put. Times are seconds on the file's clock."""

    seek: float
    """What FFmpeg is told to seek to."""

    right: float
    """From here on all pictures are right."""


class SourceFacts(ApiModel):
    """What was found out about the source video."""

    uri: str
    identity: str = Field(min_length=1, description="Hash that changes when the source's bytes change.")
    size_bytes: int | None = Field(ge=0, description="Size of the file, in bytes; null when not known.")
    container: str
    codec: str
    width: int = Field(ge=1, description="Width as shown, in pixels: after rotation, with square pixels.")
    height: int = Field(ge=1, description="Height as shown, in pixels: after rotation, with square pixels.")
    coded_width: int = Field(ge=1, description="Width as stored, in pixels.")
    coded_height: int = Field(ge=1, description="Height as stored, in pixels.")
    rotation: Literal[0, 90, 180, 270] = Field(
        description="Clockwise turn that players give the stored picture: 0, 90, 180, 270."
    )
    sample_aspect: PositiveRational = Field(description="Width of a stored pixel by its height.")
    rate: PositiveRational = Field(description="Frames per second; of a variable rate the one to render at.")
    time_base: PositiveRational = Field(description="Length of one tick of the stream's clock, in seconds.")
    start_seconds: Rational = Field(description="Time of the first frame on the file's clock, in seconds.")
    frames: int = Field(ge=1, description="Frames that can be decoded, as counted.")
    duration_seconds: float = Field(gt=0)
    variable_rate: bool
    pixel_format: str
    bit_depth: int = Field(ge=1, le=16)
    matrix: Matrix = Field(description="How RGB was turned into YUV.")
    color_space: str | None = Field(default=None, description="Matrix as tagged; null when the file does not say.")
    full_range: bool = Field(description="Luma uses 0 to 255 (scaled to the bit depth) instead of 16 to 235.")
    transfer: str | None = Field(description="Transfer curve as tagged; null when the file does not say.")
    audio: list[AudioFacts]
    seek_points: list[SeekPoint] | None = Field(
        default=None,
        description="Where a decoder may be put besides the beginning, in order, as [where to seek, from when on all "
        "pictures are right] in seconds; null where the packets were not read.",
    )
    recovery_seconds: float = Field(
        default=0, ge=0, description="How long after a key frame the decoder returns the first picture."
    )
    unreadable_audio: list[int] = Field(default_factory=list, description="Audio streams of a codec nobody knows.")

    @property
    def exact_rate(self) -> Fraction:
        """Frames per second."""
        return Fraction(self.rate)

    @property
    def tick(self) -> Fraction:
        """Length of one tick of the stream's clock, in seconds."""
        return Fraction(self.time_base)

    @property
    def start(self) -> Fraction:
        """Time of the first frame on the file's clock, in seconds."""
        return Fraction(self.start_seconds)

    @property
    def pixel_aspect(self) -> Fraction:
        """Width of a stored pixel by its height."""
        return Fraction(self.sample_aspect)


class SegmentPlan(ApiModel):
    """Frames `start` up to, not including, `end`, rendered by one worker."""

    index: int = Field(ge=0)
    start: int = Field(ge=0, description="First frame.")
    end: int = Field(ge=1, description="Frame after the last.")
    pre_roll: int = Field(ge=0, description="First frame to seek, so that captions alive at start began.")
    content_key: str = Field(min_length=1, description="Hash of all that the segment's frames depend on.")
    work: int = Field(ge=0, description="Captioned pixels to draw, estimated.")
    captioned_frames: int = Field(ge=0, description="Frames that show a caption.")

    @property
    def frames(self) -> int:
        """Frames that the segment renders."""
        return self.end - self.start

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.pre_roll <= self.start < self.end:
            raise ValueError(f"pre-roll {self.pre_roll}, start {self.start}, end {self.end} are not in order")
        if self.captioned_frames > self.frames:
            raise ValueError(f"{self.captioned_frames} captioned frames in a segment of {self.frames}")
        return self


class Plan(ApiModel):
    """A whole render: every frame in exactly one segment."""

    name: str = Field(min_length=1, description="The RenderJob's name.")
    source: SourceFacts
    width: int = Field(ge=2, description="Width of the result, in pixels.")
    height: int = Field(ge=2, description="Height of the result, in pixels.")
    rate: PositiveRational = Field(description="Frames per second of the result.")
    frames: int = Field(ge=1, description="Frames of the result.")
    segments: list[SegmentPlan] = Field(min_length=1)
    captioned_frames: int = Field(ge=0, description="Frames that show a caption.")
    distinct_frames_estimate: int = Field(ge=0, description="Different caption pictures.")
    estimated_seconds: float = Field(ge=0, description="Rendering time of all segments together.")
    warnings: list[str]

    @property
    def exact_rate(self) -> Fraction:
        """Frames per second of the result."""
        return Fraction(self.rate)

    @property
    def duration(self) -> Fraction:
        """Length of the result, in seconds."""
        return self.frames / self.exact_rate

    @model_validator(mode="after")
    def _gapless(self) -> Self:
        expected = 0
        for index, segment in enumerate(self.segments):
            if segment.index != index or segment.start != expected:
                raise ValueError(f"segment {segment.index} starts at frame {segment.start}, not {expected}")
            expected = segment.end
        if expected != self.frames:
            raise ValueError(f"the segments end at frame {expected}, the result at {self.frames}")
        return self
