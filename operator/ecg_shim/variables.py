"""Environment variables: what one may hold, and how a wrong value is answered."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

Read = Callable[[str], Any]
"""Turns a variable's text into its value; raises ValueError with what was expected, such as `a number`."""

_WORDS_FOR = {True: ("1", "true", "yes", "on"), False: ("0", "false", "no", "off")}


class SettingsError(Exception):
    """Settings that cannot be used; one line for each."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True)
class Variable:
    """One variable of the environment.

    Attributes:
        names: the first that is set counts.
        default: its value, when none is set; as text.
        effect: what it changes, one sentence for a person.
        secret: its value is never shown.
    """

    names: tuple[str, ...]
    read: Read
    default: str
    effect: str
    secret: bool = False

    @property
    def name(self) -> str:
        """The name to recommend."""
        return self.names[0]


def variable(names: str, read: Read, default: str, effect: str, *, secret: bool = False) -> Any:
    """Declare a field of a settings dataclass that is read from the environment; `names` stand apart by spaces."""
    declared = Variable(tuple(names.split()), read, default, effect, secret)
    return field(default_factory=lambda: read(default), metadata={"variable": declared})


def text(value: str) -> str:
    """Take any text."""
    return value


def words(*known: str) -> Read:
    """Take one of these words, in any case."""

    def read(value: str) -> str:
        if value.lower() not in known:
            raise ValueError(f"one of: {', '.join(known)}")
        return value.lower()

    return read


def log_level(value: str) -> str:
    """Take a level of the logging module; WARN and FATAL are other names of two of them."""
    level = {"WARN": "WARNING", "FATAL": "CRITICAL"}.get(value.upper(), value.upper())
    known = [name for name in logging.getLevelNamesMapping() if name not in ("NOTSET", "WARN", "FATAL")]
    if level not in known:
        raise ValueError(f"one of: {', '.join(known)}")
    return level


def flag(value: str) -> bool:
    """Take true or false and the usual words for them."""
    for meaning, spellings in _WORDS_FOR.items():
        if value.lower() in spellings:
            return meaning
    raise ValueError("one of: true, false (also 1, 0, yes, no, on, off)")


def whole(low: int, high: int) -> Read:
    """Take a whole number within bounds."""

    def read(value: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,18}", value) or not low <= int(value) <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return int(value)

    return read


def seconds(low: float, high: float) -> Read:
    """Take a number of seconds within bounds."""

    def read(value: str) -> float:
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", value) or not low <= float(value) <= high:
            raise ValueError(f"seconds, {low:g} to {high:g}")
        return float(value)

    return read


def address(*schemes: str) -> Read:
    """Take an address with one of these schemes, or nothing."""

    def read(value: str) -> str:
        try:
            parts = urlsplit(value)
            # A socket of this machine has a path and no host.
            place = parts.path.strip("/") if parts.scheme == "unix" else parts.hostname
            usable = not value or (parts.scheme in schemes and bool(place))
        except ValueError:
            usable = False
        if not usable:
            raise ValueError("an address that begins with " + " or ".join(f"{scheme}://" for scheme in schemes))
        return value.rstrip("/")

    return read


def names(value: str) -> tuple[str, ...]:
    """Take words that stand apart by commas or spaces."""
    return tuple(part for part in re.split(r"[,\s]+", value) if part)


def pairs(value: str) -> Mapping[str, str]:
    """Take NAME=VALUE pairs that stand apart by commas."""
    parts = [part.strip().partition("=") for part in value.split(",") if part.strip()]
    if not all(name and equals and text for name, equals, text in parts) or len(parts) > 30:
        raise ValueError("NAME=VALUE pairs with commas between, at most 30")
    return MappingProxyType({name: text for name, _, text in parts})


def matching(pattern: str, expected: str) -> Read:
    """Take text of a form, or nothing."""

    def read(value: str) -> str:
        if value and not re.fullmatch(pattern, value):
            raise ValueError(expected)
        return value

    return read
