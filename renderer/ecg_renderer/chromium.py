"""Which Chromium to run, how, and with which profile."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import psutil

from ecg_common.lock import open_locked, remove_abandoned
from ecg_renderer.errors import BrowserError

PROFILE_PREFIX = "ecg-profile-"
MEMORY_FILES = Path("/dev/shm")  # noqa: S108  a memory file system: the ring file in it is plain memory
MINIMUM_MEMORY_FILES_BYTES = 256 * 1024 * 1024
SANDBOX_SECONDS = 5.0
AFTERLIFE_SECONDS = 5.0

COMMON_ARGUMENTS = (
    "--disable-gpu",
    "--hide-scrollbars",
    "--font-render-hinting=none",  # glyphs keep their shape at every size and position
    "--force-color-profile=srgb",
    "--disable-lcd-text",  # sub-pixel anti-aliasing would colour the edges of transparent text
    # An edge of a tile, or of what is drawn anew, that runs through a rounded corner changes the corner's pixels by up
    # to 34/255: a picture must depend neither on where it lies nor on the picture before it.
    "--default-tile-width=4096",
    "--default-tile-height=4096",
    "--disable-partial-raster",
    # Requests are answered or refused before they are sent. What is not a request of the page (windows that it opens,
    # WebRTC) finds no network: nothing resolves, not even an address, and UDP would need a proxy.
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--js-flags=--max-old-space-size=2048",  # in MB; captions take a tenth of it, a plugin gone wild takes all there is
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--disable-extensions",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-features=Translate,MediaRouter,OptimizationHints,DialMediaRouteProvider",
)
# For a Chromium that is driven by us; Playwright adds its own like them.
DRIVEN_ARGUMENTS = (
    "--headless",
    "--remote-debugging-pipe",
    "--disable-breakpad",
    "--disable-field-trial-config",  # else features would differ from machine to machine
    "--disable-hang-monitor",
    "--metrics-recording-only",
    "--mute-audio",
    "--password-store=basic",
    "--use-mock-keychain",
    # A process less to start and to end: no network is there, and this one is confined nowhere.
    "--enable-features=NetworkServiceInProcess2",
)
CANVAS_ARGUMENTS = ("--enable-blink-features=CanvasDrawElement",)

INSTALL_HINT = (
    "Install it with `apt-get install chromium-headless-shell` (Debian) or "
    "`playwright install chromium-headless-shell`, or set ECG_CHROMIUM to the executable. "
    "`ecg-render doctor` shows what is found."
)

_LOCK = "ecg-lock"
_locks: dict[Path, int | None] = {}


def find_chromium() -> Path | None:
    """Return the browser to run: ECG_CHROMIUM, a headless shell in PATH, the newest that Playwright installed, or None.

    Raises:
        BrowserError: ECG_CHROMIUM names something that cannot be run.
    """
    wanted = os.environ.get("ECG_CHROMIUM")
    if wanted:
        if not os.access(wanted, os.X_OK) or Path(wanted).is_dir():
            raise BrowserError(f"ECG_CHROMIUM is {wanted}, which is not an executable file.", hint=INSTALL_HINT)
        return Path(wanted)
    for name in ("chromium-headless-shell", "chrome-headless-shell"):
        found = shutil.which(name)
        if found:
            return Path(found)
    return max(_playwrights_own(), key=_revision, default=None)


def _playwrights_own() -> Iterator[Path]:
    default = "Library/Caches/ms-playwright" if sys.platform == "darwin" else ".cache/ms-playwright"
    folder = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / default)
    for name in ("headless_shell", "chrome-headless-shell"):
        yield from folder.glob(f"chromium_headless_shell-*/*/{name}")


def _revision(executable: Path) -> int:
    number = re.search(r"-(\d+)$", executable.parent.parent.name)
    return int(number[1]) if number else 0


@cache
def sandbox_problem() -> str:
    """Return why Chromium cannot confine its pages' processes here; nothing if it can. Tried out once."""
    if sys.platform != "linux":
        return ""
    if os.geteuid() == 0:
        return "Chromium confines nothing when it runs as root"
    unshare = shutil.which("unshare")
    if unshare is None:
        return "unshare (util-linux) is not there to try it with"
    attempt = [unshare, "--user", "--map-root-user", "--pid", "--net", "--fork", "true"]
    try:
        tried = subprocess.run(attempt, capture_output=True, timeout=SANDBOX_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "namespaces could not be tried"
    return "" if tried.returncode == 0 else "the kernel, or what confines this container, gives no user namespaces"


def sandbox_arguments() -> list[str]:
    """Return what Chromium must be told where it has no sandbox: without, it does not start there.

    What has a process of its own to be confined in it is of no use then: zygotes, and what draws (no GPU is used).
    """
    return ["--no-sandbox", "--no-zygote", "--in-process-gpu"] if sandbox_problem() else []


def make_profile() -> Path:
    """Make a browser profile on a memory file system if there is room, and remove those of dead processes.

    Raises OSError.
    """
    roomy = MEMORY_FILES.is_dir() and psutil.disk_usage(str(MEMORY_FILES)).free >= MINIMUM_MEMORY_FILES_BYTES
    parent = MEMORY_FILES if roomy and os.access(MEMORY_FILES, os.W_OK) else Path(tempfile.gettempdir())
    # By locks, not by process ids: containers that share the memory file system do not see each other's processes.
    for stale in parent.glob(f"{PROFILE_PREFIX}*"):
        if remove_abandoned(stale / _LOCK) or _is_afterlife(stale):
            shutil.rmtree(stale, ignore_errors=True)
    profile = Path(tempfile.mkdtemp(prefix=f"{PROFILE_PREFIX}{os.getpid()}-", dir=parent))
    _locks[profile] = open_locked(profile / _LOCK)
    return profile


def _is_afterlife(profile: Path) -> bool:
    """Tell whether a profile has been without a lock for a while: Chromium writes its caches anew as it ends."""
    with contextlib.suppress(OSError):
        return not (profile / _LOCK).exists() and time.time() - profile.stat().st_mtime > AFTERLIFE_SECONDS
    return False


def remove_profile(profile: Path) -> None:
    """Remove a profile that this process made."""
    shutil.rmtree(profile, ignore_errors=True)
    lock = _locks.pop(profile, None)
    if lock is not None:
        os.close(lock)


def shared_memory_arguments(profile: Path) -> list[str]:
    """Return what Chromium needs to know where /dev/shm is too small for its profile: it crashes on a full one."""
    return [] if profile.parent == MEMORY_FILES else ["--disable-dev-shm-usage"]
