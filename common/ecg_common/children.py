"""Child processes: they end when we do, with all that they started, and learn no secrets."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
from collections.abc import Mapping
from contextlib import suppress

import psutil

MARK = "ECG_RENDER_CHILD_OF"
"""The variable by which the service finds what its renderers started; every child has to carry it."""

# What programs need to find files, fonts, devices, certificates and their language; all else may be a secret.
_KNOWN = re.compile(
    rf"{MARK}|PATH|HOME|USER|LOGNAME|SHELL|TERM|TZ|TMPDIR|TEMP|TMP|LANG|LANGUAGE|LC_\w+|XDG_\w+|LD_\w+|MALLOC_\w+"
    r"|GLIBC_TUNABLES|OMP_\w+|NVIDIA_\w+|CUDA_\w+|LIBVA_\w+|VK_\w+|MESA_\w+|FONTCONFIG_\w+|FREETYPE_PROPERTIES"
    r"|SSL_CERT_FILE|SSL_CERT_DIR|FFREPORT"
)
_PROXIES = re.compile(r"(https?|all|no)_proxy", re.IGNORECASE)


def short_environment(environment: Mapping[str, str] = os.environ, *, proxies: bool = False) -> dict[str, str]:
    """Return what a program that reads strangers' bytes may know of `environment`: no keys, tokens or jobs.

    `proxies`: it fetches from the network, and has to know the proxies with their passwords.
    """
    return {
        name: value
        for name, value in environment.items()
        if _KNOWN.fullmatch(name) or (proxies and _PROXIES.fullmatch(name))
    }


def ending_with_us() -> tuple[str, ...]:
    """Return the beginning of a command that the kernel kills when we are killed (Linux; elsewhere nothing)."""
    # Python's preexec_fn could ask for the same, but is not safe in a process with threads.
    setpriv = shutil.which("setpriv")
    return (setpriv, "--pdeathsig", "KILL", "--") if setpriv else ()


def signal_group(leader: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Send a signal to a child that leads a session, and to all in its group, while its end is not known."""
    if leader.returncode is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(leader.pid, number)


def tree_memory(pid: int | None = None) -> int:
    """Return the memory of a process (ours) and its descendants in bytes: what each has alone, the largest shared part.

    Close to the proportional set size, which would cost a tenth of a second of CPU time each time here: the kernel
    walks every page of the shared mappings. 0 for a process that has ended.
    """
    private, shared = 0, 0
    with suppress(psutil.Error):
        top = psutil.Process(pid)
        for process in [top, *top.children(recursive=True)]:
            with suppress(psutil.Error):  # it ended meanwhile
                memory = process.memory_info()
                common = getattr(memory, "shared", 0)  # macOS does not tell
                private += memory.rss - common
                shared = max(shared, common)
    return private + shared
