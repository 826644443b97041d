"""What else one job makes: other shapes, the captions alone, files of subtitles.

What a rendition leaves out follows from its address' suffix and from the job's own options; `content_of`, `format_of`
and `options_of` say how.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from ecg_api.base import ManifestModel
from ecg_api.options import LARGEST_SIDE, SMALLEST_SIDE, Fit, Focus, Options
from ecg_api.uris import WritableUri

MOST_RENDITIONS = 16
NAME_PATTERN = "^[A-Za-z0-9]([-A-Za-z0-9._]*[A-Za-z0-9])?$"

Content = Literal["video", "captions", "subtitles"]
RenditionFormat = Literal["mp4", "mov", "webm", "png", "srt", "vtt", "ass"]
RenditionCodec = Literal["h264", "hevc", "av1", "vp9", "prores"]

SUFFIXES: Mapping[str, RenditionFormat] = {
    "mp4": "mp4", "mov": "mov", "webm": "webm", "zip": "png", "/": "png", "srt": "srt", "vtt": "vtt", "ass": "ass",
}  # fmt: skip
"""What the end of an address says about the file; a folder of pictures ends in a slash."""

FORMATS: Mapping[Content, tuple[RenditionFormat, ...]] = {
    "video": ("mp4", "mov", "webm"),
    "captions": ("mov", "webm", "png"),
    "subtitles": ("srt", "vtt", "ass"),
}
CODECS: Mapping[tuple[Content, RenditionFormat], tuple[RenditionCodec, ...]] = {
    ("video", "mp4"): ("h264", "hevc", "av1"),
    ("video", "mov"): ("h264", "hevc"),
    ("video", "webm"): ("vp9", "av1"),
    ("captions", "mov"): ("prores",),
    ("captions", "webm"): ("vp9",),
}
KNOWN_SUFFIXES = "ends in none of .mp4, .mov, .webm, .zip, / (a folder of PNG files), .srt, .vtt and .ass"
WEBM_MEANS = "a .webm can be a video, or captions with alpha: say content: video or content: captions"
NO_ALPHA = "captions alone need an alpha channel: write .mov (ProRes 4444), .webm (VP9), .zip or a folder/ (PNG)"
SUBTITLES_ARE_TEXT = "subtitles are text: they have no codec, width, height, fit, focus or quality"
ONE_ADDRESS = "two outputs have one address; each rendition, and spec.output, needs its own"
ITS_SOURCE = "an output has the address of the source, which is never overwritten"
LIVE_HAS_ITS_OWN = "the folder to watch is where the source or an output is; it needs a place of its own"
ONE_NAME = "two renditions have one name"


def _checked_name(name: str) -> str:
    if not re.fullmatch(NAME_PATTERN, name):
        raise ValueError(f"{name!r} is not made of letters and digits, with '-', '.' and '_' only between them")
    return name


class Rendition(ManifestModel):
    """One more result of the same source and scenario."""

    name: Annotated[str, AfterValidator(_checked_name)] | None = Field(
        default=None,
        min_length=1,
        max_length=63,
        json_schema_extra={"pattern": NAME_PATTERN},
        description="What the status calls it. Omitted: the file's name.",
    )
    uri: WritableUri = Field(
        description="Where to write it: s3://bucket/key; on one machine also file:// or a path. Its suffix says what "
        "it is: .mp4, .mov, .webm, .zip (PNG pictures), a folder/ of them (on one machine), .srt, .vtt or .ass."
    )
    content: Content | None = Field(
        default=None,
        description="video: the source with captions, in another shape or format. captions: the captions alone, with "
        "alpha. subtitles: a text file. Omitted: by suffix, video for .mp4, captions for .mov, .zip and folders; "
        ".webm can be either, and has to say.",
    )
    format: RenditionFormat | None = Field(default=None, description="Must be what the suffix says. Omitted: that.")
    codec: RenditionCodec | None = Field(
        default=None,
        description="How pictures are compressed. Captions: prores in .mov, vp9 in .webm. Omitted: spec.options.codec "
        "where the format holds it, else the format's own.",
    )
    width: int | None = Field(
        default=None,
        ge=SMALLEST_SIDE,
        le=LARGEST_SIDE,
        description="Width in pixels, 64 to 7680; odd ones are rounded up. With width and height omitted: "
        "spec.options'; one of them: it follows from the source's shape.",
    )
    height: int | None = Field(
        default=None,
        ge=SMALLEST_SIDE,
        le=LARGEST_SIDE,
        description="Height in pixels, 64 to 7680; odd ones are rounded up.",
    )
    fit: Fit | None = Field(
        default=None,
        description="How a source of another shape fills it: cover crops, contain adds black bars. Omitted: "
        "spec.options.fit.",
    )
    focus: Focus | None = Field(
        default=None, description="Point that cover keeps in the picture. Omitted: spec.options.focus."
    )
    quality: int | None = Field(
        default=None, ge=10, le=100, description="Picture quality, 10 to 100. Omitted: spec.options.quality."
    )

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        said = SUFFIXES.get(suffix(self.uri))
        if said is None:
            raise ValueError(f"uri {KNOWN_SUFFIXES}: {self.uri!r}")
        if self.uri.startswith("s3://") and self.uri.endswith("/"):
            raise ValueError("a folder of pictures is written on one machine only; in S3 write a .zip")
        if self.format not in (None, said):
            raise ValueError(f"format is {self.format}, but the address ends in {suffix(self.uri)}")
        if said == "webm" and self.content is None:
            raise ValueError(WEBM_MEANS)
        content = content_of(self)
        if said not in FORMATS[content]:
            held = NO_ALPHA if content == "captions" else f"content {content} is written as {_list(FORMATS[content])}"
            raise ValueError(f"{held}; found {said}")
        self._check_codec(content, said)
        return self

    def _check_codec(self, content: Content, written: RenditionFormat) -> None:
        shape = (self.width, self.height, self.fit, self.focus, self.quality)
        if content == "subtitles" and any(value is not None for value in (self.codec, *shape)):
            raise ValueError(SUBTITLES_ARE_TEXT)
        held = CODECS.get((content, written), ())
        if self.codec is not None and self.codec not in held:
            takes = f"takes codec {_list(held)}" if held else "takes no codec"
            raise ValueError(f"content {content} in {written} {takes}; found {self.codec}")

    @property
    def title(self) -> str:
        """What the rendition is called: its name, or that of its file."""
        return self.name or self.uri.rstrip("/").rpartition("/")[2]


def suffix(uri: str) -> str:
    """Return what an address ends in: a suffix in lower case without its dot, `/` for a folder, or nothing."""
    if uri.endswith("/"):
        return "/"
    name = uri.rpartition("/")[2]
    return name.rpartition(".")[2].lower() if "." in name else ""


def format_of(rendition: Rendition) -> RenditionFormat:
    """Return how a rendition is written."""
    return SUFFIXES[suffix(rendition.uri)]


def content_of(rendition: Rendition) -> Content:
    """Return what a rendition shows."""
    if rendition.content:
        return rendition.content
    written = SUFFIXES[suffix(rendition.uri)]
    if written == "mp4":
        return "video"
    return "subtitles" if written in FORMATS["subtitles"] else "captions"


def options_of(rendition: Rendition, options: Options) -> Options:
    """Return the options that a rendition with pictures is rendered with: its own, else those of the job.

    Captions alone have the job's container and codec here, which say nothing about them.
    """
    changes: dict[str, object] = {"soft_subtitles": False}
    if rendition.width is not None or rendition.height is not None:
        changes |= {"width": rendition.width, "height": rendition.height}
    given = {"fit": rendition.fit, "focus": rendition.focus, "quality": rendition.quality}
    changes |= {name: value for name, value in given.items() if value is not None}
    written = format_of(rendition)
    if content_of(rendition) == "video":
        codec = rendition.codec or (options.codec if options.codec in CODECS["video", written] else None)
        codec = None if codec == "vp9" else codec  # what WebM has where none is asked for
        changes |= {"format": written, "codec": codec}
        if options.encoder == "x264" and (codec not in (None, "h264") or written == "webm"):
            changes["encoder"] = "cpu"
    return options.model_copy(update=changes)


def check_addresses(output: str, renditions: Iterable[Rendition], *, source: str = "") -> None:
    """Raise ValueError where two outputs of a job have one address, a rendition its source's, or two one name."""
    addresses, names = {_plain(output)}, set()
    for number, rendition in enumerate(renditions):
        if source and _plain(rendition.uri) == _plain(source):
            raise ValueError(f"renditions[{number}].uri: {ITS_SOURCE}; found {rendition.uri!r}")
        if _plain(rendition.uri) in addresses:
            raise ValueError(f"renditions[{number}].uri: {ONE_ADDRESS}; found {rendition.uri!r} twice")
        if rendition.title in names and rendition.name:
            raise ValueError(f"renditions[{number}].name: {ONE_NAME}; found {rendition.name!r} twice")
        addresses.add(_plain(rendition.uri))
        names.add(rendition.title)


def live_place(folder: str | None, output: str) -> str:
    """Return where a job can be watched: `folder`, or the one beside its `output`, such as talk-live for talk.mp4."""
    return folder or f"{os.path.splitext(output)[0]}-live"  # noqa: PTH122 - it may be an address


def check_live_folder(folder: str | None, output: str, others: Iterable[str]) -> None:
    """Raise ValueError where what is written while a job renders has the place of its output, or of `others`."""
    place = _plain(live_place(folder, output))
    if place in {_plain(output), *map(_plain, others)}:
        raise ValueError(f"live.uri: {LIVE_HAS_ITS_OWN}; found {folder or place!r}")


def _plain(uri: str) -> str:
    """Return an address without what does not tell it from another: `./`, doubled and trailing slashes."""
    scheme, mark, path = uri.rpartition("://")
    path = re.sub(r"/(\./)+|/{2,}", "/", path.rstrip("/") if path != "/" else path).removeprefix("./")
    return f"{'' if scheme == 'file' else scheme + mark}{path}"


def _list(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last
