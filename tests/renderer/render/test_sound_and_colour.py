"""What is not caption stays what it was: the sound bit for bit, colours by the source's matrix."""

from __future__ import annotations

import hashlib
from pathlib import Path

import av
import numpy as np
import pytest

from captions import box_cue, render_job, scenario, talk
from clips import Clip, counter, frames
from renders import rendered


def sound(path: Path) -> str:
    """Return a hash over the audio packets of a file."""
    digest = hashlib.sha256()
    with av.open(str(path)) as container:
        for packet in container.demux(audio=0):
            digest.update(bytes(packet))
    return digest.hexdigest()


@pytest.mark.parametrize("segments", [1, 3])
def test_the_sound_is_copied_bit_for_bit(segments: int, tmp_path: Path) -> None:
    source = counter(Clip())
    job = render_job(source, talk(2), tmp_path / "out.mp4")

    result = rendered(job, tmp_path, segments=segments)

    assert sound(Path(result.output)) == sound(source)


@pytest.mark.parametrize(
    ("height", "colour", "expected"),
    [
        (720, "#00ff00", (173, 42, 26)),
        (720, "#ff0000", (63, 102, 240)),
        (720, "#0000ff", (32, 240, 118)),
        (720, "#ffffff", (235, 128, 128)),
        (180, "#00ff00", (145, 54, 34)),
    ],
    ids=["green 709", "red 709", "blue 709", "white 709", "green 601"],
)
def test_a_pure_colour_decodes_to_what_the_standard_says(
    height: int, colour: str, expected: tuple[int, int, int], tmp_path: Path
) -> None:
    width = height * 16 // 9
    source = counter(Clip(width=width, height=height, frames=10))
    captions = scenario([box_cue("patch", 0, 1, (0.25, 0.5, 0.5, 0.4), colour)])
    job = render_job(source, captions, tmp_path / "out.mp4", quality=100)

    result = rendered(job, tmp_path)

    picture = frames(Path(result.output), "yuv420p")[5]
    luma, chroma = picture[:height], picture[height:].reshape(2, height // 2, width // 2)
    centre = (slice(height * 6 // 10, height * 8 // 10), slice(width * 4 // 10, width * 6 // 10))
    half = tuple(slice(part.start // 2, part.stop // 2) for part in centre)
    found = [float(np.median(luma[centre])), *(float(np.median(plane[half])) for plane in chroma)]
    assert found == pytest.approx(expected, abs=2)
