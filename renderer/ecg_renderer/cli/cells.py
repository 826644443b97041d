"""`ecg-render cells`: what is kept for the next render."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ecg_renderer.cli.ending import ending, put
from ecg_renderer.cli.options import Json

NAME = "cells"
EXAMPLES = """
Examples:

  ecg-render cells

  ecg-render cells --clear"""


def command(
    clear: Annotated[bool, typer.Option("--clear", help="Remove all of it: nothing is rendered less well.")] = False,
    cells: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", show_default=False, help="Another store than ~/.cache/ecg-render/cells; see `run --cells`."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show, or empty, the store of finished pieces of video.

    A render keeps its video there in cells of ten seconds. The next render of the
    same source takes those in which nothing changed. The ones that were not used
    for longest go when there is more than ECG_CELLS_GB, 10 by default.
    """
    with ending(as_json=as_json):
        import json

        from ecg_renderer.cli.summary import size_words
        from ecg_renderer.settings import Settings
        from ecg_renderer.storage.cells import clear_cells, default_cells, kept_in

        folder = (cells or default_cells()).absolute()
        limit = Settings.from_environment().cells_bytes
        kept = clear_cells(folder) if clear else kept_in(folder)
        facts = {"folder": str(folder), "cells": kept.cells, "bytes": kept.bytes, "limitBytes": limit, "cleared": clear}
        if as_json:
            put(json.dumps(facts))
        elif clear:
            put(f"Removed {kept.cells:,} cells, {size_words(kept.bytes)}, from {folder}.")
        else:
            put(f"{kept.cells:,} cells, {size_words(kept.bytes)} of at most {size_words(limit)}, in {folder}")
