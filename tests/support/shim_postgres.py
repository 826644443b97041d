"""A PostgreSQL server of one's own, on a socket in a temporary folder; gone when the block ends."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

DEBIANS = "/usr/lib/postgresql/*/bin"
SECONDS = 30


@contextlib.contextmanager
def running() -> Iterator[str]:
    """Run a server; yield how to connect to it."""
    folder = Path(tempfile.mkdtemp(prefix="ecg-pg-", dir="/tmp"))
    as_user: dict[str, Any] = _unprivileged(folder)
    data, log = folder / "data", folder / "log"
    control = _program("pg_ctl")
    try:
        command = [_program("initdb"), "-D", str(data), "-U", "test", "-A", "trust", "--no-sync", "-E", "UTF8"]
        subprocess.run(command, check=True, capture_output=True, timeout=SECONDS, **as_user)
        options = f"-k {folder} -h '' -c fsync=off -c shared_buffers=16MB"
        start = [control, "-D", str(data), "-l", str(log), "-w", "-o", options, "start"]
        subprocess.run(start, check=True, stdout=subprocess.DEVNULL, timeout=SECONDS, **as_user)
        try:
            yield f"host={folder} user=test dbname=postgres"
        finally:
            stop = [control, "-D", str(data), "-m", "immediate", "-w", "stop"]
            subprocess.run(stop, check=True, stdout=subprocess.DEVNULL, timeout=SECONDS, **as_user)
    finally:
        shutil.rmtree(folder)


def execute(dsn: str, statement: str) -> None:
    """Run one statement."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(statement)


def _program(name: str) -> str:
    found = shutil.which(name) or next(map(str, Path("/").glob(f"{DEBIANS.lstrip('/')}/{name}")), None)
    if found is None:
        pytest.fail("PostgreSQL's server is not installed: apt-get install postgresql", pytrace=False)
    return found


def _unprivileged(folder: Path) -> dict[str, Any]:
    """Return who runs the server; PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": [], "cwd": folder}
