"""Exact rates and times: fractions in memory, `numerator/denominator` in JSON, numbers in manifests."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import Annotated

from pydantic import AfterValidator

LOWEST_RATE = Fraction(1)
HIGHEST_RATE = Fraction(120)
# 29.97 is how people write 30000/1001: these nominal rates have such a sibling.
NTSC_NOMINAL_RATES = (24, 30, 48, 60, 120)
NTSC_TOLERANCE = Fraction(5, 1000)

_RATIONAL = re.compile(r"-?[0-9]+/[1-9][0-9]*")
_WRITTEN_RATE = re.compile(r"[0-9]{1,3}(\.[0-9]{1,6})?|[0-9]{1,7}/[1-9][0-9]{0,6}")


def to_rational(value: Fraction) -> str:
    """Return `value` as `numerator/denominator` in lowest terms: 30 is `30/1`."""
    return f"{value.numerator}/{value.denominator}"


def rate_words(rate: Fraction | str) -> str:
    """Return an exact rate such as 30000/1001 as people say it: 29.97."""
    return f"{float(Fraction(rate)):.3f}".rstrip("0").rstrip(".")


def _check_rational(text: str) -> str:
    if not _RATIONAL.fullmatch(text):
        raise ValueError(f"{text!r} is not a fraction such as 30000/1001")
    return text


def _check_positive_rational(text: str) -> str:
    if Fraction(_check_rational(text)) <= 0:
        raise ValueError(f"{text} is not above 0")
    return text


Rational = Annotated[str, AfterValidator(_check_rational)]
"""A fraction as text, `numerator/denominator`; may be negative or zero."""

PositiveRational = Annotated[str, AfterValidator(_check_positive_rational)]
"""A fraction above zero as text, `numerator/denominator`."""


def parse_frame_rate(value: object) -> Fraction:
    """Return the exact frames per second that a person meant by `value`.

    Takes whole numbers, decimals and fractions, as numbers or text. Decimals close to an NTSC rate mean that
    rate: 29.97 is 30000/1001. Other decimals become the nearest fraction with a denominator of at most 1000.
    Raises ValueError for anything else and for rates outside 1 to 120.
    """
    if not _is_written_rate(value):
        raise ValueError(f"{value!r} is not a frame rate; write a number such as 25 or text such as 30000/1001")
    rate = Fraction(str(value))
    if rate < LOWEST_RATE:
        raise ValueError(f"{value} is below {LOWEST_RATE}")
    if rate > HIGHEST_RATE:
        raise ValueError(f"{value} is above {HIGHEST_RATE}")
    return rate if "/" in str(value) else _exact(rate)


def _is_written_rate(value: object) -> bool:
    if isinstance(value, str):
        return _WRITTEN_RATE.fullmatch(value) is not None
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _exact(decimal: Fraction) -> Fraction:
    if decimal.denominator == 1:
        return decimal
    for nominal in NTSC_NOMINAL_RATES:
        sibling = Fraction(nominal * 1000, 1001)
        if abs(decimal - sibling) < NTSC_TOLERANCE:
            return sibling
    return decimal.limit_denominator(1000)
