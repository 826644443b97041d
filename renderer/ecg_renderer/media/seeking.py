"""Where a decoder must be put so that a picture and all later ones are right. Pure.

Key frames alone do not say it. Frames that are shown before an open group's key frame, but stored after it, need the
group before; a stream that refreshes little by little has no whole picture for a while after what it calls a key
frame; and containers are searched by other times than those at which frames are shown. What the packets of the
source told is put into pairs: seek there, and from then on all pictures are right.
"""

from __future__ import annotations

from bisect import bisect_right
from fractions import Fraction

import numpy as np

from ecg_api.plan import SeekPoint, SourceFacts
from ecg_renderer.media.inputs import INDEXED_FORMATS, UNTIMED_FORMATS
from ecg_renderer.media.timing import FrameTimes, Timing

# More points make plans longer and save little: up to half a second of decoding a segment.
_LEAST_DISTANCE_SECONDS = 0.5
_MOST_POINTS = 2000

# For sources whose packets were not counted. An index leads to a key frame; those that are shown before it, though
# stored after it, are at most 16 frames early. Without an index a search ends anywhere, and a key frame must follow.
_REORDERED_FRAMES = 17
_SEARCHED_SECONDS = 10


def seek_points(
    times: FrameTimes, timing: Timing, *, tick: Fraction, container: str, recovery: float
) -> list[SeekPoint]:
    """Return the places in a source at which a decoder may be put, in order, on the file's clock.

    `tick` is the length of one tick of the stream's clock in seconds, `recovery` how many seconds after a key frame the
    decoder returns the first picture. Empty when there is only the beginning.
    """
    keys = times.key_frames
    shown, decoded = (np.array(ticks, np.int64) * float(tick) for ticks in (keys.shown, keys.decoded))
    if not len(shown):
        return []
    following = np.append(shown[1:], np.inf)
    # With decoding times alone, a key frame is shown at the latest when the next one is decoded. Where pictures
    # refresh little by little, how long it takes may differ, but it is over when it begins anew.
    clean = np.maximum(shown + recovery, following) if times.decoding_times or recovery else shown
    frame = 1 / float(timing.rate)
    if container in INDEXED_FORMATS:
        # Indexes have the one time or the other, rounded; none may lead to the next key frame.
        aim = (decoded if times.decoding_times else shown) + frame / 4
        found = np.append(decoded[1:], np.inf) > aim
    else:
        aim = decoded - frame / 2
        found = np.ones(len(aim), bool)
    usable = found & np.isfinite(clean) & (np.array(keys.in_order) == 1)
    aim, clean = aim[usable], clean[usable]
    distance = max(_LEAST_DISTANCE_SECONDS, float(timing.duration) / _MOST_POINTS)
    _, first = np.unique(np.floor(clean / distance), return_index=True)
    return [SeekPoint(seek=round(aim[place], 6), right=round(clean[place], 6)) for place in map(int, first)]


def seek_seconds(source: SourceFacts, seconds: float | Fraction) -> float | None:
    """Return where to put the decoder, on the file's clock, or None for the file's beginning.

    The picture that is on screen `seconds` after the source's first frame, and all later ones, are then right.
    """
    if source.container in UNTIMED_FORMATS:
        return None
    wanted = float(source.start + Fraction(seconds))
    if source.seek_points is None:
        frames = _REORDERED_FRAMES / float(source.exact_rate)
        margin = frames if source.container in INDEXED_FORMATS else _SEARCHED_SECONDS
        seek = wanted - margin - source.recovery_seconds
        return round(seek, 6) if seek > source.start else None
    place = bisect_right(source.seek_points, wanted, key=lambda point: point.right) - 1
    if place < 0 or source.seek_points[place].seek <= source.start + 1 / source.exact_rate:
        return None
    return source.seek_points[place].seek


def seek_before(source: SourceFacts, frame: int, rate: Fraction) -> float | None:
    """Return where to put the decoder so that frame `frame` and all later ones are right; see `seek_seconds`.

    Frames of `rate` count from the first picture.

    What is on screen at a frame may have begun half a frame before it, where the output's rounds to it.
    """
    return seek_seconds(source, (frame - Fraction(1, 2)) / rate)
