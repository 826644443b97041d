"""A table that can be shown on a terminal and written as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table as RichTable


@dataclass(frozen=True)
class Table:
    """A title, how to read it, and cells of text; the first column names, the others count."""

    title: str
    remark: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """Return the table under a second-level heading."""
        rule = ["---", *("---:" for _ in self.header[1:])]
        grid = "\n".join(f"| {' | '.join(cells)} |" for cells in (self.header, rule, *self.rows))
        return "\n\n".join(part for part in (f"## {self.title}", self.remark, grid) if part)

    def rich(self) -> RichTable:
        """Return the table for a terminal."""
        shown = RichTable(title=self.title, title_justify="left", caption=self.remark, caption_justify="left")
        for index, name in enumerate(self.header):
            shown.add_column(name, justify="right" if index else "left", no_wrap=index == 0)
        for row in self.rows:
            shown.add_row(*row)
        return shown
