"""A render that was watched, made once a test run: its folder, and its playlists as they were on the way.

watched()           a folder with live.m3u8 and three pieces of two seconds each, video and sound
after(folder, 2)    the playlists as they were when two pieces were finished, by their paths
"""

from __future__ import annotations

import atexit
import functools
import re
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from captions import render_job, talk
from clips import Clip, counter
from ecg_api.live import END, FOLDER, MASTER, SOUND, VIDEO
from ecg_api.renderjob import Live, RenderJob
from renders import rendered

PIECES, FRAMES = 3, 180
CLIP = Clip(frames=FRAMES)


def watched_job(folder: Path, clip: Clip = CLIP) -> RenderJob:
    """Return a job without captions, so that no browser is needed, which can be watched in `folder`."""
    job = render_job(counter(clip), {**talk(1.0), "cues": []}, folder / "out.mp4")
    live = Live(uri=str(folder / "watch"))
    return job.model_copy(update={"spec": job.spec.model_copy(update={"live": live})})


@functools.cache
def watched() -> Path:
    """Return the folder of a render that is over; out.mp4 beside it is the result."""
    directory = tempfile.TemporaryDirectory(prefix="ecg-watched-")
    atexit.register(directory.cleanup)
    folder = Path(directory.name)
    # In a thread of its own: in that of a test, Playwright may count as a running event loop.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: rendered(watched_job(folder), folder, segments=PIECES)).result()
    return folder / "watch"


def after(folder: Path, pieces: int) -> dict[str, str]:
    """Return the playlists as they were when so many pieces were finished, and more was to come."""
    texts = {MASTER: (folder / MASTER).read_text()}
    for name in (VIDEO, SOUND):
        head, *entries = re.split(r"(?=#EXTINF)", (folder / FOLDER / name).read_text().removesuffix(END))
        texts[f"{FOLDER}/{name}"] = "".join([head, *entries[:pieces]])
    return texts


def decoded(playlist: str, kind: str) -> list[str]:
    """Return a hash of each decoded frame that FFmpeg finds behind a playlist, or in a file: v for video, a sound."""
    allowed = ["-protocol_whitelist", "file,http,tcp"]
    command = ["ffmpeg", "-v", "error", *allowed, "-i", playlist, "-map", f"0:{kind}:0", "-f", "framemd5", "-"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=150)
    return [line.split(",")[-1].strip() for line in done.stdout.splitlines() if not line.startswith("#")]
