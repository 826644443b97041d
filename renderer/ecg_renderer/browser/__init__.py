"""Chromium: where it is, how it is started, and the page in it, cut off from everything but its own files.

chromium   the program, its arguments and its profile
cdp        the debugging protocol, over a pipe
driven     a browser and its page, driven through that pipe, and started before they are asked for
"""

from ecg_renderer.browser.chromium import (
    CANVAS_ARGUMENTS,
    COMMON_ARGUMENTS,
    INSTALL_HINT,
    MEMORY_FILES,
    MINIMUM_MEMORY_FILES_BYTES,
    PROFILE_PREFIX,
    find_chromium,
    make_profile,
    remove_profile,
    sandbox_problem,
)
from ecg_renderer.browser.driven import Browser, BrowserLauncher, Page
from ecg_renderer.served import ORIGIN, PAGE_FOLDER, page_file, page_hash

__all__ = [
    "CANVAS_ARGUMENTS",
    "COMMON_ARGUMENTS",
    "INSTALL_HINT",
    "MEMORY_FILES",
    "MINIMUM_MEMORY_FILES_BYTES",
    "ORIGIN",
    "PAGE_FOLDER",
    "PROFILE_PREFIX",
    "Browser",
    "BrowserLauncher",
    "Page",
    "find_chromium",
    "make_profile",
    "page_file",
    "page_hash",
    "remove_profile",
    "sandbox_problem",
]
