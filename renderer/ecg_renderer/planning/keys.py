"""Content keys: equal when the bytes must be equal, different when they could differ.

A finished segment is used again when its key is wanted again: after an interruption, after a lost node,
after an edit of a caption elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from ecg_api.options import Options
from ecg_api.plan import SourceFacts
from ecg_renderer.media.codecs import EncoderName
from ecg_renderer.media.seeking import seek_seconds
from ecg_renderer.model import FrameGrid, FrameRange
from ecg_renderer.scenario import Scenario
from ecg_renderer.scenario.canonical import canonical_hash

# Raise when the meaning of what is hashed below changes.
_SCHEMA = 1

_OPTIONS_IN_PICTURES = frozenset({"quality", "preset", "format", "fit", "layout", "frame_policy"})


def segment_key(
    segment: FrameRange,
    grid: FrameGrid,
    size: tuple[int, int],
    *,
    source: SourceFacts,
    scenario: Scenario,
    options: Options,
    encoder: EncoderName,
    versions: Mapping[str, str],
) -> str:
    """Return the key of `segment` as 64 hex digits.

    `size` is width and height of the result in pixels, `encoder` the one that was decided on, and
    `versions` names every program and package whose change may change a pixel. Of the captions only those
    count that are alive on a frame of the segment: the ones that are merely replayed before it are gone
    from the page by then.
    """
    first, last = float(grid.seconds(segment.start)), float(grid.seconds(segment.end - 1))
    return canonical_hash(
        {
            "schema": _SCHEMA,
            "source": source.model_dump(exclude={"uri", "seek_points"}),
            "seek": seek_seconds(source, (segment.start - Fraction(1, 2)) / grid.rate),
            "frames": [segment.start, segment.end],
            "rate": str(grid.rate),
            "size": size,
            "scenario": scenario.slice(first, last),
            "options": options.model_dump(include=set(_OPTIONS_IN_PICTURES)),
            "encoder": encoder,
            "versions": dict(versions),
        }
    )


def job_key(name: str, source_identity: str, output: str) -> str:
    """Return the key of a job's work directory, 64 hex digits.

    It outlives edits of scenario and options, so that the segments that they leave alone are found again.
    """
    return canonical_hash([name, source_identity, output])
