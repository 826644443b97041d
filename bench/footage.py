"""The clip that is rendered: real footage, looped to any length without repeating itself.

The source is the 5.3 s of "Big Buck Bunny" that scripts/footage fetches. Its frames are renumbered to 30 a
second (converting 25 to 30 would double every fifth frame, and doubled frames cost an encoder nothing), every
other loop is mirrored, and a window pans over the picture with periods that are no multiples of the loop's.
"""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from bench.errors import BenchError

WIDTH, HEIGHT, RATE = 1920, 1080, 30
CACHE = Path.home() / ".cache" / "ecg-render"
SOURCE = CACHE / "footage" / "bigbuckbunny.mp4"

_LOOP_SECONDS = 132 / RATE  # the source has 132 frames
_PICTURE = (
    f"setpts=N/({RATE}*TB),"
    f"hflip=enable='eq(mod(floor(t/{_LOOP_SECONDS}),2),1)',"
    "crop=iw*0.86:ih*0.86:(iw-ow)*(0.5+0.5*sin(2*PI*t/17)):(ih-oh)*(0.5+0.5*sin(2*PI*t/23)),"
    "scale={width}:{height}:flags=lanczos,setsar=1,format=yuv420p"
)
_SOUND = "atempo=1.2,aformat=channel_layouts=stereo:sample_rates=48000"
_ENCODING = (
    *("-c:v", "libx264", "-preset", "fast", "-crf", "18", "-g", str(2 * RATE)),
    *("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv"),
    *("-c:a", "aac", "-b:a", "160k"),
)


def footage(seconds: int, source: Path = SOURCE, *, height: int = HEIGHT) -> Path:
    """Return a 16:9, 30 fps, H.264 + AAC clip of `seconds`, made once and then kept in the cache; 0 is a single frame.

    Raises `BenchError` if the source is missing or FFmpeg cannot make the clip.
    """
    if not source.is_file():
        raise BenchError(
            f"The footage {source} is missing. `scripts/footage` fetches it; any other video can be named "
            "with --footage."
        )
    picture = _PICTURE.format(width=height * WIDTH // HEIGHT, height=height)
    recipe = hashlib.sha256(repr((picture, _SOUND, _ENCODING, source.stat().st_size)).encode()).hexdigest()
    clip = CACHE / "bench" / f"{source.stem}-{height}p{RATE}-{seconds}s-{recipe[:8]}.mp4"
    if not clip.is_file():
        clip.parent.mkdir(parents=True, exist_ok=True)
        _make(source, max(1, seconds * RATE), picture, clip)
    return clip


def _make(source: Path, frames: int, picture: str, clip: Path) -> None:
    unfinished = clip.with_suffix(".part.mp4")
    command = [
        *("ffmpeg", "-hide_banner", "-loglevel", "error", "-nostdin", "-y"),
        *("-stream_loop", "-1", "-i", str(source)),
        *("-vf", picture, "-af", _SOUND, *_ENCODING),
        *("-r", str(RATE), "-frames:v", str(frames), "-t", f"{frames / RATE:.6f}"),
        *("-movflags", "+faststart", str(unfinished)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        unfinished.unlink(missing_ok=True)
        raise BenchError(f"FFmpeg could not make the clip from {source}:\n{done.stderr[-800:]}")
    unfinished.rename(clip)
