"""Find out what a source is, with ffprobe in a process of its own: files from strangers crash decoders.

    1. headers and streams   ─┐ at the same time
    2. every frame's time    ─┘ (the whole file is read, about 1 GB a second; on the web only without an index)
    3. do later pictures have another size? what do some key frames tell? (at the same time)
    4. H.264 whose key frames do not all begin anew: does a decoder return a picture there, or only later?
    5. when does the sound end, does the file end where its kind of file does, was a film telecined?
    6. decide: usable? complete? constant rate? where may a decoder begin?

Headers alone are not believed: a truncated file still claims its full length, and browsers record videos without
any length at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from ecg_api.plan import SourceFacts
from ecg_api.rational import to_rational
from ecg_renderer.errors import ServiceUnreachable, SourceInvalid, SourceMissing
from ecg_renderer.media.changes import Headers, may_change, read_headers, sampled
from ecg_renderer.media.codecs import is_copied_somewhere
from ecg_renderer.media.counting import (
    BELIEVED_SECONDS,
    CONVERT_HINT,
    HEADER_SECONDS,
    decoder_delay,
    ffprobe,
    frame_times,
    is_telecined,
    lit,
    recovery_seconds,
    sound_end,
    untimed,
    with_held_end,
)
from ecg_renderer.media.damage import HEAD_BYTES, what_begins
from ecg_renderer.media.endings import early_end, fetched
from ecg_renderer.media.facts import FIRST, SOUND_HINT, source_facts, video_stream
from ecg_renderer.media.placing import seek_points
from ecg_renderer.media.process import (
    INDEXED_FORMATS,
    UNTIMED_FORMATS,
    Finished,
    input_name,
    is_remote,
    local_path,
    program_identity,
    run_ffprobe,
    says_away,
)
from ecg_renderer.media.timing import (
    FrameTimes,
    Timing,
    breaks_off,
    clock_jumps,
    declared_timing,
    is_only_ticking,
    timing_of,
)
from ecg_renderer.storage import CellStore, Storage, opened_source

_T = TypeVar("_T")

# Raise when a source is looked at otherwise than before.
_SCHEMA = 10
# Reading all of a longer file would take longer than it is worth; its headers are believed.
LARGEST_COUNTED_BYTES = 4 << 30
# The same for what comes over a network and, for want of an index, tells neither its frames nor its key frames.
LARGEST_FETCHED_BYTES = 1 << 30
# These say themselves how long they are; of the others FFmpeg finds it out.
_LENGTH_IN_HEADER = ("matroska,webm", "flv")
_LENGTHS_OF_STREAMS = ("mxf", "gxf")
_COPY_AGAIN = "Copy or download the file again; if that is all there is: ffmpeg -i SOURCE whole.mp4"
_TELECINED_RATE = 30
_NO_VIDEO = re.compile(r"\[(\w+)[^]]*\] .*not on whitelist")
# Formats that are told of with the same words as another.
_LIKE = {
    **dict.fromkeys(("dash", "concat", "sdp", "rtsp"), "hls"),
    **dict.fromkeys(("webvtt", "ass", "ttml", "sami", "microdvd"), "srt"),
    **dict.fromkeys(("aac", "ac3", "aiff", "amr", "ape", "caf", "dts", "eac3", "flac", "loas", "w64", "wav"), "mp3"),
}
# Said by ffprobe of a Matroska, WebM or MP4 file that breaks off.
_CUT_OFF = ("File ended prematurely", "partial file")


async def known_source(source: Storage, store: CellStore) -> tuple[str, SourceFacts]:
    """Return what FFmpeg opens as `source`, and what is known of it; `store` remembers that for the next time.

    Raises as `probe_source` does, StorageError.
    """
    url = await opened_source(source)
    identity = await asyncio.to_thread(source.identity)
    key = "\n".join([identity, str(_SCHEMA), program_identity("ffprobe")])
    note = f"probes/{hashlib.sha256(key.encode()).hexdigest()}.json"
    if raw := await store.recall(note):
        with contextlib.suppress(ValidationError):
            return url, SourceFacts.model_validate_json(raw).model_copy(update={"uri": source.name})
    facts = await probe_source(url, display=source.name, identity=identity)
    # Without its address, which may carry a signature and is not the source's own.
    await store.note(note, facts.model_copy(update={"uri": ""}).model_dump_json().encode())
    return url, facts


async def probe_source(url: str, *, display: str, identity: str) -> SourceFacts:
    """Return what is known of the video at `url` (a path, file://, http:// or https://).

    `display` is the name for people, without secrets; `identity` changes with the content. Raises SourceMissing
    when there is nothing to open, SourceInvalid when it is no usable video or breaks off in the middle,
    ServiceUnreachable when it cannot be fetched at the moment.
    """
    input_name(url)
    if not is_remote(url):
        _check_file(local_path(url), display)
    try:
        return await _probed(url, display=display, identity=identity)
    except _OtherKindError as known:
        raise SourceInvalid(known.message, hint=known.hint) from None
    except SourceInvalid:
        if other := what_begins(await _head(url)):
            raise SourceInvalid(f"{display} {other[0]}.", hint=other[1]) from None
        raise


async def _head(url: str) -> bytes:
    """Return the first bytes of a source; none if they cannot be had."""
    if is_remote(url):
        part = await fetched(url, 0, HEAD_BYTES, least=1)
        return part.read() if part else b""
    with local_path(url).open("rb") as file:
        return file.read(HEAD_BYTES)


async def _probed(url: str, *, display: str, identity: str) -> SourceFacts:
    counted = not is_remote(url) and local_path(url).stat().st_size <= LARGEST_COUNTED_BYTES
    async with AsyncExitStack() as beside:
        counting = await beside.enter_async_context(_beside(frame_times(url, display, FIRST))) if counted else None
        said = await ffprobe(url, ["-show_format", "-show_streams", "-of", "json"], HEADER_SECONDS)
        report = _report(said, url, display)
        stream, video = video_stream(report, display)
        if counting and video != FIRST:
            counting.cancel()
            counting = None
        read = counted or _is_worth_fetching(report)
        reading = await beside.enter_async_context(_beside(read_headers(url, stream, video))) if read else None
        stream, timing, times = await _timed(url, report, stream, video, counting, read=read, display=display)
        facts = source_facts(report, stream, timing, display=display, identity=identity)
        some = await sampled(url, report, stream, video, times)
        if some.encrypted:
            hint = "Ask whoever it is from for a file without copy protection (DRM)."
            raise SourceInvalid(
                f"The pictures of {display} are encrypted: only players with its key show them.", hint=hint
            )
        headers = await reading if reading else Headers(some.later_shapes)
        keys = times.key_frames.shown if times else ()
        at_once = keys and headers.anew.issuperset(keys)
        recovery = 0.0 if at_once else await recovery_seconds(url, report, stream, video)
        found: dict[str, Any] = {"recovery_seconds": recovery, "other_turn": some.turn(stream)}
        found |= {"other_shapes": headers.later_shapes}
        found |= {"shapes_known": read or not may_change(stream)}
        facts = facts.model_copy(update={"interlaced": facts.interlaced or some.interlaced})
        if facts.container == "avi":
            start, delay = await decoder_delay(url, stream, facts.start, times, video)
            delayed = {"start_seconds": to_rational(start), "decoder_delay": to_rational(delay)}
            facts = facts.model_copy(update=delayed)
    facts = await lit(url, await _heard(facts))
    found |= await _found_later(url, report, stream, facts, times)
    if facts.pixel_format == "pal8" or video != FIRST:
        found["seek_points"] = []  # the palette may be at the beginning alone; FFmpeg seeks by the first track
    elif times is not None:
        points = seek_points(times, timing, tick=facts.tick, container=facts.container, recovery=recovery)
        found["seek_points"] = points
    return facts.model_copy(update=found)


async def _timed(
    url: str,
    report: dict[str, Any],
    stream: dict[str, Any],
    video: str,
    counting: asyncio.Task[tuple[FrameTimes, list[str]]] | None,
    *,
    read: bool,
    display: str,
) -> tuple[dict[str, Any], Timing, FrameTimes | None]:
    """Return the stream with its clock, its timing, and the times of its frames if they were counted."""
    container = report["format"]["format_name"]
    if container in UNTIMED_FORMATS:
        timing = await untimed(url, stream, display, video)
        return {**stream, "time_base": str(1 / timing.rate)}, timing, None
    declared = None if read else declared_timing(stream, container)
    if declared:
        return stream, await with_held_end(url, stream, declared, video), None
    times, log = await (counting or frame_times(url, display, video))
    _check_clock(stream, times, container, display)
    return stream, await asyncio.to_thread(_counted_timing, report, stream, times, log, display), times


async def _found_later(
    url: str, report: dict[str, Any], stream: dict[str, Any], facts: SourceFacts, times: FrameTimes | None
) -> dict[str, Any]:
    """Return the facts that need others first; raise SourceInvalid if the file breaks off."""
    end = await sound_end(url, report, facts, counted=times is not None)
    found: dict[str, Any] = {"sound_end_seconds": end}
    if times is not None:
        _check_length(report, stream, facts, end)
        found["early_end"] = await _early_end(url, facts, times)
    if facts.interlaced and round(facts.exact_rate) == _TELECINED_RATE:
        found["telecined"] = await is_telecined(url, facts)
    return found


@asynccontextmanager
async def _beside(work: Coroutine[Any, Any, _T]) -> AsyncIterator[asyncio.Task[_T]]:
    """Do `work` meanwhile; it ends with the block at the latest."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _said_length(report: dict[str, Any], stream: dict[str, Any], facts: SourceFacts) -> str | None:
    """Return how long a header says that pictures, or pictures and sound, are; None where it does not say that."""
    length: str | None
    if facts.container in _LENGTHS_OF_STREAMS:
        length = stream.get("duration")
        return length
    # What is said of the file is the end of whatever lasts longest, also of what nobody has read to its end.
    others = {each.get("codec_type") for each in report["streams"]} - {"video", "audio"}
    if facts.container not in _LENGTH_IN_HEADER or others or facts.video_tracks > 1 or facts.unreadable_audio:
        return None
    length = report["format"].get("duration")
    return length


def _check_length(report: dict[str, Any], stream: dict[str, Any], facts: SourceFacts, sound_end: float | None) -> None:
    """Raise SourceInvalid if a header, written when all was there, promises more than is there now."""
    said = _said_length(report, stream, facts)
    if not said:
        return
    end = max(float(facts.start) + facts.duration_seconds, sound_end or 0.0)
    if float(said) > end + BELIEVED_SECONDS:
        raise SourceInvalid(
            f"{facts.uri} is incomplete: it breaks off after {facts.frames} frames, {end:.1f} of {float(said):.1f} "
            "seconds in.",
            hint=_COPY_AGAIN,
        )


async def _early_end(url: str, facts: SourceFacts, times: FrameTimes) -> str | None:
    """Return how the file seems to end too early, None where it does not; raise SourceInvalid if it surely does."""
    end = await early_end(url, facts.container, facts.size_bytes or 0, times.end)
    if end and end.certain:
        raise SourceInvalid(
            f"{facts.uri} is incomplete: it ends {end.how}, {facts.duration_seconds:.1f} seconds in.", hint=_COPY_AGAIN
        )
    return end.how if end else None


async def _heard(facts: SourceFacts) -> SourceFacts:
    """Return `facts` without the sound that no container is given as it is, and that this FFmpeg cannot decode."""
    if all(is_copied_somewhere(sound.codec) for sound in facts.audio):
        return facts
    listed = await run_ffprobe(["-codecs"], seconds=HEADER_SECONDS)
    words = (line.split() for line in listed.output.decode(errors="replace").splitlines())
    decoded = {row[1] for row in words if len(row) > 1 and row[0].startswith("D")}
    audio = [sound for sound in facts.audio if is_copied_somewhere(sound.codec) or sound.codec in decoded]
    lost = [sound.index for sound in facts.audio if sound not in audio]
    return facts.model_copy(update={"audio": audio, "unreadable_audio": sorted([*facts.unreadable_audio, *lost])})


def _is_worth_fetching(report: dict[str, Any]) -> bool:
    """Tell whether a source on the web is read as a whole: without an index it is searched blindly otherwise.

    What does not even say its length, as recordings of browsers, has none.
    """
    size = int(report["format"].get("size") or 0)
    indexed = report["format"]["format_name"] in INDEXED_FORMATS and "duration" in report["format"]
    return not indexed and 0 < size <= LARGEST_FETCHED_BYTES


def _check_file(path: Path, display: str) -> None:
    try:
        if path.is_dir():
            raise SourceMissing(f"{display} is a directory, not a video file.", hint="Name the video file.")
        if path.exists() and not path.is_file():  # a pipe would be waited for, a device read for ever
            raise SourceMissing(f"{display} is not a file.", hint="Name the video file.")
        with path.open("rb") as file:
            empty = not file.read(1)
    except FileNotFoundError:
        raise SourceMissing(f"{display} does not exist.", hint="Check the path.") from None
    except OSError as error:
        raise SourceMissing(f"{display} cannot be opened: {error.strerror}.", hint="Check its access rights.") from None
    if empty:
        raise SourceInvalid(f"{display} is empty.", hint="Was it fully copied or downloaded?")


def _report(finished: Finished, url: str, display: str) -> dict[str, Any]:
    if finished.code == 0:
        report: dict[str, Any] = json.loads(finished.output)
        return report
    said = finished.log[-1] if finished.log else "no reason given"
    if is_remote(url) and says_away(finished.log):
        raise ServiceUnreachable(f"{display} cannot be fetched at the moment: {said}.", hint="Try again later.")
    if is_remote(url) and not any("Invalid data" in line or "whitelist" in line for line in finished.log):
        raise SourceMissing(f"{display} cannot be fetched: {said}.", hint="Is the address right, and still valid?")
    if any("moov atom not found" in line for line in finished.log):
        raise SourceInvalid(
            f"{display} is no MP4, or breaks off before its table of contents (the moov atom) at its end.",
            hint="Copy or download the file again if it is incomplete; play it to check.",
        )
    if other := next((found[1] for line in finished.log if (found := _NO_VIDEO.match(line))), None):
        raise _other_than_video(other, display)
    raise SourceInvalid(f"{display} is not a video that FFmpeg can read ({said}).", hint=CONVERT_HINT)


class _OtherKindError(SourceInvalid):
    """FFmpeg itself knows what the file is."""


def _other_than_video(kind: str, display: str) -> SourceInvalid:
    """Return what is said of a file of FFmpeg's format `kind`, which is none of videos."""
    said = {
        "hls": ("is a playlist", "Make a file of it first: ffmpeg -i PLAYLIST -c copy video.mp4"),
        "rawvideo": (
            "holds pixels alone, without a word about size and rate",
            "Say them: ffmpeg -f rawvideo -video_size 1280x720 -framerate 25 -i SOURCE -c:v ffv1 video.mkv",
        ),
        "srt": ("is a file of subtitles, not a video", "Its place and that of the captions may have been swapped."),
        "mp3": ("holds only sound", SOUND_HINT),
        "image2": (
            "is a picture, or pictures behind each other, not a video",
            f"{SOUND_HINT}; of Motion JPEG: ffmpeg -f mjpeg -framerate 25 -i SOURCE -c copy video.mkv",
        ),
    }
    kind = "image2" if kind.endswith("_pipe") else _LIKE.get(kind, kind)
    words, hint = said.get(kind, (f"is a file of the kind {kind}, not a video", CONVERT_HINT))
    return _OtherKindError(f"{display} {words}.", hint=hint)


def _check_clock(stream: dict[str, Any], times: FrameTimes, container: str, display: str) -> None:
    if clock_jumps(stream, times, container):
        raise SourceInvalid(
            f"The time stamps of {display} jump: it seems to be several recordings put behind each other.",
            hint="Put it in order first: ffmpeg -i SOURCE -c copy whole.mp4",
        )
    tick = Fraction(stream["time_base"])
    if times.ticks and is_only_ticking(times, tick, container):
        raise SourceInvalid(
            f"The pictures of {display} have no times of their own: they follow each other with each tick of its "
            f"clock, {1 / tick} a second.",
            hint="Say how many there are a second: ffmpeg -r 25 -i SOURCE whole.mp4",
        )


def _counted_timing(
    report: dict[str, Any], stream: dict[str, Any], times: FrameTimes, log: list[str], display: str
) -> Timing:
    if not times.ticks:
        raise SourceInvalid(f"The video stream of {display} holds no frames.", hint=CONVERT_HINT)
    timing = timing_of(stream, times, report["format"]["format_name"])
    cut_off = any(words in line for line in log for words in _CUT_OFF)
    if cut_off or breaks_off(stream, times, timing, report["format"]["format_name"]):
        declared = int(stream.get("nb_frames") or 0)
        of = f" of {declared}" if declared else ""
        raise SourceInvalid(
            f"{display} is incomplete: it breaks off after {times.packets}{of} frames, "
            f"{float(timing.duration):.1f} seconds in.",
            hint=_COPY_AGAIN,
        )
    return timing
