"""Ways through a scenario, and how its times are read. Paths are those of the user's own file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ecg_renderer.scenario.report import Report

Node = dict[str, Any]
Cue = dict[str, Any]

_NUMBER = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*")


def cues_of(data: dict[str, Any]) -> Iterator[tuple[str, Cue]]:
    """Yield every cue with its path; holes (null) are passed over."""
    for index, cue in enumerate(data["cues"]):
        if cue is not None:
            yield f"cues[{index}]", cue


def walk(node: Node, path: str) -> Iterator[tuple[str, Node]]:
    """Yield `node` and all nodes below it with their paths, parents first, as MotionText does."""
    yield path, node
    if node.get("eType") == "group":
        for index, child in enumerate(node.get("children", ())):
            if child is not None:
                yield from walk(child, f"{path}.children[{index}]")


def nodes_of(cue: Cue, path: str) -> Iterator[tuple[str, Node]]:
    """Yield all nodes of the cue at `path`."""
    return walk(cue["root"], f"{path}.root")


def drop_holes(data: dict[str, Any]) -> None:
    """Remove the nulls from lists of nodes; only afterwards do paths differ from the user's."""
    for path, cue in cues_of(data):
        for _, node in nodes_of(cue, path):
            if "children" in node:
                node["children"] = [child for child in node["children"] if child is not None]


def number(value: object) -> int | float | None:
    """Return a number, or a number written as text, as a number; None for anything else."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    return None


def time_range(value: object, path: str, report: Report, *, ordered: bool = True) -> list[int | float]:
    """Return `value` as [start, end] in seconds.

    Accepts [start, end] and {start, end}. Errors: ScenarioError if it is neither, holds something else than
    numbers, or (if `ordered`) ends before it starts.
    """
    pair = [value.get("start"), value.get("end")] if isinstance(value, dict) else value
    if not isinstance(pair, list) or len(pair) != 2:
        raise report.error(path, "must be [start, end] in seconds")
    start, end = number(pair[0]), number(pair[1])
    if start is None or end is None:
        name, wrong = ("start", pair[0]) if start is None else ("end", pair[1])
        problem = f"has no {name}" if wrong is None else f"the {name} {str(wrong)[:40]!r} is not a number"
        raise report.error(path, problem, "Times are [start, end] in seconds.")
    if ordered and end < start:
        problem = f"ends at {end:g} s, before it starts at {start:g} s"
        raise report.error(path, problem, "Write [start, end] with start <= end.")
    return [start, end]
