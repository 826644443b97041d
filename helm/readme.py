"""Writes the table of values in the chart's README from values.yaml and its comments.

    python helm/readme.py            writes helm/ecg-render/README.md anew, from the heading "Values" on

A comment that begins with `# --` describes the value below it (helm-docs' way); a plain comment above a top-level
value heads its table.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parent / "ecg-render"
HEADING = "## Values"


def document() -> str:
    """Return the README as it should be: its own words, then the values."""
    words, _, _ = (CHART / "README.md").read_text().partition(HEADING)
    return f"{words}{HEADING}\n\n{tables((CHART / 'values.yaml').read_text())}"


def tables(text: str) -> str:
    """Return a table for each top-level mapping of a values file, and one for its plain values."""
    lines, root = text.splitlines(), yaml.compose(text, yaml.SafeLoader)
    plain, parts = [], []
    for key, value in root.value:
        rows = list(_rows(lines, key, value, ()))
        if len(rows) == 1 and rows[0][0] == key.value:
            plain += rows
        else:
            heading = _comment(lines, key.start_mark.line, described=False)
            parts.append(f"### {key.value}\n\n{heading}\n\n{_table(rows)}".replace("\n\n\n\n", "\n\n"))
    return "\n".join([f"{_table(plain)}", *parts])


def _rows(lines: list[str], key: Any, value: Any, above: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
    path = (*above, key.value)
    if isinstance(value, yaml.MappingNode) and value.value and not value.flow_style:
        says = _comment(lines, key.start_mark.line, described=True)
        if not says:
            for below, inner in value.value:
                yield from _rows(lines, below, inner, path)
            return
    default = json.dumps(yaml.SafeLoader("").construct_object(value, deep=True), ensure_ascii=False)
    yield ".".join(path), default, _comment(lines, key.start_mark.line, described=True)


def _comment(lines: list[str], line: int, *, described: bool) -> str:
    found: list[str] = []
    while line and lines[line - 1].lstrip().startswith("#"):
        line -= 1
        found.insert(0, lines[line].strip().removeprefix("#").strip())
    if not found or found[0].startswith("--") is not described:
        return ""
    return " ".join(found).removeprefix("--").strip()


def _table(rows: list[tuple[str, str, str]]) -> str:
    cells = [f"| `{key}` | `{default}` | {says.replace('|', chr(92) + '|')} |" for key, default, says in rows]
    return "\n".join(["| value | default | meaning |", "|---|---|---|", *cells, ""])


if __name__ == "__main__":
    (CHART / "README.md").write_text(document())
