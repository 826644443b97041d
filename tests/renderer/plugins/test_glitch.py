"""glitch: the text shakes like a broken screen and its colours come apart."""

from __future__ import annotations

import re

import pytest

from plugin_page import PluginPage

PROGRESS = [frame / 200 for frame in range(201)]
ALWAYS = {"glitchFrequency": 1}
RED, CYAN = "rgba(255, 0, 64, ", "rgba(0, 255, 255, "


@pytest.mark.parametrize("p", [0, 1])
def test_at_both_ends_the_text_is_whole(page: PluginPage, p: float) -> None:
    page.show("word", "glitch")
    own = page.evaluate("() => getComputedStyle(test.root()).textShadow")
    seen = page.only("whole", p)
    assert (seen["written"], seen["opacity"], seen["blur"], seen["shadow"]) == ("none", 1, 0, own)


@pytest.mark.parametrize(
    ("params", "most"), [(ALWAYS, 5), ({**ALWAYS, "glitchIntensity": 40}, 40), ({"glitchFrequency": 0}, 5 * 0.35)]
)
def test_it_shakes_as_far_as_told(page: PluginPage, params: dict[str, object], most: float) -> None:
    page.show("word", ("glitch", params))
    for look, farthest in (("x", most), ("y", most / 2)):
        [path] = page.paths("whole", look, PROGRESS)
        assert 0.6 * farthest < max(map(abs, path)) <= farthest
        assert min(path) < 0 < max(path)


def test_ten_pictures_for_each_1_of_duration(page: PluginPage) -> None:
    page.show("word", ("glitch", {"animationDuration": 1}))
    assert len(set(page.paths("whole", "written", PROGRESS)[0])) == pytest.approx(10, abs=1)
    page.show("word", ("glitch", {"animationDuration": 4}))
    assert len(set(page.paths("whole", "written", PROGRESS)[0])) > 30


@pytest.mark.parametrize("p", [0.25, 0.5, 0.75])
def test_red_and_cyan_lie_on_either_side_below_the_texts_own_shadow(page: PluginPage, p: float) -> None:
    shadow = page.show("word", "glitch", textShadow="1px 2px 3px rgb(1, 2, 3)").only("whole", p)["shadow"]
    red, cyan, own = re.split(r", (?=rgb)", shadow)
    assert red.startswith(RED)
    assert cyan.startswith(CYAN)
    assert own == "rgb(1, 2, 3) 1px 2px 3px"
    left, right = sorted(float(re.search(r"\) (\S+)px", part)[1]) for part in (red, cyan))  # type: ignore[index]
    assert -2.5 <= left <= -1
    assert 1 <= right <= 2.5
    for color in (red, cyan):
        assert 0.3 <= float(color.split(", ")[3].split(")")[0]) <= 0.8


def test_without_the_separation_the_shadow_is_left_alone(page: PluginPage) -> None:
    page.show("word", ("glitch", {"colorSeparation": False}))
    assert RED not in "".join(page.paths("whole", "shadow", PROGRESS)[0])


def test_noise_blurs_now_and_then_and_can_be_left_out(page: PluginPage) -> None:
    page.show("word", ("glitch", {**ALWAYS, "animationDuration": 10}))
    assert set(page.paths("whole", "blur", PROGRESS)[0]) == {0, 1}
    page.show("word", ("glitch", {**ALWAYS, "animationDuration": 10, "noiseEffect": False}))
    assert set(page.paths("whole", "blur", PROGRESS)[0]) == {0}


def test_it_flickers_and_slips_only_when_it_jumps(page: PluginPage) -> None:
    def looks(frequency: float) -> tuple[set[float], bool]:
        page.show("word", ("glitch", {"glitchFrequency": frequency, "animationDuration": 10}))
        written = page.paths("whole", "written", PROGRESS)[0]
        return set(page.paths("whole", "opacity", PROGRESS)[0]), any("skewX" in one for one in written)

    assert looks(1) == ({1, 0.35}, True)
    assert looks(0) == ({1}, False)
