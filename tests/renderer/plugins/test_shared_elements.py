"""What several plugins ask of one element is combined."""

from __future__ import annotations

from typing import Any

import pytest

from plugin_page import PluginPage

SETUP = """async () => {
    const { painter, poser } = await import('/plugins/lib/look.mjs');
    const element = document.createElement('span');
    const style = () => [element.style.transform, element.style.opacity, element.style.color];
"""


def looks(page: PluginPage, script: str) -> Any:
    """Run `script` with `poser`, `painter`, an `element` and its `style()`; return what it returns."""
    return page.evaluate(SETUP + script + "}")


@pytest.mark.parametrize("order", ["first(a); second(b);", "second(b); first(a);", "first(b); second(b); first(a);"])
def test_moves_add_up_and_scales_and_opacities_multiply(page: PluginPage, order: str) -> None:
    transform, opacity, _ = looks(
        page,
        f"""const first = poser(element), second = poser(element);
        const a = {{ x: 1, y: 2, scale: 0.5, rotate: 10, opacity: 0.5 }}, b = {{ x: 10, scale: 3, opacity: 0.5 }};
        {order}
        return style();""",
    )
    assert transform == "translate(11px, 2px) rotate(10deg) scale(1.5)"
    assert opacity == "0.25"


def test_what_a_pose_leaves_out_is_at_rest(page: PluginPage) -> None:
    assert looks(page, "const pose = poser(element); pose({ x: 5, opacity: 0 }); pose({}); return style();") == [
        "none",
        "1",
        "",
    ]


@pytest.mark.parametrize(
    ("pose", "written"),
    [
        ("{ x: 1.23456 }", "translate(1.23px, 0px)"),
        ("{ y: -0.001 }", "none"),
        ("{ scale: 1.23456 }", "scale(1.235)"),
        ("{ rotate: 0.00123 }", "none"),
        ("{ x: 1e-9, scale: 1e-9 }", "scale(0)"),
    ],
)
def test_differences_that_nobody_sees_are_not_written(page: PluginPage, pose: str, written: str) -> None:
    assert looks(page, f"poser(element)({pose}); return style();")[0] == written


@pytest.mark.parametrize("order", ["red(0.4); blue(0.6);", "blue(0.6); red(0.4);"])
def test_the_colour_that_is_further_on_its_way_is_seen(page: PluginPage, order: str) -> None:
    script = "const red = painter(element, [255, 0, 0]), blue = painter(element, [0, 0, 255]);"
    assert looks(page, script + order + "return style();")[2] == "rgb(85, 85, 255)"


def test_styles_are_written_only_when_they_change(page: PluginPage) -> None:
    writes = looks(
        page,
        """let writes = 0;
        const set = (style, key, value) => ((style[key] = value), (writes += 1), true);
        const counted = new Proxy(element.style, { set });
        const pose = poser({ style: counted }), paint = painter({ style: counted }, [0, 0, 255]);
        pose({ x: 1, opacity: 0.5 });
        paint(0.5);
        const before = writes;
        pose({ x: 1.001, opacity: 0.501 });
        paint(0.51);
        return writes - before;""",
    )
    assert writes == 0
