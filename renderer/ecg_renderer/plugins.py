"""The caption plugins that this renderer brings along: one JavaScript module each, found by listing their folder."""

from __future__ import annotations

from pathlib import Path

PLUGINS_FOLDER = Path(__file__).parent / "page" / "plugins"


def known_plugins() -> dict[str, Path]:
    """Return the modules of all plugins by bare name ("cwi-color"), in alphabetical order."""
    return {file.stem: file for file in sorted(PLUGINS_FOLDER.glob("*.mjs"))}
