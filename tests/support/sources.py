"""Sources as people have them, made by FFmpeg, tiny: a white square and a beep at each half second.

SOURCES[name]()        a path
planned(path, ...)     what would be rendered of it: facts, frames, warnings; no pixel is touched
marks(path)            when pictures are shown, squares flash and beeps sound
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.error import InvalidDataError

from clips import derived, ffmpeg, made, packets, turned
from ecg_api.options import Options
from ecg_api.plan import SourceFacts
from ecg_renderer.model import FrameGrid
from ecg_renderer.planning import output_grid, source_warnings
from encodes import known, probe

X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "15", "-pix_fmt", "yuv420p")
ONE_KEY = (*X264[:-4], "-g", "60", *X264[-2:])
_LOUD, _WHITE = 0.05, 180


def marked(
    seconds: float = 2,
    sound: float | None = 2,
    rate: str = "30",
    size: str = "160x90",
    suffix: str = ".mp4",
    coding: tuple[str, ...] = X264,
    filters: str = "",
    audio: str = "aac",
) -> Path:
    """Return a video of `seconds` with `sound` seconds of sound, or None."""
    square = "drawbox=c=white:w=32:h=32:t=fill:enable=lt(mod(t+.001\\,.5)\\,.1)"
    picture = f"testsrc2=s={size}:r={rate}:d={seconds},{square}" + (f",{filters}" if filters else "")
    tone = f"aevalsrc=.5*sin(5529*t)*lt(mod(t\\,.5)\\,.1):s=48000:d={sound}"
    hearing = ("-f", "lavfi", "-i", tone, "-c:a", audio) if sound else ()
    inputs = [*("-f", "lavfi", "-i", picture), *hearing[:4]]
    words = ("-threads", "2", *inputs, *coding, *hearing[4:])
    return made("marked", words, suffix, lambda path: ffmpeg(*words, str(path)))


def shifted(seconds: float, *, which: str, suffix: str = ".mp4", base: Path | None = None) -> Path:
    """Return a video whose picture, sound, or both ("all") come so many seconds later."""
    source = base or marked()
    maps = {"picture": ("0:v", "1:a"), "sound": ("1:v", "0:a"), "all": ("0:v", "0:a")}[which]
    words = ("-c", "copy", *(word for name in maps for word in ("-map", name)))
    return derived(source, words, suffix, before=("-itsoffset", str(seconds), "-i", str(source)))


def cut(suffix: str, *words: str, base: Path | None = None, before: tuple[str, ...] = ()) -> Path:
    """Return a video whose packets are copied."""
    return derived(base or marked(), ("-c", "copy", *words), suffix, before=before)


def joined(suffix: str, *parts: Path, live: bool = False) -> Path:
    """Return parts behind each other, as they are."""
    told = ("-f", "webm", "-live", "1") if live else ()
    listing = made("list", parts, ".txt", lambda path: path.write_text("".join(f"file {part}\n" for part in parts)))
    words = ("-f", "concat", "-safe", "0", "-i", str(listing), "-c", "copy", *told)
    return made("joined", words, suffix, lambda path: ffmpeg(*words, str(path)))


def held() -> Path:
    """Return a video whose last picture lasts a second and a thirtieth."""
    return cut(
        ".mp4",
        "-bsf:v",
        "setts=duration=if(eq(N\\,29)\\,(1+1/30)/TB\\,DURATION)",
        base=marked(1, 2, coding=(*X264, "-bf", "0")),
    )


def damaged(coding: tuple[str, ...] = ONE_KEY, kept: float = 0) -> Path:
    """Return a video of which three packets, 35 to 37, are zeros but for a share at their beginning."""
    source = marked(coding=coding)
    content = bytearray(source.read_bytes())
    for packet in packets(source, video=0)[35:38]:
        start, end = packet.pos + int(packet.size * kept), packet.pos + packet.size
        content[start:end] = bytes(end - start)
    return made("damaged", (kept, source), source.suffix, lambda path: path.write_bytes(content))


def cut_within_a_group() -> Path:
    """Return a transport stream whose first packets belong to a key frame that is not there."""
    whole = cut(".ts", base=marked(coding=(*X264[:-4], "-g", "20", *X264[-2:])))
    content = whole.read_bytes()
    within = content[: 188 * 3] + content[len(content) // 5 // 188 * 188 :]
    return made("within", whole, ".ts", lambda path: path.write_bytes(within))


PASSED = ("-fps_mode", "passthrough", "-enc_time_base", "1/120000", "-video_track_timescale", "120000")
INTERLACED = ("-c:v", "libx264", "-preset", "ultrafast", "-flags", "+ildct+ilme", "-x264-params", "tff=1")
ALPHA = "format=yuva420p,geq=lum='lum(X,Y)':cb='cb(X,Y)':cr='cr(X,Y)':a='if(lt(X,80),255,0)'"
PRORES_4444 = ("-c:v", "prores_ks", "-profile:v", "4444", "-pix_fmt", "yuva444p10le")
VP8 = ("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "300k")


def _vp8(size: str, sound: float = 1) -> Path:
    return marked(1, sound, size=size, suffix=".webm", coding=VP8, audio="libopus")


def _mpeg2(size: str) -> Path:
    return marked(1, 1, size=size, suffix=".ts", coding=("-c:v", "mpeg2video"), audio="mp2")


def cut_off(whole: Path, share: float) -> Path:
    """Return the first part of a file."""
    content = whole.read_bytes()
    first = content[: int(len(content) * share)]
    return made("cut", (share, whole), whole.suffix, lambda path: path.write_bytes(first))


def _gif(seconds: float) -> Path:
    return marked(seconds, None, "10", suffix=".gif", coding=())


def gappy(*told: str) -> Path:
    """Return an AVI on whose clock of 60 ticks a second each second has 10 pictures, at times 20."""
    coding = ("-c:v", "mpeg4", "-vf", "select=eq(mod(n\\,3)\\,0)+between(n\\,30\\,40)", "-fps_mode", "vfr")
    return cut(".avi", *told, base=marked(2, None, coding=coding))


def interlaced() -> Path:
    """Return 50 pictures of two fields."""
    fields = "tinterlace=interleave_top,setfield=tff"
    return marked(2, 2, "50", "180x144", ".ts", (*INTERLACED, "-r", "25"), fields, audio="mp2")


def telecined() -> Path:
    """Return a film of 24 pictures a second spread over fields."""
    return marked(3, None, "24000/1001", "180x144", coding=INTERLACED, filters="telecine=pattern=23,setfield=tff")


SOURCES: dict[str, Callable[[], Path]] = {
    "ordinary": marked,
    "late picture": lambda: shifted(0.9, which="picture"),
    "late picture, mkv": lambda: shifted(0.9, which="picture", suffix=".mkv"),
    "late picture, ts": lambda: shifted(0.9, which="picture", suffix=".ts"),
    "late picture between two frames": lambda: shifted(0.91, which="picture"),
    "a little late picture": lambda: shifted(0.2, which="picture"),
    "late sound": lambda: shifted(0.9, which="sound"),
    "all late": lambda: shifted(2, which="all", suffix=".mkv"),
    "a part of a long recording": lambda: shifted(100, which="all", suffix=".mkv"),
    "edit list": lambda: cut(".mp4", before=("-ss", "0.7")),
    "begins within a group": cut_within_a_group,
    "ts": lambda: cut(".ts"),
    "held last picture": held,
    "longer sound": lambda: marked(1, 2),
    "longer sound, mkv": lambda: cut(".mkv", base=marked(1, 2)),
    "longer sound, in fragments": lambda: cut(
        ".mp4", "-movflags", "dash+cmaf+frag_keyframe", base=marked(1, 2, coding=(*X264[:4], "-bf", "0", *X264[6:]))
    ),
    "longer sound, no lengths": lambda: joined(".webm", _vp8("160x90", 2), live=True),
    "a little longer sound": lambda: marked(1, 1.4),
    "shorter sound": lambda: marked(2, 1),
    "one picture": lambda: marked(1, 2, coding=(*X264, "-fps_mode", "vfr"), filters="select=eq(n\\,0)"),
    "one picture, silent": lambda: derived(marked(), ("-c:v", "libx264", "-frames:v", "1", "-an"), ".mp4"),
    "slides": lambda: marked(4, 4, "1/2"),
    "gif": lambda: _gif(2),
    "12 a second, apng": lambda: marked(2, None, "12", suffix=".apng", coding=("-plays", "0")),
    "gif with a held end": lambda: derived(_gif(1), ("-final_delay", "110"), ".gif"),
    "10 a second": lambda: marked(rate="10"),
    "12.5 a second": lambda: marked(rate="25/2"),
    "7.5 a second, ntsc": lambda: marked(rate="7500/1001"),
    "15 a second": lambda: marked(rate="15"),
    "variable": lambda: derived(marked(), (*X264, "-vf", "select=not(eq(mod(n\\,7)\\,3))", "-fps_mode", "vfr"), ".mp4"),
    "avi with gaps": gappy,
    "avi with gaps, piped": lambda: gappy("-seekable", "0"),
    "avi with b-frames": lambda: marked(2, 2, suffix=".avi", audio="pcm_s16le"),
    "avi with a gap of a tick": lambda: marked(suffix=".avi", coding=("-c:v", "mpeg4"), audio="mp3"),
    "realmedia, piped": lambda: marked(
        1, None, size="160x96", suffix=".rm", coding=("-c:v", "rv10", "-seekable", "0")
    ),
    "interlaced": interlaced,
    "telecined": telecined,
    "interlaced, dv": lambda: marked(1, None, "25", "720x576", ".dv", ("-c:v", "dvvideo")),
    "interlaced, mpeg-4 in avi": lambda: marked(
        1, None, "25", suffix=".avi", coding=("-c:v", "mpeg4", "-flags", "+ildct+ilme"), filters="setfield=bff"
    ),
    "size changes, vp8": lambda: joined(".webm", _vp8("160x90"), _vp8("90x160"), _vp8("160x90"), live=True),
    "size changes, h264": lambda: joined(".mkv", marked(1, 1), marked(1, 1, size="90x160")),
    "size changes, h264 in mp4": lambda: joined(".mp4", marked(1, 1), marked(1, 1, size="90x160")),
    "size changes, mpeg-2": lambda: joined(
        ".ts",
        *(_mpeg2(size) for size in ("160x90", "96x96")),
    ),
    "pixels change": lambda: joined(".ts", marked(1, 1, suffix=".ts"), marked(1, 1, suffix=".ts", filters="setsar=2")),
    "alpha, vp9": lambda: marked(
        1, None, suffix=".webm", coding=("-c:v", "libvpx-vp9", "-cpu-used", "8", "-auto-alt-ref", "0"), filters=ALPHA
    ),
    "alpha, prores": lambda: marked(
        1, None, suffix=".mov", coding=PRORES_4444, filters=ALPHA
    ),
    "alpha, png": lambda: marked(1, None, suffix=".mov", coding=("-c:v", "png", "-pix_fmt", "rgba"), filters=ALPHA),
    "side by side": lambda: cut(".mkv", "-metadata:s:v", "stereo_mode=left_right"),
    "turned on the way": lambda: joined(
        ".mkv",
        marked(1, 1),
        cut(".mp4", "-bsf:v", "h264_metadata=display_orientation=insert:rotate=90", base=marked(1, 1)),
    ),
    "turned by an odd angle, in header and pictures": lambda: turned(
        cut(".mp4", "-bsf:v", "h264_metadata=display_orientation=insert:rotate=45", base=marked(coding=ONE_KEY)),
        (0.7071, -0.7071, 0.7071, 0.7071),
    ),
    "colours as their primaries say": lambda: cut(
        ".mp4", "-bsf:v", "h264_metadata=matrix_coefficients=12:colour_primaries=1"
    ),
    "damaged": damaged,
    "ts that breaks off": lambda: cut_off(cut(".ts"), 0.99),
    "gif without its end": lambda: cut_off(_gif(2), 0.99999),
    "two video tracks": lambda: derived(
        marked(), ("-map", "0:v", "-map", "0:v", "-map", "0:a", "-c", "copy"), ".mkv"
    ),
    "second of two video tracks": lambda: derived(
        marked(1, 1, size="90x160"),
        ("-map", "1:v", "-map", "0", "-c", "copy", "-disposition:v:0", "0", "-disposition:v:1", "default"),
        ".mkv",
        before=("-i", str(marked())),
    ),
    "motion jpeg as the second of two": lambda: derived(
        marked(1, 1, size="90x160"),
        ("-map", "1:v", "-map", "0", "-c", "copy", "-disposition:v:0", "0", "-disposition:v:1", "default"),
        ".mkv",
        before=("-i", str(marked(suffix=".mkv", coding=("-c:v", "mjpeg", "-pix_fmt", "yuvj420p")))),
    ),
    "cover that no mark tells": lambda: derived(
        marked(),
        ("-map", "0", "-map", "1", "-c", "copy"),
        ".mkv",
        before=("-i", str(marked(1, None, size="64x64", suffix=".mkv", coding=("-c:v", "mjpeg", "-frames:v", "1")))),
    ),
    "119.88 a second": lambda: marked(
        1, None, "120", coding=(*X264, *PASSED), filters="settb=1/120000,setpts=1001*N"
    ),
    "raw h264": lambda: marked(2, None, suffix=".h264"),
    "raw mpeg-2": lambda: marked(2, None, "25", suffix=".m2v", coding=("-c:v", "mpeg2video", "-bf", "2")),
}  # fmt: skip

CODECS: dict[str, tuple[str, tuple[str, ...]]] = {
    "prores": (".mov", ("-c:v", "prores_ks", "-profile:v", "2", "-pix_fmt", "yuv422p10le")),
    "dnxhd": (".mov", ("-c:v", "dnxhd", "-profile:v", "dnxhr_lb", "-pix_fmt", "yuv422p", "-s", "256x144")),
    "dnxhd in mxf": (".mxf", ("-c:v", "dnxhd", "-profile:v", "dnxhr_lb", "-pix_fmt", "yuv422p", "-s", "256x144")),
    "av1 with grain": (".mp4", ("-c:v", "libsvtav1", "-preset", "12", "-svtav1-params", "film-grain=10")),
    "av1 in webm": (".webm", ("-c:v", "libsvtav1", "-preset", "12")),
    "vp9": (".webm", ("-c:v", "libvpx-vp9", "-cpu-used", "8", "-deadline", "realtime")),
    "vp8": (".mkv", VP8),
    "mpeg-2": (".mpg", ("-c:v", "mpeg2video", "-bf", "2")),
    "mpeg-2 in ts": (".ts", ("-c:v", "mpeg2video", "-bf", "2")),
    "mpeg-4": (".avi", ("-c:v", "mpeg4",)),
    "mjpeg": (".avi", ("-c:v", "mjpeg", "-pix_fmt", "yuvj420p")),
    "mjpeg in mov": (".mov", ("-c:v", "mjpeg", "-pix_fmt", "yuvj422p")),
    "raw": (".avi", ("-c:v", "rawvideo", "-pix_fmt", "bgr24")),
    "raw yuv": (".nut", ("-c:v", "rawvideo", "-pix_fmt", "yuv420p")),
    "raw 10 bits": (".mov", ("-c:v", "v210",)),
    "ffv1": (".mkv", ("-c:v", "ffv1",)),
    "hevc": (".mp4", ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error", "-tag:v", "hvc1")),
    "h264 in flv": (".flv", X264),
    "y4m": (".y4m", ()),
    "vp8 in ivf": (".ivf", VP8),
    "wmv": (".asf", ("-c:v", "wmv2",)),
    "animation": (".mov", ("-c:v", "qtrle", "-pix_fmt", "rgb24")),
}  # fmt: skip


@dataclass(frozen=True)
class Planned:
    """What would be rendered."""

    facts: SourceFacts
    grid: FrameGrid
    warnings: str


def planned(path: Path | str, *, captions_end: float = 0, **options: object) -> Planned:
    """Return it; `options` are those of a job, by their Python names."""
    facts, wanted = known(path) if isinstance(path, Path) else probe(path), Options(**options)
    grid, warnings = output_grid(facts, wanted, captions_end=captions_end)
    return Planned(facts, grid, " ".join([*warnings, *source_warnings(facts, wanted)]))


@dataclass(frozen=True)
class Marks:
    """When pictures are shown, squares appear and beeps begin, on the file's clock, in seconds."""

    pictures: list[float]
    flashes: list[float]
    beeps: list[float]


def marks(path: Path) -> Marks:
    """Return them; a square that is there in the first picture appears with it."""
    with av.open(str(path)) as container:
        shown = [
            (float(frame.time or 0), frame.to_ndarray(format="gray")[4:20, 4:20].mean()) for frame in _frames(container)
        ]
    lit = [brightness > _WHITE for _, brightness in shown]
    flashes = [shown[index][0] for index in range(len(lit)) if lit[index] and not (index and lit[index - 1])]
    return Marks([time for time, _ in shown], flashes, _beeps(path))


def _frames(container: av.container.InputContainer) -> list[av.VideoFrame]:
    found: list[av.VideoFrame] = []
    for packet in container.demux(video=0):
        with suppress(InvalidDataError):  # a damaged packet
            found += packet.decode()
    return found


def _beeps(path: Path) -> list[float]:
    beeps: list[float] = []
    last = -1.0
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return []
        resampler = av.AudioResampler(format="flt", layout="mono", rate=48000)
        for frame in container.decode(audio=0):
            for part in resampler.resample(frame):
                for index in np.flatnonzero(np.abs(part.to_ndarray()[0]) > _LOUD):
                    time = float(frame.time) + index / 48000
                    if time - last > 0.2:
                        beeps.append(time)
                    last = time
    return beeps
