"""fliptype: letters are typed in; the flip is not drawn, as in the preview."""

from __future__ import annotations

import pytest

from plugin_page import PluginPage


def test_letters_start_unseen_and_small_and_end_in_their_place(page: PluginPage) -> None:
    page.show("word", "fliptype")
    assert [(part["opacity"], part["scale"]) for part in page.parts("letter", 0)] == [(0, pytest.approx(0.8))] * 4
    assert [(part["opacity"], part["written"]) for part in page.parts("letter", 1)] == [(1, "none")] * 4


@pytest.mark.parametrize(
    ("text", "params", "counts"),
    [
        # Seven letters begin within 0.47 of the time after 0.3 of it; the last ends at 0.8, which is stretched to 1.
        ("caption", {}, [0, 0, 2, 5, 7]),
        ("caption", {"typingDelay": 0}, [0, 2, 4, 6, 7]),
        ("caption", {"typingSpeed": 1000}, [0, 0, 0, 5, 7]),
        ("caption", {"typingSpeed": 1, "typingDelay": 0}, [0, 2, 4, 6, 7]),
        ("caption", {"typingDelay": 1}, [0, 0, 0, 0, 7]),
    ],
)
def test_letters_are_typed_in_after_the_delay(
    page: PluginPage, text: str, params: dict[str, object], counts: list[int]
) -> None:
    page.show(text, ("fliptype", params))
    shown = [sum(part["opacity"] > 0 for part in page.parts("letter", p)) for p in (0, 0.25, 0.5, 0.75, 1)]
    assert shown == counts


def test_a_letter_springs_a_little_beyond_its_size(page: PluginPage) -> None:
    [path, *_] = page.show("word", "fliptype").paths("letter", "scale", [frame / 200 for frame in range(201)])
    assert max(path) == pytest.approx(1.02, abs=0.005)


def test_nothing_flips(page: PluginPage) -> None:
    flipped = ("fliptype", {"flipAngle": 90, "flipDuration": 1, "flipDirection": "vertical"})
    htmls = page.show("word", "fliptype").htmls([0.25, 0.5, 0.75])
    assert page.show("word", flipped).htmls([0.25, 0.5, 0.75]) == htmls
    assert "rotateX" not in "".join(htmls)
