"""The command line, `ecg-render`.

app        the commands, with their help; imports next to nothing, so that --help comes at once
 ├─ run ─────> display    the progress bar, or lines in a log
 │         └─> summary    what was rendered
 ├─ plan, still, frames, doctor
 └─ ending    failures as one paragraph, exit codes, signals
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command that the arguments name; ends the process."""
    # numpy's linear algebra, which nothing here uses, would start a thread for each core, and they spin.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        from ecg_renderer.cli.app import app

        app(prog_name="ecg-render")
    except KeyboardInterrupt:
        # While modules are loaded: nothing was begun that would have to be cleaned up.
        sys.stderr.write("\nStopped before anything was done.\n")
        sys.exit(130)
