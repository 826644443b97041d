"""The Korean documents say what the English ones say: the same commands, names and tables, section by section."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FENCED = re.compile(r"^```.*?^```$", re.M | re.S)
TRANSLATED = sorted(file.name for file in (ROOT / "docs/ko").glob("*.md"))
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("helm/**/*.md")]


def sections(text: str) -> list[str]:
    """Return the parts that headings of any level begin; headings in code are none."""
    parts = [""]
    fenced = False
    for line in text.splitlines():
        fenced ^= line.startswith("```")
        if line.startswith("#") and not fenced:
            parts.append("")
        parts[-1] += f"{line}\n"
    return parts


def code(section: str) -> list[str]:
    """Return its blocks of code: fenced, or indented by four and more."""
    rest = re.sub(FENCED, "", section)
    return FENCED.findall(section) + [line for line in rest.splitlines() if line.startswith("    ")]


def names(section: str) -> Counter[str]:
    """Return what its prose has in backticks, and the addresses that it leads to."""
    prose = re.sub(r"^    .*$", "", re.sub(FENCED, "", section), flags=re.M)
    return Counter(re.findall(r"`([^`]+)`", prose)) + Counter(re.findall(r"\((https?://[^)]+)\)", prose))


@pytest.mark.parametrize("name", TRANSLATED)
def test_a_translation_has_the_commands_names_and_tables_of_its_original(name: str) -> None:
    english, korean = (sections((ROOT / folder / name).read_text()) for folder in ("docs", "docs/ko"))
    assert len(english) == len(korean), "a section is missing"
    for original, translated in zip(english, korean, strict=True):
        heading = original.splitlines()[0] if original else ""
        assert code(original) == code(translated), heading
        assert names(original) == names(translated), heading
        assert original.count("\n|") == translated.count("\n|"), f"{heading}: rows of a table"
        assert original.count("\n- ") == translated.count("\n- "), f"{heading}: items of a list"


def test_the_korean_readme_has_only_commands_of_the_english_one() -> None:
    english = (ROOT / "README.md").read_text()
    commands = [
        line.split(" #")[0].strip() for part in sections((ROOT / "README.ko.md").read_text()) for line in code(part)
    ]
    assert len(commands) > 5
    assert [command for command in commands if command not in english] == []


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_link_leads_somewhere(file: Path) -> None:
    text = re.sub(FENCED, "", file.read_text())
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = link.partition("#")
        if link.startswith(("http:", "https:")):
            continue
        target = (file.parent / path) if path else file
        assert target.exists(), f"{link}: nothing there"
        assert not anchor or anchor in _anchors(target.read_text()), f"{link}: no such heading"


def _anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
