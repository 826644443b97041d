"""Find out what a source is, with ffprobe in a process of its own: files from strangers crash decoders.

    1. headers and streams   ─┐ at the same time
    2. every frame's time    ─┘ (the whole file is read, about 1 GB a second; on the web only without an index)
    3. H.264: does a decoder return a picture at a key frame, or only later?
    4. decide: usable? complete? constant rate? where may a decoder begin?

Headers alone are not believed: a truncated file still claims its full length, and browsers record videos without
any length at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from ecg_api.plan import SourceFacts
from ecg_renderer.errors import FfmpegError, RenderError, ServiceUnreachable, SourceInvalid, SourceMissing
from ecg_renderer.media.changes import later_shapes, may_change
from ecg_renderer.media.facts import SOUND_HINT, light_facts, source_facts, video_stream
from ecg_renderer.media.placing import seek_points
from ecg_renderer.media.process import (
    INDEXED_FORMATS,
    UNTIMED_FORMATS,
    Finished,
    Progress,
    input_name,
    is_remote,
    local_path,
    program_identity,
    run_ffmpeg,
    run_ffprobe,
    says_away,
    says_broken_off,
    source_options,
)
from ecg_renderer.media.timing import (
    HIGHEST_GUESSED_RATE,
    FrameTimes,
    PacketReader,
    SoundReader,
    Timing,
    breaks_off,
    clock_jumps,
    declared_sound_end,
    declared_timing,
    fraction,
    meant_rate,
    timing_of,
)
from ecg_renderer.media.tracks import is_copied_somewhere
from ecg_renderer.storage import CellStore, Storage, opened_source

_T = TypeVar("_T")

# Raise when a source is looked at otherwise than before.
_SCHEMA = 6
HEADER_SECONDS = 60
COUNT_SECONDS = 300
# Reading all of a longer file would take longer than it is worth; its headers are believed.
LARGEST_COUNTED_BYTES = 4 << 30
# The same for what comes over a network and, for want of an index, tells neither its frames nor its key frames.
LARGEST_FETCHED_BYTES = 1 << 30
# Sound that is said to end this long after the pictures makes the result longer.
_BELIEVED_SECONDS = 0.5
# These say themselves how long they are; of the others FFmpeg finds it out.
_LENGTH_IN_HEADER = ("matroska,webm", "flv")
_TELECINED_RATE = 30
_FIELDS_SECONDS = 6
_REPEATED = re.compile(r"Repeated Fields: Neither: *(\d+) Top: *(\d+) Bottom: *(\d+)")
# How far the first picture is looked for behind a key frame: the longest that encoders refresh a picture little by
# little, with room.
_REFRESH_PACKETS = 600

UNTIMED_RATE = Fraction(25)
_RAW_HINT = "Encode it into a file with times: ffmpeg -i SOURCE whole.mp4"
_CONVERT_HINT = "Open it in a player to check it, or convert it to MP4 first."
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
    counted = not is_remote(url) and local_path(url).stat().st_size <= LARGEST_COUNTED_BYTES
    async with AsyncExitStack() as beside:
        counting = await beside.enter_async_context(_beside(_frame_times(url, display))) if counted else None
        headers = await _ffprobe(url, ["-show_format", "-show_streams", "-of", "json"], HEADER_SECONDS)
        report = _report(headers, url, display)
        stream = video_stream(report, display)
        read = counted or _is_worth_fetching(report)
        shapes = await beside.enter_async_context(_beside(later_shapes(url, stream))) if read else None
        recovery = await _recovery_seconds(url, report, stream)
        timing = None if read else declared_timing(stream)
        times = None
        if report["format"]["format_name"] in UNTIMED_FORMATS:
            timing = await _untimed(url, stream, display)
            stream = {**stream, "time_base": str(1 / timing.rate)}
        elif timing is None:
            times, log = await (counting or _frame_times(url, display))
            _check_clock(stream, times, report["format"]["format_name"], display)
            timing = await asyncio.to_thread(_counted_timing, stream, times, log, display)
        facts = source_facts(report, stream, timing, display=display, identity=identity)
        found: dict[str, Any] = {"recovery_seconds": recovery, "other_shapes": await shapes if shapes else []}
        found["shapes_known"] = read or not may_change(stream)
    facts = await _lit(url, await _heard(facts))
    found["sound_end_seconds"] = await _sound_end(url, report, facts, counted=times is not None)
    if times is not None:
        _check_length(report, facts, found["sound_end_seconds"])
    if facts.interlaced and round(facts.exact_rate) == _TELECINED_RATE:
        found["telecined"] = await _is_telecined(url, facts)
    if facts.pixel_format == "pal8":
        found["seek_points"] = []  # the palette may be at the beginning alone
    elif times is not None:
        points = seek_points(times, timing, tick=facts.tick, container=facts.container, recovery=recovery)
        found["seek_points"] = points
    return facts.model_copy(update=found)


@asynccontextmanager
async def _beside(work: Coroutine[Any, Any, _T]) -> AsyncIterator[asyncio.Task[_T]]:
    """Do `work` meanwhile; it ends with the block at the latest."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _is_telecined(url: str, facts: SourceFacts) -> bool:
    """Tell whether fields repeat as in a film that was telecined: of each ten, two are those of the picture before."""
    options = [word for name, value in source_options(url).items() for word in (f"-{name}", str(value))]
    middle = ["-ss", f"{facts.duration_seconds / 2:.3f}", "-t", str(_FIELDS_SECONDS)]
    sampled = ["-map", "0:V:0", "-vf", "idet", "-f", "null", "-"]
    try:
        async with asyncio.timeout(HEADER_SECONDS):
            seen = await run_ffmpeg(["-loglevel", "info", *options, *middle, "-i", input_name(url), *sampled])
    except (RenderError, TimeoutError):
        return False
    counts = [list(map(int, found.groups())) for line in seen.log if (found := _REPEATED.search(line))]
    neither, top, bottom = counts[-1] if counts else (1, 0, 0)
    return min(top, bottom) > neither / 8


async def _sound_end(url: str, report: dict[str, Any], facts: SourceFacts, *, counted: bool) -> float | None:
    """Return when the last sound ends on the file's clock, in seconds, or None where there is none.

    Headers are believed only while it makes no difference, or where reading would take too long: sound that is said to
    go on long after the last picture is read, where the pictures were.
    """
    if not facts.audio:
        return None
    pictures = float(facts.start) + facts.duration_seconds
    said = declared_sound_end(report)
    if said is not None and (said < pictures + _BELIEVED_SECONDS or not counted):
        return said
    reader = SoundReader()
    entries = ["-select_streams", "a", "-show_entries", "packet=pts_time,duration_time", "-of", "csv=p=0"]
    try:
        await _read(url, entries, COUNT_SECONDS, reader.line, insist=True)
    except TimeoutError:
        return said
    return reader.end


async def heard_streams(url: str, wanted: set[int]) -> set[int]:
    """Return those of the streams of sound with the indexes `wanted` of which a moment at least decodes.

    Raises ServiceUnreachable if that cannot be found out at the moment.
    """
    heard: set[int] = set()

    def take(line: bytes) -> None:
        index = line.split(b",")[0].strip()
        if index.isdigit() and int(index) in wanted:
            heard.add(int(index))
        if heard == wanted:
            raise _FoundError

    try:
        entries = ["-select_streams", "a", "-show_entries", "frame=stream_index", "-of", "csv=p=0"]
        finished = await _read(url, entries, COUNT_SECONDS, take, insist=True)
    except _FoundError:
        return heard
    except TimeoutError:
        finished = Finished(1, b"", [f"no answer within {COUNT_SECONDS} seconds"])
    if says_away(finished.log) or says_broken_off(finished.log):
        said = f"The source's sound cannot be fetched at the moment: {finished.log[-1]}."
        raise ServiceUnreachable(said, hint="Try again later.")
    return heard


def _check_length(report: dict[str, Any], facts: SourceFacts, sound_end: float | None) -> None:
    """Raise SourceInvalid if a header, written when all was there, promises more than is there now."""
    said = report["format"].get("duration")
    if facts.container not in _LENGTH_IN_HEADER or not said:
        return
    # That is the end of whatever lasts longest, also of what nobody has read to its end.
    others = {each.get("codec_type") for each in report["streams"]} - {"video", "audio"}
    if others or facts.video_tracks > 1 or facts.unreadable_audio:
        return
    end = max(float(facts.start) + facts.duration_seconds, sound_end or 0.0)
    if float(said) > end + _BELIEVED_SECONDS:
        raise SourceInvalid(
            f"{facts.uri} is incomplete: it breaks off after {facts.frames} frames, {end:.1f} of {float(said):.1f} "
            "seconds in.",
            hint="Copy or download the file again; if that is all there is: ffmpeg -i SOURCE -c copy whole.mp4",
        )


async def _lit(url: str, facts: SourceFacts) -> SourceFacts:
    """Return `facts` with what HDR10 says about light, which may stand in the first frame only."""
    if facts.transfer != "smpte2084" or facts.light:
        return facts
    entries = ["-select_streams", "V:0", "-show_frames", "-show_entries", "frame=pts:frame_side_data", "-of", "json"]
    finished = await _ffprobe(url, ["-read_intervals", "%+#1", *entries], HEADER_SECONDS)
    with contextlib.suppress(ValueError, LookupError):
        side_data = json.loads(finished.output)["frames"][0].get("side_data_list", [])
        return facts.model_copy(update={"light": light_facts(side_data)})
    return facts


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
    """Tell whether a source on the web is read as a whole: without an index it is searched blindly otherwise."""
    size = int(report["format"].get("size") or 0)
    return report["format"]["format_name"] not in INDEXED_FORMATS and 0 < size <= LARGEST_FETCHED_BYTES


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


async def _ffprobe(url: str, arguments: list[str], seconds: float) -> Finished:
    try:
        return await _read(url, arguments, seconds)
    except TimeoutError:
        return Finished(1, b"", [f"no answer within {seconds:.0f} seconds"])


async def _read(
    url: str,
    arguments: list[str],
    seconds: float,
    on_line: Callable[[bytes], None] | None = None,
    *,
    insist: bool = False,
) -> Finished:
    options = [word for name, value in source_options(url, insist=insist).items() for word in (f"-{name}", str(value))]
    name = input_name(url)
    words = [*options, *arguments, name]
    return await run_ffprobe(words, seconds=seconds, redact={f"{name}: ": ""}, on_line=on_line)


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
    raise SourceInvalid(f"{display} is not a video that FFmpeg can read ({said}).", hint=_CONVERT_HINT)


def _other_than_video(kind: str, display: str) -> SourceInvalid:
    """Return what is said of a file of FFmpeg's format `kind`, which is none of videos."""
    said = {
        "hls": ("is a playlist", "Make a file of it first: ffmpeg -i PLAYLIST -c copy video.mp4"),
        "rawvideo": (
            "holds pixels alone, without a word about size and rate",
            "Say them: ffmpeg -f rawvideo -video_size 1280x720 -framerate 25 -i SOURCE -c:v ffv1 video.mkv",
        ),
        "srt": ("is a file of subtitles, not a video", "Name the video as the source, and this file as the scenario."),
        "mp3": ("holds only sound", SOUND_HINT),
        "image2": (
            "is a picture, or pictures behind each other, not a video",
            f"{SOUND_HINT}; of Motion JPEG: ffmpeg -f mjpeg -framerate 25 -i SOURCE -c copy video.mkv",
        ),
    }
    kind = "image2" if kind.endswith("_pipe") else _LIKE.get(kind, kind)
    words, hint = said.get(kind, (f"is a file of the kind {kind}, not a video", _CONVERT_HINT))
    return SourceInvalid(f"{display} {words}.", hint=hint)


async def _frame_times(url: str, display: str) -> tuple[FrameTimes, list[str]]:
    # V: the first video stream that is no cover picture, as in facts.video_stream.
    entries = ["-select_streams", "V:0", "-show_entries", "packet=pts,dts,duration,flags", "-of", "csv=p=0"]
    packets = PacketReader()
    try:
        finished = await _read(url, entries, COUNT_SECONDS, packets.line, insist=True)
    except TimeoutError:
        raise ServiceUnreachable(
            f"The frames of {display} could not be read within {COUNT_SECONDS} seconds.",
            hint="Copy it to a faster place, or convert it to MP4, whose index says where its frames are.",
        ) from None
    if is_remote(url) and (says_away(finished.log) or says_broken_off(finished.log)):
        raise ServiceUnreachable(f"{display} broke off while it was read: {finished.log[-1]}.", hint="Try again later.")
    times = packets.frame_times()
    if times.ticks and not times.certain_start:
        first = await _first_decoded(url)
        times = times if first is None else times.starting_at(first)
    return times, finished.log


async def _first_decoded(url: str) -> int | None:
    """Return the time of the first frame that decodes, in ticks, or None if none does within 10 seconds."""
    entries = ["-select_streams", "V:0", "-show_entries", "frame=best_effort_timestamp", "-of", "csv=p=0"]
    finished = await _ffprobe(url, [*entries, "-read_intervals", "%+10"], COUNT_SECONDS)
    lines = (line.strip(",") for line in finished.output.decode(errors="replace").split())
    return min((int(line) for line in lines if line.lstrip("-").isdigit()), default=None)


async def _recovery_seconds(url: str, report: dict[str, Any], stream: dict[str, Any]) -> float:
    """Return how long after a key frame in the middle of the source a decoder returns the first picture.

    Only H.264 calls a frame a key frame that merely begins to refresh the picture, column by column. Packets look the
    same, so one such frame is decoded, as far as it takes.
    """
    length = float(stream.get("duration") or report["format"].get("duration") or 0)
    if stream["codec_name"] != "h264" or length <= 0:
        return 0
    start = float(report["format"].get("start_time") or 0)
    entries = ["-select_streams", "V:0", "-show_entries", "packet=pts,flags:frame=pts", "-of", "csv"]
    part = ["-read_intervals", f"{start + length / 2:.3f}%+#{_REFRESH_PACKETS}"]
    key, found = None, None

    def take(line: bytes) -> None:
        nonlocal key, found
        kind, word, flags, *_ = *line.decode(errors="replace").strip().split(","), "", ""
        time = int(word) if word.lstrip("-").isdigit() else None
        if kind == "packet" and key is None and "K" in flags:
            key = time
        elif kind == "frame" and key is not None and time is not None and time >= key:
            found = time
            raise _FoundError

    with contextlib.suppress(_FoundError, TimeoutError):
        await _read(url, [*entries, *part], HEADER_SECONDS, take)
    if key is None or found is None:
        return 0
    return float(max(0, found - key) * Fraction(stream["time_base"]))


class _FoundError(Exception):
    """Ends ffprobe: what it was asked for has been said."""


async def _untimed(url: str, stream: dict[str, Any], display: str) -> Timing:
    """Return the timing of a stream whose packets have no times: all pictures that FFmpeg decodes, one after the other.

    Their rate is that which the stream says it has; where it says none, FFmpeg takes 25.
    """
    rate = fraction(stream.get("avg_frame_rate")) or fraction(stream.get("r_frame_rate")) or UNTIMED_RATE
    rate = meant_rate(rate) if rate <= HIGHEST_GUESSED_RATE * 2 else UNTIMED_RATE
    frames = 0

    def take(progress: Progress) -> None:
        nonlocal frames
        frames = progress.frame

    options = [word for name, value in source_options(url, insist=True).items() for word in (f"-{name}", str(value))]
    counted = ["-map", "0:V:0", "-vf", "settb=1,setpts=N", "-fps_mode", "passthrough", "-f", "null", "-"]
    try:
        async with asyncio.timeout(COUNT_SECONDS):
            await run_ffmpeg([*options, "-i", input_name(url), *counted], action="counting pictures", on_progress=take)
    except TimeoutError:
        raise SourceInvalid(
            f"{display} is a raw stream without times, whose pictures could not be counted in {COUNT_SECONDS} seconds.",
            hint=_RAW_HINT,
        ) from None
    except FfmpegError as error:
        raise SourceInvalid(f"{display} cannot be decoded ({error.message}).", hint=_CONVERT_HINT) from None
    if not frames:
        raise SourceInvalid(f"The video stream of {display} holds no frames.", hint=_CONVERT_HINT)
    return Timing(rate, variable=False, start=Fraction(0), frames=frames, duration=frames / rate)


def _check_clock(stream: dict[str, Any], times: FrameTimes, container: str, display: str) -> None:
    if clock_jumps(stream, times, container):
        raise SourceInvalid(
            f"The time stamps of {display} jump: it seems to be several recordings put behind each other.",
            hint="Put it in order first: ffmpeg -i SOURCE -c copy whole.mp4",
        )


def _counted_timing(stream: dict[str, Any], times: FrameTimes, log: list[str], display: str) -> Timing:
    if not times.ticks:
        raise SourceInvalid(f"The video stream of {display} holds no frames.", hint=_CONVERT_HINT)
    timing = timing_of(stream, times)
    cut_off = any(words in line for line in log for words in _CUT_OFF)
    if cut_off or breaks_off(stream, times, timing):
        declared = int(stream.get("nb_frames") or 0)
        of = f" of {declared}" if declared else ""
        raise SourceInvalid(
            f"{display} is incomplete: it breaks off after {times.packets}{of} frames, "
            f"{float(timing.duration):.1f} seconds in.",
            hint="Copy or download the file again.",
        )
    return timing
