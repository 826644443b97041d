"""What the doctor found, for a person and for a program."""

from __future__ import annotations

import json

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ecg_renderer.doctor import Check, Examination, State

_MARKS = {State.OK: "[green]ok[/]", State.NOTE: "[yellow]note[/]", State.MISSING: "[red]missing[/]"}


def examination_json(examination: Examination) -> str:
    """Return all checks as one JSON object."""
    checks = [
        {"name": check.name, "state": check.state, "found": check.found, "meaning": check.meaning, "fix": check.fix}
        for check in examination.checks
    ]
    return json.dumps({"canRender": examination.can_render, "missing": examination.missing, "checks": checks})


def print_examination(examination: Examination) -> None:
    """Print all checks, and whether a render can work, on standard output."""
    console = Console(highlight=False)
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for check in examination.checks:
        table.add_row(_MARKS[check.state], check.name, _words(check))
    console.print(table)
    console.print()
    console.print(escape(conclusion(examination)))


def conclusion(examination: Examination) -> str:
    """Return in a sentence whether a render can work."""
    if examination.missing:
        return f"A render cannot work here yet; to be put right first: {', '.join(examination.missing)}."
    notes = any(check.state is State.NOTE for check in examination.checks)
    return "A render can work here." + (" The notes say what could be better." if notes else "")


def _words(check: Check) -> str:
    if check.state is State.OK:
        return escape(check.found)
    return f"{escape(check.found)}\n[dim]{escape(check.meaning)}[/]\n[cyan]{escape(check.fix)}[/]"
