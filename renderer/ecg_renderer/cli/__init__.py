"""The command line, `ecg-render`.

app        the commands, with their help, doctor, cells, serve; imports next to nothing, so that --help comes at once
 ├─ run        run, burn ──> display    the progress bar, or lines in a log
 ├─ look       plan, preview, still, frames
 ├─ scenario   check, migrate and the like, of a scenario alone
 └─ worker     the steps that pods run, with a report each

options, requests    what is written on the command line, and what it means
words, ending        results; failures as one paragraph, exit codes, signals
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from typing import NoReturn

from ecg_api.names import SIGTERM_EXIT_CODE


def main() -> None:
    """Run the command that the arguments name; ends the process."""
    if os.getpid() == 1:
        # The first process of a container hears no signal that it has no handler for; imports take a while.
        signal.signal(signal.SIGTERM, _stop_at_once)
    # numpy's linear algebra, which nothing here uses, would start a thread for each core, and they spin.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # pydantic would look through all packages that are installed for plugins of its own, of which none is wanted.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    # What modules make while they are loaded stays: looking through it takes a tenth of the time that loading takes.
    gc.set_threshold(10_000)
    try:
        from ecg_renderer.cli.app import app

        app(prog_name="ecg-render")
    except KeyboardInterrupt:
        # While modules are loaded: nothing was begun that would have to be cleaned up.
        sys.stderr.write("\nStopped before anything was done.\n")
        sys.exit(130)
    finally:
        gc.freeze()  # Python would look through all that there is once more before it ends


def _stop_at_once(_number: int, _frame: object) -> NoReturn:
    os._exit(SIGTERM_EXIT_CODE)
