"""The plan: what the source is, how it is cut, what each segment renders. Travels as JSON by storage.

    probe -> SourceFacts ─┐           ┌─ CellPlan …     what is kept
    scenario, options ────┴─> Plan ───┤
                              Target  └─ SegmentPlan …  what one process renders

Frames are integers on an exact rate; frame n is shown at n / rate seconds. Rational numbers travel as text.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Literal, NamedTuple, Self

from pydantic import Field, model_validator

from ecg_api.base import ApiModel
from ecg_api.options import EncoderName, Fit, Focus, Format, Preset
from ecg_api.rational import PositiveRational, Rational

Matrix = Literal["bt709", "bt601", "bt2020"]
HDR_TRANSFERS = ("smpte2084", "arib-std-b67")
"""PQ and HLG, as FFmpeg names them."""


class TrackFacts(ApiModel):
    """One stream of the source, and what the file says about it."""

    index: int = Field(ge=0, description="FFmpeg's number of the stream in the file.")
    codec: str
    language: str | None = Field(default=None, description="As the file says it, such as eng or ko.")
    title: str | None = None
    dispositions: list[str] = Field(
        default_factory=list, description="What players do with it, in FFmpeg's words, such as default or forced."
    )


class AudioFacts(TrackFacts):
    """One audio stream of the source."""

    channels: int = Field(ge=0)
    sample_rate: int = Field(ge=0, description="Samples in a second.")
    start_seconds: Rational = Field(description="Time of the first sample on the file's clock, in seconds.")

    @property
    def start(self) -> Fraction:
        """Time of the first sample on the file's clock, in seconds."""
        return Fraction(self.start_seconds)


class LightFacts(ApiModel):
    """How bright an HDR10 film gets, and on which display it was made; all in nits, None where nobody says."""

    display_nits: float | None = Field(default=None, gt=0, description="The brightest that the display shows.")
    content_nits: int | None = Field(default=None, gt=0, description="The brightest pixel of the film (MaxCLL).")
    average_nits: int | None = Field(default=None, gt=0, description="The brightest picture on average (MaxFALL).")
    display: str | None = Field(
        default=None,
        pattern=r"^G\(\d+,\d+\)B\(\d+,\d+\)R\(\d+,\d+\)WP\(\d+,\d+\)L\(\d+,\d+\)$",
        description="Primaries, white and light of the display as x265 takes them (SMPTE ST 2086).",
    )


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
    turned: bool = Field(
        default=True, description="The file's header may ask players to turn or mirror pictures; it is heeded."
    )
    sample_aspect: PositiveRational = Field(description="Width of a stored pixel by its height.")
    rate: PositiveRational = Field(description="Frames per second; of a variable rate the one to render at.")
    time_base: PositiveRational = Field(description="Length of one tick of the stream's clock, in seconds.")
    start_seconds: Rational = Field(description="Time of the first frame on the file's clock, in seconds.")
    decoder_delay: Rational = Field(
        default="0/1",
        description="Seconds by which FFmpeg times pictures later than they are shown, where the file tells decoding.",
    )
    frames: int = Field(ge=1, description="Frames that can be decoded, as counted.")
    duration_seconds: float = Field(gt=0, description="From the first frame to the end of the last.")
    other_shapes: list[str] = Field(
        default_factory=list, description="Sizes, or shapes of pixels, that later pictures have, such as 360x640."
    )
    view: str | None = Field(
        default=None, description="How pictures are meant to be looked at if not flat: stereoscopic or spherical."
    )
    other_turn: int = Field(
        default=0, description="Degrees by which a later picture asks to be turned, unlike the header; not heeded."
    )
    shapes_known: bool = Field(
        default=True, description="All packets were looked at for that; else any picture may have another size."
    )
    early_end: str | None = Field(
        default=None, description="How the file ends where that may mean that it was cut off; null where it is whole."
    )
    interlaced: bool = Field(default=False, description="Its pictures are two fields, taken one after the other.")
    telecined: bool = Field(default=False, description="Its fields are those of a film at fewer pictures a second.")
    held_seconds: float = Field(default=0, ge=0, description="How much longer than a frame the last one is shown.")
    sound_end_seconds: float | None = Field(
        default=None, description="End of the last sound on the file's clock, in seconds; null without sound."
    )
    variable_rate: bool
    pixel_format: str
    bit_depth: int = Field(ge=1, le=16)
    alpha: bool = Field(default=False, description="Pixels have an opacity; they are shown on black.")
    matrix: Matrix = Field(description="How RGB was turned into YUV.")
    color_space: str | None = Field(default=None, description="Matrix as tagged; null when the file does not say.")
    full_range: bool = Field(description="Luma uses 0 to 255 (scaled to the bit depth) instead of 16 to 235.")
    transfer: str | None = Field(description="Transfer curve as tagged; null when the file does not say.")
    primaries: str | None = Field(default=None, description="Primaries as tagged; null when the file does not say.")
    light: LightFacts | None = Field(default=None, description="Of HDR10, where the file says it.")
    dolby_vision: int | None = Field(default=None, description="Profile; what it adds to the pictures is not used.")
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
    subtitles: list[TrackFacts] = Field(default_factory=list, description="Subtitle streams, texts and pictures.")
    video_tracks: int = Field(default=1, ge=1, description="Tracks of moving pictures; one is captioned.")
    video: TrackFacts | None = Field(default=None, description="The stream whose pictures are captioned.")

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
    def returned(self) -> Fraction:
        """Time that FFmpeg gives the first frame, in seconds on the file's clock."""
        return self.start + Fraction(self.decoder_delay)

    @property
    def is_hdr(self) -> bool:
        """Its signal means more light than SDR displays have: PQ or HLG."""
        return self.transfer in HDR_TRANSFERS

    @property
    def pixel_aspect(self) -> Fraction:
        """Width of a stored pixel by its height."""
        return Fraction(self.sample_aspect)


class OutputColour(ApiModel):
    """What the numbers of the result's pictures mean."""

    matrix: Matrix = Field(description="How RGB is turned into YUV.")
    full_range: bool
    bit_depth: Literal[8, 10]
    transfer: str | None = Field(description="Transfer curve as the source tags it; null when it does not say.")
    primaries: str | None = Field(default=None, description="Primaries as the source tags them; null if it does not.")
    light: LightFacts | None = Field(default=None, description="Of HDR10 that stays HDR10.")
    tone_mapped: bool = Field(default=False, description="The source is HDR, and the result is not.")


class Target(ApiModel):
    """What comes out: the pictures of one file, and how they are compressed."""

    width: int = Field(ge=2, description="In pixels, even.")
    height: int = Field(ge=2, description="In pixels, even.")
    rate: PositiveRational = Field(description="Frames per second.")
    frames: int = Field(ge=1)
    lead_frames: int = Field(default=0, ge=0, description="Black frames before the source's first picture.")
    deinterlace: bool = Field(default=False, description="Whole pictures are made of the source's fields.")
    colour: OutputColour
    encoder: EncoderName = Field(description="In a cluster the presumed one, until a node has tried it.")
    quality: int = Field(ge=10, le=100)
    preset: Preset
    fit: Fit
    focus: Focus | None = Field(default=None, description="Point of the source that cover keeps; null is the middle.")
    format: Format = Field(description="Container of the result.")

    @property
    def exact_rate(self) -> Fraction:
        """Frames per second."""
        return Fraction(self.rate)

    @property
    def duration(self) -> Fraction:
        """Length, in seconds."""
        return self.frames / self.exact_rate


class CellPlan(ApiModel):
    """About ten seconds of the target: the unit in which finished video is kept, reused and joined."""

    key: str = Field(min_length=1, description="Hash of all that its pictures depend on, but for the encoder.")
    captions_key: str = Field(
        default="", description="Hash of all that its captions alone depend on; empty where nobody asks for them."
    )
    seek: float | None = Field(description="Where the source is read from, on its clock; null is its beginning.")
    captioned_frames: int = Field(ge=0, description="Frames that show a caption.")
    reused: bool = Field(default=False, description="It was in the store when the job was planned.")


class SegmentPlan(ApiModel):
    """Frames `start` up to, not including, `end`: consecutive cells that are missing, rendered by one process."""

    index: int = Field(ge=0)
    start: int = Field(ge=0, description="First frame.")
    end: int = Field(ge=1, description="Frame after the last.")
    work: int = Field(ge=0, description="Captioned pixels to draw, estimated.")
    captioned_frames: int = Field(ge=0, description="Frames that show a caption.")

    @property
    def frames(self) -> int:
        """Frames that the segment renders."""
        return self.end - self.start

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.start < self.end:
            raise ValueError(f"start {self.start} and end {self.end} are not in order")
        if self.captioned_frames > self.frames:
            raise ValueError(f"{self.captioned_frames} captioned frames in a segment of {self.frames}")
        return self


class PluginFile(ApiModel):
    """A file of a plugin, by its path below the plugin's address."""

    path: str = Field(min_length=1)
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="Of its bytes.")


class PluginPlan(ApiModel):
    """A plugin that was fetched from an origin when the job was planned: its files as they were then."""

    key: str = Field(min_length=1, description="Name and version, as in glow@2.0.0.")
    files: list[PluginFile] = Field(min_length=1)


class Plan(ApiModel):
    """A whole render: every frame in exactly one cell, every missing cell in exactly one segment."""

    name: str = Field(min_length=1, description="The RenderJob's name.")
    source: SourceFacts
    target: Target
    cell_frames: int = Field(ge=1, description="Frames of each cell; the last may be shorter.")
    cells: list[CellPlan] = Field(min_length=1)
    segments: list[SegmentPlan] = Field(description="Empty if every cell is in the store already.")
    plugins: list[PluginPlan] = Field(default_factory=list, description="Fetched from an origin; the rest is ours.")
    captioned_frames: int = Field(ge=0, description="Frames that show a caption.")
    distinct_frames_estimate: int = Field(ge=0, description="Different caption pictures.")
    estimated_seconds: float = Field(ge=0, description="Rendering time of all segments together.")
    warnings: list[str]

    @property
    def reused_cells(self) -> int:
        """Cells that need not be rendered."""
        return sum(cell.reused for cell in self.cells)

    def cell_range(self, cell: int) -> tuple[int, int]:
        """Return the first frame of a cell, and the one after its last."""
        start = cell * self.cell_frames
        return start, min(start + self.cell_frames, self.target.frames)

    def cells_of(self, segment: SegmentPlan) -> range:
        """Return the numbers of a segment's cells."""
        return range(segment.start // self.cell_frames, -(-segment.end // self.cell_frames))

    @model_validator(mode="after")
    def _gapless(self) -> Self:
        if len(self.cells) != -(-self.target.frames // self.cell_frames):
            raise ValueError(
                f"{len(self.cells)} cells of {self.cell_frames} frames are not {self.target.frames} frames"
            )
        rendered = [cell for segment in self.segments for cell in self.cells_of(segment)]
        missing = [number for number, cell in enumerate(self.cells) if not cell.reused]
        if rendered != missing:
            raise ValueError(f"the segments render the cells {rendered}, but {missing} are missing")
        for index, segment in enumerate(self.segments):
            whole = self.cells_of(segment)
            if segment.index != index or (segment.start, segment.end) != (
                self.cell_range(whole[0])[0],
                self.cell_range(whole[-1])[1],
            ):
                raise ValueError(f"segment {segment.index} does not begin and end with a cell")
        return self
