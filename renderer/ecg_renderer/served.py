"""What the caption page gets, and all that it gets: its own files, our plugins, those fetched from an origin."""

from __future__ import annotations

import hashlib
import json
import mimetypes
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path, PurePath
from typing import Any

from ecg_renderer.errors import BrowserError

ORIGIN = "https://ecg.invalid"
PAGE_FOLDER = Path(__file__).parent / "page"
PAGE_PACKAGES = ("motiontext-renderer", "gsap")


def page_file(path: str) -> Path | None:
    """Return the file behind a request path of the page, or None if it has none."""
    relative = path.lstrip("/") or "index.html"
    file = (PAGE_FOLDER / relative).resolve()
    return file if file.is_relative_to(PAGE_FOLDER.resolve()) and file.is_file() else None


def answer_to(url: str, fetched: Mapping[str, ServedFile]) -> ServedFile | None:
    """Return what a request of the page gets: a file of its own, or of `fetched` by path; None if it is refused."""
    if not url.startswith(f"{ORIGIN}/"):
        return None
    path = url[len(ORIGIN) :].split("?")[0]
    if path in fetched:
        return fetched[path]
    file = page_file(path)
    return ServedFile(file.read_bytes(), content_type(file)) if file else None


@cache
def page_hash() -> str:
    """Return a hash over the page's own files; the lock file among them stands for its packages."""
    digest = hashlib.sha256()
    for pattern in ("*.*", "plugins/**/*.*"):
        for file in sorted(PAGE_FOLDER.glob(pattern)):
            digest.update(str(file.relative_to(PAGE_FOLDER)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def check_packages() -> None:
    """Raise BrowserError unless the npm packages that the page loads are installed."""
    for package in PAGE_PACKAGES:
        if not (PAGE_FOLDER / "node_modules" / package / "package.json").is_file():
            raise BrowserError(
                f"The npm package {package}, which the caption page loads, is not in {PAGE_FOLDER / 'node_modules'}.",
                hint=f"Run `npm ci` in {PAGE_FOLDER}, or `make setup` in a clone.",
            )


# --- caption plugins: our own ---------------------------------------------------------------------


PLUGINS_FOLDER = PAGE_FOLDER / "plugins"


@cache
def known_plugins() -> Mapping[str, Mapping[str, Any]]:
    """Return all plugins by bare name ("cwi-color"), in alphabetical order, with the parameters that they read."""
    modules = sorted(PLUGINS_FOLDER.glob("*.mjs"))
    return {file.stem: json.loads(file.with_suffix(".json").read_bytes())["schema"] for file in modules}


# --- fetched from an origin -----------------------------------------------------------------------


MANIFEST = "manifest.json"
ENTRY = "index.mjs"
SERVED_BELOW = "/fetched"
_PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg", ".avif")


@dataclass(frozen=True)
class Sheet:
    """The frames of a GIF as one picture, row by row.

    Attributes:
        png: the picture. first: its first frame alone.
        ends: when each frame ends, in milliseconds from the start.
        plays: how often all of it is shown; 0 is for ever.
    """

    png: bytes
    first: bytes
    columns: int
    rows: int
    ends: tuple[int, ...]
    plays: int


@dataclass(frozen=True)
class PluginModule:
    """A plugin as its origin had it: files by their paths below the plugin's address.

    Attributes:
        key: name and version, as in "glow@2.0.0".
        files: `manifest.json` and its entry are among them.
        sheets: the animated GIFs among them, by path; without those that are too large.
    """

    key: str
    files: Mapping[str, bytes]
    sheets: Mapping[str, Sheet] = field(default_factory=dict)

    @cached_property
    def hashes(self) -> dict[str, str]:
        """The SHA-256 of each file, by path."""
        return {path: hashlib.sha256(body).hexdigest() for path, body in sorted(self.files.items())}

    @cached_property
    def digest(self) -> str:
        """A hash of all of it."""
        return hashlib.sha256(json.dumps([self.key, self.hashes]).encode()).hexdigest()

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """The manifest; an empty one if it is none."""
        return read_manifest_json(self.files[MANIFEST]) or {}

    @property
    def schema(self) -> Mapping[str, Any]:
        """The parameters that the manifest declares, by name; empty if it declares none."""
        declared = self.manifest.get("schema")
        return declared if isinstance(declared, dict) else {}

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

    @property
    def schemas(self) -> dict[str, Mapping[str, Any]]:
        """The parameters that each declares, by key."""
        return {key: module.schema for key, module in self.modules.items()}


NOTHING_FETCHED = Fetched({})


def is_gif(path: str) -> bool:
    """Tell whether a file is a GIF, by its name."""
    return path.lower().endswith(".gif")


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


# --- what the page gets at an address -------------------------------------------------------------


@dataclass(frozen=True)
class ServedFile:
    """A body and its media type."""

    body: bytes
    content_type: str


def content_type(file: PurePath) -> str:
    """Return the media type of a file; module scripts need theirs exact."""
    if file.suffix in (".js", ".mjs"):
        return "text/javascript; charset=utf-8"
    return mimetypes.guess_type(file.name)[0] or "application/octet-stream"
