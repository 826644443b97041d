"""Folders of this user."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return `ecg-render` in the user's cache (XDG_CACHE_HOME); it begins with `~` for a user without a home."""
    return Path(os.path.expanduser(os.environ.get("XDG_CACHE_HOME") or "~/.cache")) / "ecg-render"  # noqa: PTH111
