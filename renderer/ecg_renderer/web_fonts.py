"""Fonts that a scenario names by address (`define.NAME`, type `font`, url `https://...`), fetched while planning.

They go into the prepared scenario itself, as data: the plan's work files hold them, every key covers them, and the page
needs no network. What cannot be had is said, and its texts stand in another font, as in the editor's preview.
"""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace
from pathlib import Path
from typing import Any

from ecg_renderer.errors import ServiceUnreachable, StorageError
from ecg_renderer.scenario import Finding, Scenario
from ecg_renderer.scenario.model import is_asset
from ecg_renderer.storage import open_storage
from ecg_renderer.storage.base import UrlPolicy

FONT_BYTES = 8 * 1024 * 1024
ALL_BYTES = 16 * 1024 * 1024
FONT_SECONDS = 10.0
# The first bytes of WOFF2, WOFF, and OpenType with either kind of outlines.
_FORMATS = {b"wOF2": "woff2", b"wOFF": "woff", b"OTTO": "otf", b"\x00\x01\x00\x00": "ttf", b"true": "ttf"}


async def with_web_fonts(scenario: Scenario) -> Scenario:
    """Return the scenario with the fonts that it names by address inside, or with a finding for each that is not.

    Raises ServiceUnreachable where another try may help.
    """
    wanted = {name: asset["url"] for name, asset in scenario.data["define"].items() if _is_remote(asset)}
    if not wanted:
        return scenario
    read: list[str | StorageError] = await asyncio.gather(*(asyncio.to_thread(_read, url) for url in wanted.values()))
    define, findings, left = dict(scenario.data["define"]), [], ALL_BYTES
    for name, got in zip(wanted, read, strict=True):
        left -= 0 if isinstance(got, StorageError) else len(got) * 3 // 4
        if isinstance(got, str) and left < 0:
            got = StorageError(f"the fonts of a scenario may have {ALL_BYTES:,} bytes together.")
        if isinstance(got, str):
            define[name] = {**define[name], "url": got}
            continue
        del define[name]
        said = f'the font "{name}" cannot be had, another stands in for it: {got.message}'
        findings.append(Finding("font that cannot be had", f"define.{name}.url", said, got.hint))
    return replace(
        scenario,
        data={**scenario.data, "define": define},
        findings=(*scenario.findings, *findings),
        warnings=(*scenario.warnings, *(finding.line for finding in findings)),
    )


def _is_remote(asset: Any) -> bool:
    return is_asset(asset) and asset["type"] == "font" and not asset["url"].lower().startswith("data:")


def _read(url: str) -> str | StorageError:
    """Return the font behind an address as a data: URL, or why there is none."""
    policy = replace(UrlPolicy.from_environment(), total_seconds=FONT_SECONDS)
    try:
        storage = open_storage(url, Path(), policy)
        content = storage.read_bytes(FONT_BYTES)
    except ServiceUnreachable:
        raise
    except StorageError as error:
        return error
    kind = _FORMATS.get(content[:4])
    if kind is None:
        return StorageError(f"{storage.name} is no font.", hint="WOFF2, WOFF, TTF and OTF are.")
    return f"data:font/{kind};base64,{base64.b64encode(content).decode()}"
