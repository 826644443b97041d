"""Every output frame shows the source frame and the caption that belong to it, in one segment or in many."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from clips import Clip, Numbers, counter, derived, read_counters
from encodes import Render

RATES = ("24000/1001", "24", "25", "30000/1001", "30", "50", "60000/1001", "60")
FRAMES = 40
CAPTIONS = [(frame, frame) for frame in range(3, 200, 7)]


def shown(render: Render, count: int) -> list[Numbers]:
    return [numbers for segment in render.segments(count) for numbers in read_counters(segment)]


def caption_at(frame: int) -> int | None:
    return max((start for start, _ in CAPTIONS if start <= frame), default=None)


@pytest.mark.parametrize("rate", RATES)
def test_every_frame_shows_its_own_number_and_its_caption_in_one_segment_and_in_merged_ones(
    rate: str, tmp_path: Path
) -> None:
    render = Render(counter(Clip(rate=rate, frames=FRAMES)), tmp_path, captions=CAPTIONS)
    expected = [Numbers(frame, caption_at(frame)) for frame in range(FRAMES)]
    assert shown(render, 1) == expected
    path, merged = render.merged(render.segments(3))
    assert merged.verified.frames == FRAMES
    assert read_counters(path) == expected


@pytest.mark.parametrize(
    ("source", "output"),
    [("25", "30"), ("24", "60"), ("30", "24000/1001"), ("25", "60000/1001"), ("30000/1001", "30"), ("60", "30")],
)
def test_at_another_rate_each_frame_shows_the_nearest_source_frame(source: str, output: str, tmp_path: Path) -> None:
    rate, ratio = Fraction(output), Fraction(output) / Fraction(source)
    render = Render(counter(Clip(rate=source, frames=FRAMES)), tmp_path, rate=rate, captions=CAPTIONS)
    places = [int(number * ratio + Fraction(1, 2)) for number in range(FRAMES)]
    expected = [
        Numbers(max(number for number, place in enumerate(places) if place <= frame), caption_at(frame))
        for frame in range(render.frames)
    ]
    assert shown(render, 1) == expected
    assert shown(render, 3) == expected


CONTAINERS = {
    "mkv, whole milliseconds": lambda: derived(counter(Clip(rate="30000/1001")), ("-c", "copy"), ".mkv"),
    "ts, starting at 1.4 s": lambda: derived(counter(Clip(rate="30000/1001")), ("-c", "copy"), ".ts"),
    "avi, without presentation times": lambda: counter(
        Clip(suffix=".avi", codec="mpeg4", audio="mp3", video=("-bf", "2", "-q:v", "2"))
    ),
    "mpeg, with few presentation times": lambda: counter(
        Clip(suffix=".mpg", codec="mpeg2video", audio="mp2", video=("-bf", "2", "-q:v", "2"))
    ),
    "open groups of pictures": lambda: counter(
        Clip(video=("-preset", "ultrafast", "-crf", "16", "-g", "12", "-bf", "3", "-x264-params", "open-gop=1"))
    ),
    "fragmented mp4": lambda: derived(counter(Clip()), ("-c", "copy", "-movflags", "frag_keyframe+empty_moov"), ".mp4"),
    "vp8 with hidden frames": lambda: counter(
        Clip(
            suffix=".webm", codec="libvpx", audio="libopus",
            video=("-b:v", "2M", "-g", "10", "-auto-alt-ref", "1", "-lag-in-frames", "5", "-cpu-used", "8"),
        )
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CONTAINERS)
def test_sources_with_odd_clocks_lose_and_repeat_no_frame(name: str, tmp_path: Path) -> None:
    render = Render(CONTAINERS[name](), tmp_path)
    assert render.frames == 60
    one = shown(render, 1)
    assert [numbers.source for numbers in one] == list(range(60))
    assert shown(render, 4) == one


def test_open_groups_of_hevc_show_the_same_frames_in_many_segments(tmp_path: Path) -> None:
    coding = ("-preset", "superfast", "-x265-params", "keyint=25:bframes=4:b-adapt=0:log-level=none")
    render = Render(counter(Clip(rate="25", frames=130, codec="libx265", video=coding)), tmp_path)
    assert [numbers.source for numbers in shown(render, 26)] == list(range(130))


def test_a_video_that_starts_late_begins_with_its_own_first_frame(tmp_path: Path) -> None:
    base = counter(Clip(rate="30000/1001"))
    late = derived(
        base, ("-c", "copy", "-map", "0:v", "-map", "1:a"), ".mp4", before=("-itsoffset", "0.2", "-i", str(base))
    )
    render = Render(late, tmp_path)
    assert render.source.start == Fraction(1, 5)
    assert [numbers.source for numbers in shown(render, 3)] == list(range(60))


def test_frames_hidden_by_an_edit_list_stay_hidden(tmp_path: Path) -> None:
    cut = derived(counter(Clip()), ("-c", "copy"), ".mp4", before=("-ss", "0.5"))
    render = Render(cut, tmp_path)
    assert [numbers.source for numbers in shown(render, 2)] == list(range(15, 60))


def test_a_recording_that_starts_between_key_frames_begins_with_the_first_whole_frame(tmp_path: Path) -> None:
    whole = derived(counter(Clip(rate="30000/1001")), ("-c", "copy"), ".ts").read_bytes()
    cut = tmp_path / "cut.ts"
    cut.write_bytes(whole[188 * 30 :])
    render = Render(cut, tmp_path)
    assert [numbers.source for numbers in shown(render, 3)] == list(range(12, 60))


def test_a_variable_rate_becomes_constant_the_same_way_in_many_segments(tmp_path: Path) -> None:
    uneven = "select='not(mod(n,7))+not(mod(n,3))',settb=1/90000"
    output = ("-fps_mode", "passthrough", "-enc_time_base", "1/90000")
    render = Render(counter(Clip(filters=uneven, output=output)), tmp_path, captions=CAPTIONS)
    assert render.source.variable_rate
    one = shown(render, 1)
    assert len(one) == render.frames
    assert shown(render, 4) == one
    # The source's pictures are those of 30 a second that are divisible by 3 or 7.
    kept = [number for number in range(200) if number % 3 == 0 or number % 7 == 0]
    for frame, numbers in enumerate(one):
        assert abs(numbers.source - frame * 30 / render.rate) <= 3.0, frame
        assert numbers.source in kept


def test_a_still_stretch_across_a_cut_shows_the_frame_from_before_it(tmp_path: Path) -> None:
    # Frames 10 to 49 are missing: as a screen recorder leaves out what does not change.
    output = ("-fps_mode", "passthrough", "-enc_time_base", "1/90000")
    render = Render(
        counter(Clip(frames=25, filters="select='lt(n,10)+gt(n,49)',settb=1/90000", output=output)), tmp_path
    )
    middle = render.segment(20, 30)
    assert {numbers.source for numbers in read_counters(middle)} == {9}


def test_a_long_last_frame_is_held_to_the_end(tmp_path: Path) -> None:
    base = counter(Clip(frames=20, audio=None, video=("-preset", "ultrafast", "-bf", "0")))
    held = ("-c", "copy", "-bsf:v", "setts=duration=if(eq(N\\,19)\\,15360*2\\,DURATION):ts=TS+eq(N\\,19)*512*7")
    render = Render(derived(base, held, ".mp4"), tmp_path)
    expected = [*range(19), *([18] * 7), *([19] * 60)]
    assert [numbers.source for numbers in shown(render, 1)] == expected
    assert [numbers.source for numbers in shown(render, 3)] == expected


def test_captions_before_their_first_frame_are_not_shown(tmp_path: Path) -> None:
    render = Render(counter(Clip()), tmp_path, captions=[(37, 5)])
    assert [numbers.caption for numbers in shown(render, 1)] == [None] * 37 + [5] * 23


def test_the_same_segment_encoded_again_has_the_same_bytes(tmp_path: Path) -> None:
    render = Render(counter(Clip()), tmp_path, captions=CAPTIONS)
    first = render.segment(10, 50).read_bytes()
    assert render.segment(10, 50).read_bytes() == first
