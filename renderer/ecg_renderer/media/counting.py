"""What is found out by reading a source, with ffprobe, or with ffmpeg where pictures have to be decoded.

`video` is which of its streams is meant, in FFmpeg's words.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

from ecg_api.plan import SourceFacts
from ecg_renderer.errors import FfmpegError, RenderError, ServiceUnreachable, SourceInvalid
from ecg_renderer.media.facts import light_facts, specifier
from ecg_renderer.media.process import (
    Finished,
    Progress,
    input_name,
    is_remote,
    option_words,
    run_ffmpeg,
    run_ffprobe,
    says_away,
    says_broken_off,
    source_options,
)
from ecg_renderer.media.timing import (
    HIGHEST_GUESSED_RATE,
    HIGHEST_RATE,
    LARGEST_JITTER,
    LEAST_HELD,
    FrameTimes,
    PacketReader,
    Timing,
    fraction,
    meant_rate,
)

HEADER_SECONDS = 60
COUNT_SECONDS = 300
# Sound that is said to end this long after the pictures makes the result longer.
BELIEVED_SECONDS = 0.5
_FIELDS_SECONDS = 6
_SECONDS = re.compile(r"-?\d+(\.\d+)?")
_REPEATED = re.compile(r"Repeated Fields: Neither: *(\d+) Top: *(\d+) Bottom: *(\d+)")
# How far the first picture is looked for behind a key frame: the longest that encoders refresh a picture little by
# little, with room.
_REFRESH_PACKETS = 600

# A row of what ffprobe shows of data, behind its place and before the same as text.
_HEX_ROW = re.compile(r"^[0-9a-f]{8}: ((?:[0-9a-f]{2,4} )+)", re.MULTILINE)
# Where the head of Opus says how many samples are not heard, in two bytes up to here.
_RUN_UP_END = 12

UNTIMED_RATE = Fraction(25)
_RAW_HINT = "Encode it into a file with times: ffmpeg -i SOURCE whole.mp4"
CONVERT_HINT = "Open it in a player to check it, or convert it to MP4 first."


async def ffprobe(url: str, arguments: list[str], seconds: float) -> Finished:
    """Return what ffprobe says of a source, or that it said nothing for so many seconds."""
    try:
        return await read(url, arguments, seconds)
    except TimeoutError:
        return Finished(1, b"", [f"no answer within {seconds:.0f} seconds"])


async def read(
    url: str,
    arguments: list[str],
    seconds: float,
    on_line: Callable[[bytes], None] | None = None,
    *,
    insist: bool = False,
) -> Finished:
    """Return what ffprobe says of a source; `on_line` gets its output instead, and may end it.

    `insist`: connect again when the network fails. Raises TimeoutError after `seconds`.
    """
    options = option_words(source_options(url, insist=insist))
    name = input_name(url)
    words = [*options, *arguments, name]
    return await run_ffprobe(words, seconds=seconds, redact={f"{name}: ": ""}, on_line=on_line)


async def frame_times(url: str, display: str, video: str) -> tuple[FrameTimes, list[str]]:
    """Return the times of all packets, and what was said meanwhile; raises ServiceUnreachable, SourceInvalid."""
    entries = ["-select_streams", video, "-show_entries", "packet=pts,dts,duration,size,pos,flags", "-of", "csv=p=0"]
    packets = PacketReader()
    try:
        finished = await read(url, entries, COUNT_SECONDS, packets.line, insist=True)
    except TimeoutError:
        raise ServiceUnreachable(
            f"The frames of {display} could not be read within {COUNT_SECONDS} seconds.",
            hint="Copy it to a faster place, or convert it to MP4, whose index says where its frames are.",
        ) from None
    if is_remote(url) and (says_away(finished.log) or says_broken_off(finished.log)):
        raise ServiceUnreachable(f"{display} broke off while it was read: {finished.log[-1]}.", hint="Try again later.")
    times = packets.frame_times()
    if times.ticks and not times.certain_start:
        first, _ = await _first_decoded(url, video)
        times = times if first is None else times.starting_at(first)
    return times, finished.log


async def decoder_delay(
    url: str, stream: dict[str, Any], start: Fraction, times: FrameTimes | None, video: str
) -> tuple[Fraction, Fraction]:
    """Return when the first picture of an AVI is shown, and how many seconds later than that FFmpeg times it.

    AVI has decoding times alone, of frames that a decoder may return only when later ones are in. Players show the
    first of them at the time of the first packet, and that is what its sound goes with. `start`: that of the first
    frame that a decoder returns if packets were counted, else of the first packet.
    """
    tick = Fraction(stream["time_base"])
    if times is not None:
        return start - times.delay * tick, times.delay * tick
    first, on_key = await _first_decoded(url, video, most="#64")
    returned = start if first is None else max(start, first * tick)
    return (start, returned - start) if on_key else (returned, Fraction(0))


async def _first_decoded(url: str, video: str, most: str = "10") -> tuple[int | None, bool]:
    """Return the time of the first frame that decodes, in ticks, or None if none does; and if the first is a key frame.

    `most`: of what is read, 10 seconds or so many packets.
    """
    entries = ["-select_streams", video, "-show_entries", "packet=flags:frame=best_effort_timestamp", "-of", "csv"]
    finished = await ffprobe(url, [*entries, "-read_intervals", f"%+{most}"], COUNT_SECONDS)
    rows = [line.split(",") for line in finished.output.decode(errors="replace").split() if "," in line]
    flags = next((row[1] for row in rows if row[0] == "packet"), "")
    times = (int(row[1]) for row in rows if row[0] == "frame" and row[1].lstrip("-").isdigit())
    return min(times, default=None), "K" in flags


async def recovery_seconds(url: str, report: dict[str, Any], stream: dict[str, Any], video: str) -> float:
    """Return how long after a later key frame a decoder returns the first picture.

    Only H.264 calls a frame a key frame that merely begins to refresh the picture, column by column. Packets look the
    same, so one such frame is decoded, as far as it takes.
    """
    length = float(stream.get("duration") or report["format"].get("duration") or 0)
    if stream["codec_name"] != "h264" or length <= 0:
        return 0
    start = float(report["format"].get("start_time") or 0)
    entries = ["-show_entries", "packet=pts,flags:frame=pts", "-of", "csv"]
    part = ["-read_intervals", f"{start + length * 2 / 3:.3f}%+#{_REFRESH_PACKETS}"]
    key, found = None, None

    def take(line: bytes) -> None:
        nonlocal key, found
        kind, word, *more = [*line.decode(errors="replace").strip().split(","), ""]
        time = int(word) if word.lstrip("-").isdigit() else None
        if kind == "packet" and key is None and "K" in more[0]:
            key = time
        elif kind == "frame" and key is not None and time is not None and time >= key:
            found = time
            raise _FoundError

    with contextlib.suppress(_FoundError, TimeoutError):
        await read(url, ["-select_streams", video, *entries, *part], HEADER_SECONDS, take)
    if key is None or found is None:
        return 0
    return float(max(0, found - key) * Fraction(stream["time_base"]))


class _FoundError(Exception):
    """Ends ffprobe: what it was asked for has been said."""


async def with_held_end(url: str, stream: dict[str, Any], timing: Timing, video: str) -> Timing:
    """Return the timing that headers claim, with a constant rate if only the last picture is shown for longer.

    Headers alone cannot tell that from a variable rate; the last packets can.
    """
    rate = fraction(stream.get("r_frame_rate"))
    if not timing.variable or not rate or rate > HIGHEST_RATE:
        return timing
    last = timing.start + (timing.frames - 1) / rate
    held = timing.duration - timing.frames / rate
    if held * rate < LEAST_HELD:
        return timing
    entries = ["-select_streams", video, "-show_entries", "packet=pts", "-of", "csv=p=0"]
    packets = await ffprobe(url, [*entries, "-read_intervals", f"{float(last):.3f}%"], HEADER_SECONDS)
    words = (line.strip(",") for line in packets.output.decode(errors="replace").split())
    ticks = [int(word) for word in words if word.lstrip("-").isdigit()]
    if not ticks or abs(max(ticks) * Fraction(stream["time_base"]) - last) * rate > LARGEST_JITTER:
        return timing
    return replace(timing, rate=meant_rate(rate), variable=False, held=held)


async def untimed(url: str, stream: dict[str, Any], display: str, video: str) -> Timing:
    """Return the timing of a stream whose packets have no times: all pictures that FFmpeg decodes, one after the other.

    Their rate is that which the stream says it has; where it says none, FFmpeg takes 25.
    """
    rate = fraction(stream.get("avg_frame_rate")) or fraction(stream.get("r_frame_rate")) or UNTIMED_RATE
    rate = meant_rate(rate) if rate <= HIGHEST_GUESSED_RATE * 2 else UNTIMED_RATE
    frames = 0

    def take(progress: Progress) -> None:
        nonlocal frames
        frames = progress.frame

    options = option_words(source_options(url, insist=True))
    counted = ["-map", f"0:{video}", "-vf", "settb=1,setpts=N", "-fps_mode", "passthrough", "-f", "null", "-"]
    try:
        async with asyncio.timeout(COUNT_SECONDS):
            await run_ffmpeg([*options, "-i", input_name(url), *counted], action="counting pictures", on_progress=take)
    except TimeoutError:
        raise SourceInvalid(
            f"{display} is a raw stream without times, whose pictures could not be counted in {COUNT_SECONDS} seconds.",
            hint=_RAW_HINT,
        ) from None
    except FfmpegError as error:
        raise SourceInvalid(f"{display} cannot be decoded ({error.message}).", hint=CONVERT_HINT) from None
    if not frames:
        raise SourceInvalid(f"The video stream of {display} holds no frames.", hint=CONVERT_HINT)
    return Timing(rate, variable=False, start=Fraction(0), frames=frames, duration=frames / rate)


class SoundReader:
    """Finds when the last packet of sound ends, from ffprobe's `pts_time,duration_time` lines."""

    def __init__(self) -> None:
        self.end: float | None = None
        """On the file's clock, in seconds; None while there is none."""

    def line(self, line: bytes) -> None:
        """Take one packet. Other lines are passed over."""
        time, duration, *_ = [*line.decode(errors="replace").strip().split(","), "", ""]
        if _SECONDS.fullmatch(time):
            end = float(time) + (float(duration) if _SECONDS.fullmatch(duration) else 0)
            self.end = end if self.end is None else max(self.end, end)


def declared_sound_end(report: dict[str, Any]) -> float | None:
    """Return when the headers say that the last sound ends, or None where they do not say it of every stream.

    What is said of the whole file is no less than that.
    """
    ends = [_declared_end(each) for each in report["streams"] if each.get("codec_type") == "audio"]
    whole = _declared_end(report["format"])
    known = [end for end in ends if end is not None]
    return max(known) if known and len(known) == len(ends) else whole


def _declared_end(part: dict[str, Any]) -> float | None:
    if "duration" not in part:
        return None
    return float(part.get("start_time") or 0) + float(part["duration"])


async def sound_end(url: str, report: dict[str, Any], facts: SourceFacts, *, counted: bool) -> float | None:
    """Return when the last sound ends on the file's clock, in seconds, or None where there is none.

    Headers are believed only while it makes no difference, or where reading would take too long: sound that is said to
    end long before or after the last picture is read, where the pictures were; else, what lies behind the pictures.
    """
    if not facts.audio:
        return None
    pictures = float(facts.start) + facts.duration_seconds
    said = declared_sound_end(report)
    # In fragments, headers may tell the length of the first ones alone.
    late = said is not None and said >= pictures + BELIEVED_SECONDS
    if said is not None and (abs(said - pictures) < BELIEVED_SECONDS or (late and not counted)):
        return said
    reader = SoundReader()
    entries = ["-select_streams", "a", "-show_entries", "packet=pts_time,duration_time", "-of", "csv=p=0"]
    part = [] if counted else ["-read_intervals", f"{pictures - BELIEVED_SECONDS:.3f}%"]
    try:
        await read(url, [*entries, *part], COUNT_SECONDS, reader.line, insist=True)
    except TimeoutError:
        return said
    return said if reader.end is None else reader.end


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
        finished = await read(url, entries, COUNT_SECONDS, take, insist=True)
    except _FoundError:
        return heard
    except TimeoutError:
        finished = Finished(1, b"", [f"no answer within {COUNT_SECONDS} seconds"])
    if says_away(finished.log) or says_broken_off(finished.log):
        said = f"The source's sound cannot be fetched at the moment: {finished.log[-1]}."
        raise ServiceUnreachable(said, hint="Try again later.")
    return heard


async def opus_run_ups(url: str) -> dict[int, int]:
    """Return how many samples at 48 kHz are not heard at the beginning of each stream of Opus, by the streams' indexes.

    As their heads say; those of which that cannot be read are left out.
    """
    entries = ["-select_streams", "a", "-show_data", "-show_entries", "stream=index,extradata", "-of", "json"]
    finished = await ffprobe(url, entries, HEADER_SECONDS)
    found: dict[int, int] = {}
    with contextlib.suppress(ValueError, LookupError):
        for stream in json.loads(finished.output)["streams"]:
            head = _HEX_ROW.findall(stream.get("extradata", ""))
            content = bytes.fromhex("".join(head))
            if content.startswith(b"OpusHead") and len(content) >= _RUN_UP_END:
                found[stream["index"]] = int.from_bytes(content[_RUN_UP_END - 2 : _RUN_UP_END], "little")
    return found


async def lit(url: str, facts: SourceFacts) -> SourceFacts:
    """Return `facts` with what HDR10 says about light, which may stand in the first frame only."""
    if facts.transfer != "smpte2084" or facts.light:
        return facts
    first = ["-select_streams", specifier(facts), "-read_intervals", "%+#1"]
    entries = ["-show_frames", "-show_entries", "frame=pts:frame_side_data", "-of", "json"]
    finished = await ffprobe(url, [*first, *entries], HEADER_SECONDS)
    with contextlib.suppress(ValueError, LookupError):
        side_data = json.loads(finished.output)["frames"][0].get("side_data_list", [])
        return facts.model_copy(update={"light": light_facts(side_data)})
    return facts


async def is_telecined(url: str, facts: SourceFacts) -> bool:
    """Tell whether fields repeat as in a film that was telecined: of each ten, two are those of the picture before."""
    options = option_words(source_options(url))
    middle = ["-ss", f"{facts.duration_seconds / 2:.3f}", "-t", str(_FIELDS_SECONDS)]
    sampled = ["-map", f"0:{specifier(facts)}", "-vf", "idet", "-f", "null", "-"]
    try:
        async with asyncio.timeout(HEADER_SECONDS):
            seen = await run_ffmpeg(["-loglevel", "info", *options, *middle, "-i", input_name(url), *sampled])
    except (RenderError, TimeoutError):
        return False
    counts = [list(map(int, found.groups())) for line in seen.log if (found := _REPEATED.search(line))]
    neither, top, bottom = counts[-1] if counts else (1, 0, 0)
    return min(top, bottom) > neither / 8
