"""Plugins that were fetched from an origin: their files, what the page is told of them, and what it gets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecg_renderer.browser.files import ServedFile, content_type
from ecg_renderer.scenario.canonical import canonical_hash

if TYPE_CHECKING:
    from ecg_renderer.plugin_pictures import Sheet

MANIFEST = "manifest.json"
ENTRY = "index.mjs"
SERVED_BELOW = "/fetched"
_PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg", ".avif")


@dataclass(frozen=True)
class PluginModule:
    """A plugin as its origin had it: files by their paths below the plugin's address.

    Attributes:
        key: name and version, as in "glow@2.0.0".
        files: `manifest.json` and its entry are among them.
    """

    key: str
    files: Mapping[str, bytes]

    @cached_property
    def hashes(self) -> dict[str, str]:
        """The SHA-256 of each file, by path."""
        return {path: hashlib.sha256(body).hexdigest() for path, body in sorted(self.files.items())}

    @cached_property
    def digest(self) -> str:
        """A hash of all of it."""
        return canonical_hash([self.key, self.hashes])

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """The manifest; an empty one if it is none."""
        return read_manifest_json(self.files[MANIFEST]) or {}

    @property
    def gifs(self) -> list[str]:
        """The paths of all GIFs."""
        return [path for path in self.files if path.lower().endswith(".gif")]

    @cached_property
    def sheets(self) -> dict[str, Sheet]:
        """The animated GIFs, by path; without those that are too large."""
        if not self.gifs:
            return {}
        # Imported when there is one: the decoder takes time to load that most renders need not wait for.
        from ecg_renderer.plugin_pictures import sheet_of

        found = {path: sheet_of(self.files[path]) for path in self.gifs}
        return {path: sheet for path, sheet in found.items() if sheet}

    def served(self) -> dict[str, ServedFile]:
        """Return what the page gets, by path of its address."""
        below = f"{SERVED_BELOW}/{self.digest}"
        files = {f"{below}/{path}": ServedFile(body, content_type(Path(path))) for path, body in self.files.items()}
        for path, sheet in self.sheets.items():
            files[f"{below}/{path}"] = ServedFile(sheet.first, "image/png")
            files[f"{below}/{path}.sheet.png"] = ServedFile(sheet.png, "image/png")
        return files

    def page_config(self, names: Iterable[str]) -> dict[str, Any]:
        """Return what the page is told to register it under `names`."""
        kind = self.manifest.get("type")
        return {
            "key": self.key,
            "names": list(names),
            "base": f"{SERVED_BELOW}/{self.digest}/",
            "entry": entry_of(self.manifest),
            "type": kind if kind in ("dom", "channel", "hybrid") else None,
            "version": self.key.partition("@")[2],
            "pictures": [path for path in self.files if path.lower().endswith(_PICTURES)],
            "sheets": {
                path: {"columns": sheet.columns, "rows": sheet.rows, "ends": sheet.ends, "plays": sheet.plays}
                for path, sheet in self.sheets.items()
            },
        }


@dataclass(frozen=True)
class Fetched:
    """The plugins that an origin has, by key, and what a person should know."""

    modules: Mapping[str, PluginModule]
    warnings: tuple[str, ...] = ()


NOTHING_FETCHED = Fetched({})


def read_manifest_json(raw: bytes) -> dict[str, Any] | None:
    """Return a plugin's manifest, or None for what is none."""
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def entry_of(manifest: Mapping[str, Any]) -> str:
    """Return the path of the module that a manifest names."""
    entry = manifest.get("entry")
    return entry.removeprefix("./") if isinstance(entry, str) and entry else ENTRY
