"""`ecg-render doctor`: what this machine can do, and what it lacks."""

from __future__ import annotations

import sys

from ecg_renderer.cli.ending import ending, put
from ecg_renderer.cli.options import Json

NAME = "doctor"
EXAMPLES = """
Examples:

  ecg-render doctor

  ecg-render doctor --json | jq '.checks[] | select(.state != "ok")'

Exit status: 0 if a render can work, else 1."""


def command(as_json: Json = False) -> None:
    """Check this machine: browser, capture, encoders, fonts, memory, disk; and say how to fix it.

    Starts the browser and encodes a few frames, so that what is reported has been tried.
    """
    with ending(as_json=as_json):
        from ecg_renderer.cli.examined import examination_json, print_examination
        from ecg_renderer.cli.signals import run_interruptible
        from ecg_renderer.doctor import examine

        examination = run_interruptible(examine())
        if as_json:
            put(examination_json(examination))
        else:
            print_examination(examination)
        if not examination.can_render:
            sys.exit(1)
