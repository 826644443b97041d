from fractions import Fraction
from typing import Any

import pytest

from ecg_api.options import Options
from ecg_api.plan import Plan, SeekPoint
from ecg_renderer.capture import check_key
from ecg_renderer.model import CaptureWay, FrameGrid, FrameRange
from ecg_renderer.planning import Activity, Cutting, Planner, make_plan, reusing, with_encoder
from ecg_renderer.planning.cutting import estimate_seconds, frame_costs
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
    return prepare(data, duration=SECONDS, known_plugins={"fadein": {}})


def plan(data: dict[str, Any] | None = None, *, count: int = 6, **changes: Any) -> Plan:
    return planned(data, count=count, **changes)[0]


def planned(data: dict[str, Any] | None = None, *, count: int = 6, **changes: Any) -> tuple[Plan, Planner]:
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
    return [cell.key for cell in of.cells]


@pytest.mark.parametrize("edited", range(CUES))
def test_an_edited_cue_changes_the_keys_of_the_cells_that_show_it(edited: int) -> None:
    before = plan()
    data = captions()
    data["cues"][edited]["root"]["children"][0]["text"] = "something else"

    after = plan(data)

    shown = FrameRange(int(edited * EACH * 30), int((edited + 1) * EACH * 30))
    for number, (one, other) in enumerate(zip(before.cells, after.cells, strict=True)):
        start, end = before.cell_range(number)
        touched = start < shown.end and shown.start < end
        assert (one.key != other.key) is touched


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ("options", Options(quality=80)),
        ("options", Options(preset="fast")),
        ("options", Options(width=1280)),
        ("options", Options(fps=25)),
        ("options", Options(fit="contain")),
        ("options", Options(layout="preview")),
        ("options", Options(frame_policy="drop")),
        ("source", SOURCE.model_copy(update={"identity": "another file"})),
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
        plan(options=Options(format="mov")),
        plan(encoder="nvenc"),
        plan(reordered),
    ]

    for other in same:
        assert keys(other) == keys(plan())


def test_keys_tell_cells_apart() -> None:
    empty = captions() | {"cues": []}

    assert len(set(keys(plan(empty, count=13)))) == len(keys(plan(empty, count=13))) == 14


def test_cells_lie_on_one_grid_however_many_segments_there_are() -> None:
    assert [len(plan(cutting=Cutting(max_segments=count)).cells) for count in (1, 2, 3)] == [6, 6, 6]
    assert keys(plan(cutting=Cutting(max_segments=1))) == keys(plan(cutting=Cutting(target_seconds=20)))


def with_edge(data: dict[str, Any], seconds: float, text: str) -> dict[str, Any]:
    """Return captions whose only cue begins at `seconds`."""
    cue = data["cues"][0]
    word = cue["root"]["children"][0] | {"text": text, "displayTime": [seconds, 60], "pluginChain": []}
    root = cue["root"] | {"displayTime": [seconds, 60], "children": [word]}
    return data | {"cues": [cue | {"domLifetime": [seconds, 60], "root": root}]}


@pytest.mark.parametrize(("seconds", "untouched"), [(10, 1), (9.99, 1), (9.9, 0), (20, 2)])
def test_a_cue_that_starts_with_the_next_cell_does_not_touch_this_one(seconds: float, untouched: int) -> None:
    one, other = (keys(plan(with_edge(captions(), seconds, text))) for text in ("this", "that"))

    assert [a == b for a, b in zip(one, other, strict=True)] == [True] * untouched + [False] * (6 - untouched)


def test_a_cue_that_is_over_before_a_cell_does_not_touch_it() -> None:
    def edited(text: str) -> list[str]:
        data = captions()
        first = data["cues"][0]
        for holder, name in ((first, "domLifetime"), (first["root"], "displayTime")):
            holder[name] = [0, 9.5]  # seen with others that go on into the next cell
        first["root"]["children"][0] |= {"displayTime": [0, 9.5], "text": text}
        return keys(plan(data))

    assert [a == b for a, b in zip(edited("this"), edited("that"), strict=True)] == [False, *[True] * 5]


def test_the_same_frames_at_another_rate_have_another_key() -> None:
    nothing = captions() | {"cues": []}
    rates = [plan(nothing, options=Options(fps=rate), count=1) for rate in (25, 30)]

    assert not set(keys(rates[0])) & set(keys(rates[1]))


def test_where_reading_begins_is_part_of_the_key() -> None:
    indexed = SOURCE.model_copy(update={"seek_points": [SeekPoint(9.5, 9.7)]})
    before, after = plan(), plan(source=indexed)

    assert after.cells[1].seek == 9.5
    assert before.cells[1].key != after.cells[1].key
    assert after.cells[0].seek is None


def test_what_is_kept_is_not_rendered_again() -> None:
    whole = plan(cutting=Cutting())
    activity = Activity.of(prepared(captions()).cues, FrameGrid(Fraction(30), 1800))

    some = reusing(whole, activity, Cutting(), kept={0, 1, 4}, cores=2)
    none = reusing(whole, activity, Cutting(), kept=range(6), cores=2)

    assert [(part.start, part.end) for part in some.segments] == [(600, 1200), (1500, 1800)]
    assert [cell.reused for cell in some.cells] == [True, True, False, False, True, False]
    assert (none.segments, none.reused_cells) == ([], 6)
    assert whole.estimated_seconds > some.estimated_seconds > none.estimated_seconds


def test_an_encoder_that_takes_less_gets_less() -> None:
    full = plan(source=SOURCE.model_copy(update={"bit_depth": 10, "full_range": True}))

    assert (full.target.colour.bit_depth, full.target.colour.full_range) == (10, True)
    limited = with_encoder(full, "nvenc").target
    assert (limited.encoder, limited.colour.bit_depth, limited.colour.full_range) == ("nvenc", 8, False)
    assert with_encoder(full, "hevc-nvenc").target.colour.bit_depth == 10


def test_a_plan_says_what_is_to_be_done() -> None:
    made = plan(count=4, options=Options(width=1279, height=720))

    target = made.target
    assert (target.width, target.height, target.rate, target.frames) == (1280, 720, "30/1", 1800)
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


def test_a_way_that_passed_for_one_part_of_a_job_is_not_checked_again_for_another() -> None:
    data = captions()
    data["cues"][0]["root"]["children"][0] |= {"pluginChain": [], "style": {"color": "#fff"}}
    _, planner = planned(data)
    first, later = planner.film(FrameRange(0, 60)), planner.film(FrameRange(120, 180))
    assert (first.plugins, later.plugins) == ((), ("fadein",))

    verdicts = {check_key(CaptureWay.CANVAS, "156.0", film) for film in (first, later)}

    assert len(verdicts) == 1
    data["cues"][5]["root"]["children"][0]["style"] = {"letterSpacing": 0.1}
    assert check_key(CaptureWay.CANVAS, "156.0", planned(data)[1].film(FrameRange(0, 60))) not in verdicts
