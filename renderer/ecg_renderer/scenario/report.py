"""What is said about a scenario while it is prepared: one error stops, warnings are counted.

A scenario written by a program repeats its mistake in every cue, so warnings are grouped: the first few of a
kind are told in full, the rest as a number.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

from ecg_renderer.errors import ScenarioError

SHOWN_PER_KIND = 3
MAX_LINES = 60
MAX_TEXT = 300
MAX_LISTED = 20
MAX_WORD = 80

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class Report:
    """Collects warnings, and builds errors that name the scenario and the place in it."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self._shown: dict[str, list[str]] = {}
        self._left_out: dict[str, int] = {}

    def warn(self, kind: str, path: str, done: str) -> None:
        """Note what was done at `path`; `kind` names the repair and groups it with others like it."""
        shown = self._shown.setdefault(kind, [])
        if len(shown) < SHOWN_PER_KIND:
            shown.append(f"{_told(path)}: {_told(done)}")
        else:
            self._left_out[kind] = self._left_out.get(kind, 0) + 1

    def error(self, path: str, problem: str, hint: str = "") -> ScenarioError:
        """Return the error to raise for what is wrong at `path`."""
        place = f"{self.origin}: {_told(path)}" if path else self.origin
        return ScenarioError(f"{place}: {_told(problem)}", hint=_told(hint))

    @property
    def warnings(self) -> tuple[str, ...]:
        """All warnings, kinds in the order of their first appearance."""
        lines: list[str] = []
        for kind, shown in self._shown.items():
            lines += shown
            if kind in self._left_out:
                lines.append(f"{_told(kind)}: {self._left_out[kind]} more like this")
        if len(lines) > MAX_LINES:
            lines[MAX_LINES:] = [f"and {len(lines) - MAX_LINES} more warnings"]
        return tuple(lines)


def _told(text: str) -> str:
    """Return `text` fit for one line of a terminal: it quotes what anybody may have written into a scenario."""
    plain = _CONTROL.sub(" ", text)
    return plain if len(plain) <= MAX_TEXT else f"{plain[: MAX_TEXT - 3]}..."


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a sentence that proposes the closest of `known`, or an empty string."""
    by_lower = {name.lower(): name for name in known}
    close = get_close_matches(word[:MAX_WORD].lower(), by_lower, n=1)
    return f'Did you mean "{by_lower[close[0]]}"?' if close else ""


def listed(names: Iterable[str]) -> str:
    """Return `names` sorted, for a sentence; "none" when there are none."""
    known = sorted(names)
    more = [f"{len(known) - MAX_LISTED} more"] if len(known) > MAX_LISTED else []
    return ", ".join(known[:MAX_LISTED] + more) or "none"
