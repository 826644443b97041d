"""What the caption page gets, and all that it gets: its own files, plugins, and the fonts that come along."""

from __future__ import annotations

import hashlib
import json
import mimetypes
import re
from collections.abc import Iterable, Iterator, Mapping
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


# --- the families that come along, and which of their files some captions need --------------------
# Google's Korean families (and Roboto Flex) are npm packages beside MotionText: a family is a hundred files by ranges
# of characters, of which the page gets those that have a character that is written. Everything else that a machine has
# installed is Chromium's business. The lock file, part of every cell's key, stands for these files.


PACKAGES_FOLDER = PAGE_FOLDER / "node_modules"
# The variable ones first: they have every weight.
SCOPES = ("@fontsource-variable", "@fontsource")

# Families of other systems by what stands in for them here, where they are not installed. (Arial, Helvetica, Times and
# Courier are fontconfig's own business: it knows Liberation, which has the very same widths.)
STAND_INS = {
    **dict.fromkeys(
        ["맑은 고딕", "Malgun Gothic", "Apple SD Gothic Neo", "AppleGothic", "본고딕", "Source Han Sans K",
         "Source Han Sans KR", "Noto Sans CJK KR", "SUIT", "Pretendard", "Spoqa Han Sans Neo"], "Noto Sans KR"
    ),
    **dict.fromkeys(
        ["돋움", "Dotum", "돋움체", "DotumChe", "굴림", "Gulim", "굴림체", "GulimChe", "나눔고딕", "NanumGothic",
         "NanumBarunGothic", "나눔바른고딕", "NanumSquare", "나눔스퀘어"], "Nanum Gothic"
    ),
    **dict.fromkeys(
        ["바탕", "Batang", "바탕체", "BatangChe", "궁서", "Gungsuh", "AppleMyungjo", "나눔명조", "NanumMyeongjo"],
        "Nanum Myeongjo",
    ),
    **dict.fromkeys(["본명조", "Source Han Serif K", "Source Han Serif KR", "Noto Serif CJK KR"], "Noto Serif KR"),
    **dict.fromkeys(["나눔고딕코딩", "NanumGothicCoding", "D2Coding"], "Nanum Gothic Coding"),
    **dict.fromkeys(["나눔손글씨 펜", "Nanum Pen", "NanumPen"], "Nanum Pen Script"),
    **dict.fromkeys(["나눔손글씨 붓", "Nanum Brush", "NanumBrush"], "Nanum Brush Script"),
    **dict.fromkeys(["배달의민족 주아", "BM JUA", "BM JUA_TTF"], "Jua"),
    **dict.fromkeys(["배달의민족 도현", "BM DoHyeon", "BM DOHYEON"], "Do Hyeon"),
    "Roboto": "Roboto Flex",
}  # fmt: skip
_STAND_INS = {name.casefold(): family for name, family in STAND_INS.items()}
_PLAIN = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_RANGE = re.compile(r"U\+([0-9a-f]+)(?:-([0-9a-f]+))?", re.IGNORECASE)


@dataclass(frozen=True)
class FontUse:
    """A font as captions ask for it, and what they write in it.

    `families` is the CSS list, best first, and empty where the scenario names none. `weight` is a CSS weight.
    `characters` are the distinct characters, sorted.
    """

    families: tuple[str, ...]
    weight: str
    characters: str


@dataclass(frozen=True)
class Family:
    """A family in a package of its own.

    Attributes:
        name: as Google Fonts calls it.
        weights: CSS weights by the word that they have in names of files.
        ranges: for each part of the family, the characters in it: pairs (first, last).
    """

    name: str
    folder: Path
    weights: dict[str, str]
    ranges: dict[str, tuple[tuple[int, int], ...]]

    def parts(self, characters: str) -> list[str]:
        """Return the parts that have any of `characters`, in the package's order."""
        needed = {part for character in characters for part in self._parts_by_code.get(ord(character), ())}
        return [part for part in self.ranges if part in needed]

    @cached_property
    def _parts_by_code(self) -> dict[int, list[str]]:
        parts: dict[int, list[str]] = {}
        for part, ranges in self.ranges.items():
            for first, last in ranges:
                for code in range(first, last + 1):
                    parts.setdefault(code, []).append(part)
        return parts


def stand_in(name: str) -> str:
    """Return the family that stands in for the family `name`; itself if none has to."""
    return _STAND_INS.get(name.casefold(), name)


@cache
def packaged(name: str) -> Family | None:
    """Return the family called `name`, in any case, if it came with the renderer."""
    slug = "-".join(name.lower().split())
    if not _PLAIN.fullmatch(slug):
        return None
    for scope in SCOPES:
        folder = PACKAGES_FOLDER / scope / slug
        if (folder / "metadata.json").is_file():
            return _family(folder)
    return None


def _family(folder: Path) -> Family:
    facts: dict[str, Any] = json.loads((folder / "metadata.json").read_bytes())
    ranges: dict[str, str] = json.loads((folder / "unicode.json").read_bytes())
    weights = {str(weight): str(weight) for weight in facts["weights"]}
    if facts["variable"]:
        span = facts["variable"]["wght"]
        weights = {"wght": f"{span['min']} {span['max']}"}
    parts = {part.strip("[]"): tuple(_ranges(text)) for part, text in ranges.items()}
    return Family(facts["family"], folder, weights, parts)


def _ranges(text: str) -> Iterator[tuple[int, int]]:
    for first, last in _RANGE.findall(text):
        yield int(first, 16), int(last or first, 16)


def faces_of(uses: Iterable[FontUse]) -> dict[str, Any]:
    """Return what the page loads for `uses` before its first frame.

    `faces`: objects {family, installed: the name to look for on this machine first, or null, url, weight, range};
    `texts`: for each family and weight in use, what is written in it.
    """
    faces: dict[tuple[str, str, str], dict[str, Any]] = {}
    texts: list[dict[str, str]] = []
    for use in uses:
        for name in use.families:
            family = packaged(stand_in(name))
            if family is None:
                continue
            texts.append({"family": name, "weight": use.weight, "text": use.characters})
            for part in family.parts(use.characters):
                for word, weight in family.weights.items():
                    faces[name, part, word] = _face(name, family, part, word, weight)
    return {"faces": list(faces.values()), "texts": texts}


def _face(name: str, family: Family, part: str, word: str, weight: str) -> dict[str, Any]:
    file = f"{family.folder.name}-{part}-{word}-normal.woff2"
    return {
        "family": name,
        "installed": name if name.casefold() in _STAND_INS else None,
        "url": f"/node_modules/{family.folder.parent.name}/{family.folder.name}/files/{file}",
        "weight": weight,
        "range": ", ".join(f"U+{first:X}-{last:X}" for first, last in family.ranges[part]),
    }
