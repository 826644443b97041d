"""`ecg-render serve`: the HTTP service, which is a program of its own."""

from __future__ import annotations

import os
import sys

import typer

NAME = "serve"
SETTINGS = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def command(context: typer.Context) -> None:
    """Serve HTTP: take render requests, render them, call back."""
    os.execv(sys.executable, [sys.executable, "-m", "ecg_shim", *context.args])  # noqa: S606 - no shell is meant
