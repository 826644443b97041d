import subprocess
from fractions import Fraction
from pathlib import Path

import pytest

from ecg_api.options import Options
from ecg_renderer.errors import OptionsError
from ecg_renderer.model import FrameGrid
from ecg_renderer.planning import output_grid, output_size
from plan_facts import RATES, a_source


@pytest.mark.parametrize("rate", RATES, ids=str)
@pytest.mark.parametrize("frames", [1, 2, 899, 900, 17_982])
def test_at_the_sources_own_rate_each_frame_stays_one_frame(rate: Fraction, frames: int) -> None:
    source = a_source(rate=str(rate), frames=frames)

    assert output_grid(source, Options()) == (FrameGrid(rate, frames), [])
    assert output_grid(source, Options(fps=str(rate))) == (FrameGrid(rate, frames), [])


@pytest.mark.parametrize(
    ("rate", "frames", "fps", "expected"),
    [
        ("30", 300, 60, 600),
        ("60", 600, 30, 300),
        ("25", 250, 30, 300),
        ("24000/1001", 240, 30, 300),
        ("30000/1001", 300, 30, 300),
        ("30", 300, 29.97, 300),
        ("24", 1, 60, 3),
        ("25", 1, 1, 1),
        ("30", 45, 1, 2),
    ],
)
def test_at_another_rate_the_duration_decides_and_halves_are_rounded_up(
    rate: str, frames: int, fps: int, expected: int
) -> None:
    grid, warnings = output_grid(a_source(rate=rate, frames=frames), Options(fps=fps))

    assert grid.frames == expected
    assert warnings == []


def test_a_variable_rate_becomes_constant_with_a_warning() -> None:
    source = a_source(rate="30000/1001", frames=200, variable_rate=True, duration_seconds=10.01)

    grid, warnings = output_grid(source, Options())

    assert grid == FrameGrid(Fraction(30000, 1001), 300)
    assert "constant 29.97 frames per second" in warnings[0]
    assert "options.fps" in warnings[0]
    assert output_grid(source, Options(fps=25))[0] == FrameGrid(Fraction(25), 250)


def test_a_half_frame_of_a_variable_rate_is_not_lost_to_a_double() -> None:
    # 0.3 s of 25 frames a second are 7.5 frames; the double 0.3 is a little less.
    source = a_source(rate="25", frames=5, variable_rate=True, duration_seconds=0.3)

    assert output_grid(source, Options())[0].frames == 8


@pytest.mark.parametrize(
    ("source_rate", "frames"), [("24000/1001", 7), ("25", 7), ("30", 9), ("30000/1001", 50), ("60", 3)]
)
def test_the_number_of_frames_is_what_ffmpegs_fps_filter_gives(tmp_path: Path, source_rate: str, frames: int) -> None:
    clip = tmp_path / "clip.mp4"
    made = f"color=size=32x32:rate={source_rate}"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", made, "-frames:v", str(frames), str(clip)]
    subprocess.run(command, check=True)

    for rate in (Fraction("24000/1001"), Fraction(25), Fraction(50), Fraction("60000/1001")):
        command = ["ffmpeg", "-v", "error", "-i", str(clip), "-vf", f"fps={rate}", "-f", "framecrc", "-"]
        listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        counted = sum(not line.startswith("#") for line in listed.splitlines())

        grid, _ = output_grid(a_source(rate=source_rate, frames=frames), Options(fps=str(rate)))
        assert grid.frames == counted, f"{source_rate} to {rate}"


@pytest.mark.parametrize(
    ("source", "options", "expected"),
    [
        ((1920, 1080), {}, (1920, 1080)),
        ((1920, 1080), {"width": 1280, "height": 720}, (1280, 720)),
        ((1920, 1080), {"width": 1080, "height": 1920}, (1080, 1920)),
        ((1920, 1080), {"width": 1280}, (1280, 720)),
        ((1920, 1080), {"height": 720}, (1280, 720)),
        ((1080, 1920), {"height": 1280}, (720, 1280)),
        ((853, 480), {"height": 480}, (854, 480)),
        ((1000, 562), {"width": 500}, (500, 282)),
    ],
)
def test_the_size_is_the_sources_where_options_leave_it_open(
    source: tuple[int, int], options: dict[str, int], expected: tuple[int, int]
) -> None:
    facts = a_source(width=source[0], height=source[1])

    assert output_size(facts, Options(**options)) == (*expected, [])


@pytest.mark.parametrize(
    ("source", "options", "expected"),
    [
        ((853, 480), {}, (854, 480)),
        ((641, 361), {}, (642, 362)),
        ((1920, 1080), {"width": 1279, "height": 719}, (1280, 720)),
        ((1920, 1080), {"width": 1279}, (1280, 720)),
    ],
)
def test_odd_sides_are_rounded_up_with_a_warning(
    source: tuple[int, int], options: dict[str, int], expected: tuple[int, int]
) -> None:
    width, height, warnings = output_size(a_source(width=source[0], height=source[1]), Options(**options))

    assert (width, height) == expected
    assert f"{width}x{height} instead of" in warnings[0]


@pytest.mark.parametrize(("options", "said"), [({"width": 7680}, "height 13654"), ({"height": 64}, "width 36")])
def test_a_side_that_follows_the_shape_beyond_the_bounds_is_refused(options: dict[str, int], said: str) -> None:
    with pytest.raises(OptionsError, match=said) as refused:
        output_size(a_source(width=1080, height=1920), Options(**options))

    assert "options.fit" in refused.value.hint


@pytest.mark.parametrize(
    ("source", "expected"),
    [((8192, 4320), (7680, 4050)), ((4320, 8192), (4050, 7680)), ((100_000, 100), (7680, 8)), ((7680, 7680), None)],
)
def test_a_source_with_longer_sides_than_can_be_rendered_is_made_smaller(
    source: tuple[int, int], expected: tuple[int, int] | None
) -> None:
    width, height, warnings = output_size(a_source(width=source[0], height=source[1]), Options())
    assert (width, height) == (expected or source)
    said = f"The result is {width}x{height}: the source's {source[0]}x{source[1]} is more than the 7680 pixels a side"
    assert [warning[: len(said)] for warning in warnings] == ([said] if expected else [])
