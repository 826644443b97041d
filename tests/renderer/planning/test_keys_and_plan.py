from fractions import Fraction
from typing import Any

import pytest

from ecg_api.options import Options
from ecg_api.plan import Plan
from ecg_renderer.model import FrameGrid, FrameRange
from ecg_renderer.planning import Cutting, estimate_seconds, frame_costs, job_key, make_plan, pre_roll, segment_key
from ecg_renderer.scenario import Scenario, prepare
from plan_facts import a_source

CUES = 20
EACH = 3.0  # seconds, without gaps
SECONDS = CUES * EACH
SOURCE = a_source(frames=int(SECONDS * 30))
VERSIONS = {"renderer": "1", "plugins": "abc"}


def captions() -> dict[str, Any]:
    """Return a minute of captions, each with one effect on its first second."""
    return {
        "version": "2.0",
        "pluginApiVersion": "3.0",
        "timebase": {"unit": "seconds"},
        "stage": {"baseAspect": "16:9"},
        "define": {},
        "tracks": [{"id": "caption", "type": "subtitle", "layer": 1}],
        "cues": [
            {
                "id": f"cue-{index}",
                "track": "caption",
                "domLifetime": [index * EACH, index * EACH + EACH],
                "root": {
                    "id": f"group-{index}",
                    "eType": "group",
                    "displayTime": [index * EACH, index * EACH + EACH],
                    "children": [
                        {
                            "id": f"word-{index}",
                            "eType": "text",
                            "text": f"caption {index}",
                            "displayTime": [index * EACH, index * EACH + EACH],
                            "baseTime": [index * EACH, index * EACH + 1],
                            "pluginChain": [{"name": "fadein", "timeOffset": [0, 0]}],
                        }
                    ],
                },
            }
            for index in range(CUES)
        ],
    }


def prepared(data: dict[str, Any]) -> Scenario:
    return prepare(data, duration=SECONDS, known_plugins={"fadein"})


def plan(data: dict[str, Any] | None = None, *, count: int = 6, **changes: Any) -> Plan:
    arguments: dict[str, Any] = {
        "name": "demo",
        "source": SOURCE,
        "scenario": prepared(data or captions()),
        "options": Options(),
        "cutting": Cutting(forced=count),
        "encoder": "x264",
        "versions": VERSIONS,
        "cores": 2,
    }
    return make_plan(**(arguments | changes))


def keys(of: Plan) -> list[str]:
    return [segment.content_key for segment in of.segments]


@pytest.mark.parametrize("edited", range(CUES))
def test_an_edited_cue_changes_the_keys_of_the_segments_that_show_it(edited: int) -> None:
    before = plan()
    data = captions()
    data["cues"][edited]["root"]["children"][0]["text"] = "something else"

    after = plan(data)

    shown = FrameRange(int(edited * EACH * 30), int((edited + 1) * EACH * 30))
    for one, other in zip(before.segments, after.segments, strict=True):
        touched = one.start < shown.end and shown.start < one.end
        assert (one.content_key != other.content_key) is touched


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ("options", Options(quality=80)),
        ("options", Options(preset="fast")),
        ("options", Options(format="mov")),
        ("options", Options(width=1280)),
        ("options", Options(fps=25)),
        ("options", Options(fit="contain")),
        ("options", Options(layout="preview")),
        ("options", Options(frame_policy="drop")),
        ("source", SOURCE.model_copy(update={"identity": "another file"})),
        ("encoder", "nvenc"),
        ("versions", {"renderer": "2", "plugins": "abc"}),
        ("versions", {"renderer": "1", "plugins": "abd"}),
        ("versions", {"renderer": "1", "plugins": "abc", "ffmpeg": "5.1"}),
    ],
)
def test_what_could_change_a_pixel_changes_every_key(change: str, value: object) -> None:
    assert not set(keys(plan())) & set(keys(plan(**{change: value})))


def test_what_cannot_change_a_pixel_changes_no_key() -> None:
    reordered = dict(reversed(captions().items()))
    reordered["define"] = {"unused": {"x": 1}}
    reordered["note"] = "not read by anything"
    same = [
        plan(name="another name"),
        plan(cores=16),
        plan(source=SOURCE.model_copy(update={"uri": "moved/clip.mp4"})),
        plan(options=Options(width=1920, height=1080, fps=30)),
        plan(options=Options(encoder="x264", unknown_plugins="fail")),
        plan(reordered),
    ]

    for other in same:
        assert keys(other) == keys(plan())


def test_keys_tell_segments_apart() -> None:
    empty = captions() | {"cues": []}

    assert len(set(keys(plan(empty, count=13)))) == 13


def key_of(frames: FrameRange, data: dict[str, Any], rate: Fraction = Fraction(30)) -> str:
    return segment_key(
        frames,
        FrameGrid(rate, 1800),
        (1920, 1080),
        source=SOURCE,
        scenario=prepared(data),
        options=Options(),
        encoder="x264",
        versions=VERSIONS,
    )


def test_a_segment_that_two_cuttings_share_has_one_key() -> None:
    first = plan(count=6).segments[0]

    assert key_of(FrameRange(first.start, first.end), captions()) == first.content_key


def test_a_cue_that_starts_with_the_next_segment_does_not_touch_this_one() -> None:
    data = captions()
    data["cues"][2]["root"]["children"][0]["text"] = "something else"

    assert key_of(FrameRange(0, 180), data) == key_of(FrameRange(0, 180), captions())
    assert key_of(FrameRange(0, 181), data) != key_of(FrameRange(0, 181), captions())


def test_the_same_frames_at_another_rate_have_another_key() -> None:
    nothing = captions() | {"cues": []}

    assert key_of(FrameRange(0, 90), nothing) != key_of(FrameRange(0, 90), nothing, Fraction(25))


def test_a_cue_that_is_only_replayed_before_a_segment_does_not_touch_it() -> None:
    data = captions()
    first = data["cues"][0]
    for holder, name in ((first, "domLifetime"), (first["root"], "displayTime")):
        holder[name] = [0, EACH + 0.5]  # seen with the second, gone before the segment
    first["root"]["children"][0]["displayTime"] = [0, EACH + 0.5]
    segment = FrameRange(120, 180)
    assert pre_roll(segment.start, prepared(data).cues, FrameGrid(Fraction(30), 1800)) == 90
    before = key_of(segment, data), key_of(FrameRange(100, 180), data)

    first["root"]["children"][0]["text"] = "something else"

    assert key_of(segment, data) == before[0]
    assert key_of(FrameRange(100, 180), data) != before[1]


def test_a_plan_says_what_is_to_be_done() -> None:
    made = plan(count=4, options=Options(width=1279, height=720))

    assert (made.width, made.height, made.rate, made.frames) == (1280, 720, "30/1", 1800)
    assert [segment.index for segment in made.segments] == [0, 1, 2, 3]
    assert made.captioned_frames == sum(segment.captioned_frames for segment in made.segments) == 1800
    # One second of each cue is animated; the next takes the place of the one before.
    assert made.distinct_frames_estimate == 20 * 30
    assert sum(segment.work for segment in made.segments) == 600 * 1280 * 720
    assert "1280x720 instead of 1279x720" in made.warnings[-1]
    assert Plan.model_validate_json(made.model_dump_json()) == made


def test_a_plan_passes_on_the_scenarios_warnings() -> None:
    data = captions()
    data["cues"][0]["root"]["children"][0]["style"] = None

    assert any("style" in warning for warning in plan(data).warnings)


def test_a_jobs_work_directory_outlives_edits_and_not_another_source() -> None:
    first = job_key("demo", "source-1", "/out.mp4")

    assert job_key("demo", "source-1", "/out.mp4") == first
    others = [
        job_key("other", "source-1", "/out.mp4"),
        job_key("demo", "source-2", "/out.mp4"),
        job_key("demo", "source-1", "/b.mp4"),
    ]
    assert len({first, *others}) == 4


def test_estimates_grow_with_the_work_and_shrink_with_cores() -> None:
    def estimate(preset: Any = "veryfast", encoder: Any = "x264", cores: int = 2, **work: int) -> float:
        costs = frame_costs(encoder, preset)
        counts = {"frames": 900, "captioned": 900, "distinct": 100} | work
        return estimate_seconds(costs, 1920 * 1080, cores=cores, **counts)

    assert 13 < estimate() < 20  # measured: about 15 s on two cores
    assert estimate(distinct=900) > estimate()
    assert estimate(frames=1800) > estimate()
    assert estimate(preset="slow") > estimate()
    assert estimate(encoder="vp9") > estimate()
    assert estimate(cores=8) < estimate()
    assert estimate(encoder="nvenc") < estimate()
    assert estimate(encoder="nvenc", cores=1000) > 2
