"""What is said about a scenario while it is prepared: one error stops, warnings are counted.

A scenario written by a program repeats its mistake in every cue, so warnings are grouped: the first few of a
kind are told in full, the rest as a number.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from ecg_renderer.errors import ScenarioError

SHOWN_PER_KIND = 3
MAX_LINES = 60
MAX_TEXT = 300
MAX_LISTED = 20
MAX_WORD = 80
MAX_FINDINGS = 10_000
MAX_NAME = 40

# What is put right without a loss: nobody has to look at it.
_ROUTINE = frozenset({
    "aspect", "cue without track", "flat cue", "id", "missing palette", "missing track", "no display time", "node type",
    "null field", "plugin id", "single plugin", "time base", "time_offset", "version",
})  # fmt: skip

_CUE_PATH = re.compile(r"cues\[(\d+)\](\.root(?:\.children\[\d+\])*)?")
# What a flat cue is made into has paths that its file does not have.
_OF_FLAT = re.compile(r"(cues\[(\d+)\])\.root(?:\.children\[\d+\])*(?:\.(displayTime)|\.(?:boxStyle|style)(\..*))?.*")
_CHILD = re.compile(r"\.children\[(\d+)\]")

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True)
class Finding:
    """Something in a scenario that was put right, or that will not look as it was meant.

    Attributes:
        kind: what it is, the same words for all of a kind.
        path: where, in the user's own file, as in `cues[3].root.children[0].baseTime`.
        problem: what is there, and what is made of it.
        hint: what to do about it; empty where nothing has to be done.
        cue, word: the cue's id and the text it is about; empty where it is about none.
    """

    kind: str
    path: str
    problem: str
    hint: str = ""
    cue: str = ""
    word: str = ""

    @property
    def line(self) -> str:
        """All but the hint as one line."""
        names = [f'cue "{self.cue}"' if self.cue else "", f'"{self.word}"' if self.word else ""]
        about = ", ".join(name for name in names if name)
        return f"{self.path}: {self.problem}" + (f" ({about})" if about else "")


class Report:
    """Collects findings, and builds errors that name the scenario and the place in it."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self._cues: list[Any] = []
        self._flat: frozenset[int] = frozenset()
        self._found: list[Finding] = []
        self._counts: Counter[str] = Counter()
        self._paths: set[str] = set()

    def about(self, cues: list[Any]) -> None:
        """Name cues and words in findings by these, which stand where the user's stand (None for a hole)."""
        self._cues = cues
        self._flat = frozenset(index for index, cue in enumerate(cues) if isinstance(cue, dict) and "root" not in cue)

    def warn(self, kind: str, path: str, done: str, hint: str = "") -> None:
        """Note what was done at `path`; `kind` names the repair and groups it with others like it."""
        kind = _told(kind)
        self._counts[kind] += 1
        if len(self._found) < MAX_FINDINGS or self._counts[kind] <= SHOWN_PER_KIND:
            self._found.append(Finding(kind, _told(path), _told(done), _told(hint)))
            self._paths.add(path)

    @property
    def count(self) -> int:
        """How many findings there are, at most about `MAX_FINDINGS`."""
        return len(self._found)

    def tells(self, path: str) -> bool:
        """Tell whether there is a finding about `path`."""
        return path in self._paths

    def error(self, path: str, problem: str, hint: str = "") -> ScenarioError:
        """Return the error to raise for what is wrong at `path`."""
        place = f"{self.origin}: {_told(path)}" if path else self.origin
        return ScenarioError(f"{place}: {_told(problem)}", hint=_told(hint))

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings in the order in which they were noted, at most about `MAX_FINDINGS`."""
        return tuple(map(self._placed, self._found))

    @property
    def warnings(self) -> tuple[str, ...]:
        """The findings as lines, kinds in the order of their first appearance, the first few of each."""
        lines = self._lines(self._found)
        if len(lines) > MAX_LINES:
            lines[MAX_LINES:] = [f"and {len(lines) - MAX_LINES} more warnings"]
        return tuple(lines)

    @property
    def routine(self) -> frozenset[str]:
        """Those of the warnings that tell only of what was put right without a loss."""
        return frozenset(self._lines(finding for finding in self._found if finding.kind in _ROUTINE))

    def _lines(self, findings: Iterable[Finding]) -> list[str]:
        grouped: dict[str, list[Finding]] = {}
        for finding in findings:
            shown = grouped.setdefault(finding.kind, [])
            if len(shown) < SHOWN_PER_KIND:
                shown.append(finding)
        lines: list[str] = []
        for kind, shown in grouped.items():
            lines += [self._placed(finding).line for finding in shown]
            if self._counts[kind] > len(shown):
                lines.append(f"{kind}: {self._counts[kind] - len(shown)} more like this")
        return lines

    def _placed(self, finding: Finding) -> Finding:
        """Return a finding with the path that it has in the user's own file, and with the names of cue and word."""
        path, made = finding.path, _OF_FLAT.fullmatch(finding.path)
        if made and int(made[2]) in self._flat:
            path = f"{made[1]} (start, end)" if made[3] else f"{made[1]}.style{made[4]}" if made[4] else made[1]
        return replace(finding, path=path, **self._names(finding.path))

    def _names(self, path: str) -> dict[str, str]:
        """Return the id of the cue, and the text, that `path` leads to."""
        match = _CUE_PATH.match(path)
        if not match or int(match[1]) >= len(self._cues):
            return {}
        cue = self._cues[int(match[1])]
        if not isinstance(cue, dict):
            return {}
        node: Any = cue.get("root") if match[2] else None
        for index in _CHILD.findall(match[2] or ""):
            children = node.get("children") if isinstance(node, dict) else None
            node = children[int(index)] if isinstance(children, list) and int(index) < len(children) else None
        text = node.get("text") if isinstance(node, dict) else None
        names = {"cue": cue.get("id"), "word": text}
        return {
            name: _told(str(said))[:MAX_NAME] for name, said in names.items() if isinstance(said, str | int | float)
        }


def _told(text: str) -> str:
    """Return `text` fit for one line of a terminal: it quotes what anybody may have written into a scenario."""
    plain = _CONTROL.sub(" ", text)
    return plain if len(plain) <= MAX_TEXT else f"{plain[: MAX_TEXT - 3]}..."


def did_you_mean(word: str, known: Iterable[str], least: float = 0.6) -> str:
    """Return a sentence that proposes the closest of `known`, at `least` so much alike (1 is the same), or nothing."""
    by_lower = {name.lower(): name for name in known}
    close = get_close_matches(word[:MAX_WORD].lower(), by_lower, n=1, cutoff=least)
    return f'Did you mean "{by_lower[close[0]]}"?' if close else ""


def listed(names: Iterable[str]) -> str:
    """Return `names` sorted, for a sentence; "none" when there are none."""
    known = sorted(names)
    more = [f"{len(known) - MAX_LISTED} more"] if len(known) > MAX_LISTED else []
    return ", ".join(known[:MAX_LISTED] + more) or "none"
