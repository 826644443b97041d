"""The caption page's files, which are all that its browser ever gets."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from ecg_renderer.errors import BrowserError
from ecg_renderer.plugins import ServedFile, content_type

ORIGIN = "https://ecg.invalid"
PAGE_FOLDER = Path(__file__).parent.parent / "page"
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
    for pattern in ("*.*", "plugins/**/*.mjs"):
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
