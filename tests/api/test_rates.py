from __future__ import annotations

import re
from fractions import Fraction

import pytest

from ecg_api.options import Options
from ecg_api.rational import parse_frame_rate, rate_words, to_rational

PATTERN = Options.model_json_schema()["properties"]["fps"]["anyOf"][0]["pattern"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (30, Fraction(30)),
        (1, Fraction(1)),
        (120, Fraction(120)),
        (25.0, Fraction(25)),
        (12.5, Fraction(25, 2)),
        (33.333333, Fraction(100, 3)),
        (23.976, Fraction(24000, 1001)),
        (23.98, Fraction(24000, 1001)),
        (29.97, Fraction(30000, 1001)),
        (30000 / 1001, Fraction(30000, 1001)),
        (47.952, Fraction(48000, 1001)),
        (59.94, Fraction(60000, 1001)),
        (119.88, Fraction(120000, 1001)),
        (29.9, Fraction(299, 10)),
        (23.95, Fraction(479, 20)),
        ("24", Fraction(24)),
        ("29.97", Fraction(30000, 1001)),
        ("30000/1001", Fraction(30000, 1001)),
        ("2997/100", Fraction(2997, 100)),
        ("50/2", Fraction(25)),
    ],
)
def test_a_rate_is_read_as_the_exact_one_that_was_meant(written: float | str, meant: Fraction) -> None:
    assert parse_frame_rate(written) == meant
    assert Options(fps=written).rate == meant


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        (0, "0 is below 1"),
        (0.5, "0.5 is below 1"),
        (-30, "-30 is below 1"),
        (121, "121 is above 120"),
        ("9000/1", "9000/1 is above 120"),
        ("1/2", "1/2 is below 1"),
        ("1/0", "'1/0' is not a frame rate"),
        ("fast", "'fast' is not a frame rate"),
        ("", "'' is not a frame rate"),
        ("30 ", "'30 ' is not a frame rate"),
        ("30\n", "is not a frame rate"),
        ("-30", "'-30' is not a frame rate"),
        ("nan", "'nan' is not a frame rate"),
        (float("nan"), "nan is not a frame rate"),
        (float("inf"), "inf is not a frame rate"),
        (True, "True is not a frame rate"),
        ([30], "is not a frame rate"),
    ],
)
def test_what_is_no_rate_is_refused_in_words(written: object, complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)):
        parse_frame_rate(written)


@pytest.mark.parametrize(
    "written",
    ["1", "9", "99", "100", "119", "120", "120.0", "119.88", "30000/1001", "25/1", "1.5",
     "0", "121", "120.5", "200", "abc", "", "1/0", "-1", "1.", ".5", "1e2", "30 fps"],
)  # fmt: skip
def test_a_cluster_takes_the_same_text_for_a_rate(written: str) -> None:
    try:
        parse_frame_rate(written)
        taken_here = True
    except ValueError:
        taken_here = False
    assert bool(re.search(PATTERN, written)) == taken_here


@pytest.mark.parametrize(
    ("written", "kept"),
    [(25, 25), (25.0, 25), (29.97, "29.97"), (12.5, "12.5"), (30000 / 1001, "29.97003"), ("30", "30")],
)
def test_a_rate_is_passed_on_without_floats_as_a_cluster_takes_it(written: float | str, kept: int | str) -> None:
    assert Options(fps=written).model_dump()["fps"] == kept
    assert isinstance(kept, int) or re.search(PATTERN, kept)


def test_an_omitted_rate_is_the_sources_own() -> None:
    assert Options().rate is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(Fraction(30), "30/1"), (Fraction(60000, 2002), "30000/1001"), (Fraction(-1, 3), "-1/3")],
)
def test_fractions_are_written_in_lowest_terms_with_a_denominator(value: Fraction, text: str) -> None:
    assert to_rational(value) == text
    assert Fraction(text) == value


@pytest.mark.parametrize(("rate", "shown"), [("30/1", "30"), ("30000/1001", "29.97"), ("24000/1001", "23.976")])
def test_rates_as_people_say_them(rate: str, shown: str) -> None:
    assert rate_words(rate) == shown
