"""The families that come with the renderer, and which of their files some captions need.

Google's Korean families (and Roboto Flex) are npm packages beside MotionText: a family is a hundred files by ranges of
characters, of which the page gets those that have a character that is written. Everything else that a machine has
installed is Chromium's business. The lock file, part of every cell's key, stands for these files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

PACKAGES_FOLDER = Path(__file__).parent / "page" / "node_modules"
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
