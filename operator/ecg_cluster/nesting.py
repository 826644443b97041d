"""JSON of any depth. The API server takes ten thousand levels, and parsers here end at some hundreds.

Whoever may create a RenderJob may nest its scenario as deep as that: no object may keep others from being read.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

LEVELS = 300
"""More than the models take, which therefore refuse what was cut: a RenderJob with its path."""
RESERVE = 100
"""Frames on the stack: what was parsed here can be parsed again by whoever has called so many functions more."""
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}]')


async def parsed(parse: Callable[[bytes], T], text: bytes) -> T:
    """Return what `parse` makes of JSON; of what is nested too deep for it, without what is below LEVELS."""
    try:
        return _far_down(parse, text)
    except RecursionError:
        # In a thread: megabytes of brackets take seconds.
        return parse(await asyncio.to_thread(shallow, text))


def _far_down(parse: Callable[[bytes], T], text: bytes, frames: int = RESERVE) -> T:
    return _far_down(parse, text, frames - 1) if frames else parse(text)


def shallow(text: bytes) -> bytes:
    """Return JSON with null in the place of whatever is nested deeper than LEVELS."""
    parts, kept, depth = [], 0, 0
    for token in _TOKEN.finditer(text):
        sign = text[token.start()]
        if sign in b"[{":
            depth += 1
            if depth == LEVELS + 1:
                parts += [text[kept : token.start()], b"null"]
        elif sign in b"]}":
            if depth == LEVELS + 1:
                kept = token.end()
            depth -= 1
    return b"".join((*parts, text[kept:]))
