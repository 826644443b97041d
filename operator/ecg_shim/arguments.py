"""The command line of `ecg-render serve` and `python -m ecg_shim`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence

from ecg_shim.settings import MODES, PASSED_ON, WITHOUT_EFFECT, Settings
from ecg_shim.variables import Variable

PURPOSE = """\
Serve HTTP: take render requests, render them, call back.

  POST /render  {"jobId", "videoUrl", "scenario", "options", "callbackUrl"}   put a job into the queue
  GET  /api/render/ID/status      where it stands
  GET  /api/render/ID/download    the finished video
  POST /api/render/ID/cancel      stop it
  GET  /                          status page          GET /openapi.json   the whole API
"""
EXAMPLES = """\
examples:
  ecg-render serve                               this machine renders, only it can ask: http://localhost:8090
  ecg-render serve --host 0.0.0.0                other machines can ask, too; set ECG_API_TOKEN or a firewall
  MAX_CONCURRENT_JOBS=1 ecg-render serve         one render at a time
  ecg-render serve --mode kubernetes             a cluster renders: each request becomes a RenderJob
  ecg-render serve --settings                    every variable, its value now, and what it does
  ecg-render serve callbacks list                ends of jobs that the backend could not be told; replay sends them

Stopped with Ctrl-C or SIGTERM it lets requests end, stops its renders, and exits with 0; the next start goes on with
the jobs that are left. Exit status: 0 stopped, 1 cannot start, 2 wrong usage or settings, 70 a task of it
has ended by a mistake of ours, and the whole has to be started again.
"""
WORKER = (
    "There are no workers to start any more. With --mode kubernetes every segment of a job runs in a pod of its own, "
    "which the operator starts; with --mode standalone renders are child processes of the service."
)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the arguments; leaves the process with status 2 and an explanation if they are wrong."""
    parser = argparse.ArgumentParser(
        prog="ecg-render serve",
        description=PURPOSE,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--mode",
        choices=MODES,
        metavar="MODE",
        help="standalone: this machine renders; kubernetes (also celery, distributed): a cluster; auto (default): "
        "kubernetes inside a pod, else standalone",
    )
    parser.add_argument("--host", metavar="ADDRESS", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", metavar="PORT", help="port to listen on (default 8090)")
    parser.add_argument("--data-dir", metavar="DIR", help="queue and videos (default ~/.local/share/ecg-render)")
    parser.add_argument("--settings", action="store_true", help="list every environment variable, and end")
    return parser.parse_args(arguments)


def environment(given: argparse.Namespace, own: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with what the arguments say in the place of their variables."""
    named = {
        "ECG_RENDER_MODE": given.mode,
        "ECG_HOST": given.host,
        "ECG_PORT": given.port,
        "ECG_DATA_DIR": given.data_dir,
    }
    return {**own, **{name: value for name, value in named.items() if value is not None}}


def table(settings: Settings, own: Mapping[str, str]) -> Iterator[str]:
    """Yield a paragraph for each variable: name, value in force, effect. Secrets are not shown."""
    values = {declared.name: getattr(settings, field) for field, declared in Settings.variables()}
    for declared in (*(entry for _, entry in Settings.variables()), *PASSED_ON, *WITHOUT_EFFECT):
        value = values.get(declared.name, next((own[name] for name in declared.names if name in own), ""))
        yield f"{_assigned(declared, value)}\n    {declared.effect}"


def _assigned(declared: Variable, value: object) -> str:
    others = f"  (also {', '.join(declared.names[1:])})" if declared.names[1:] else ""
    if declared.secret:
        return f"{declared.name}={'(set)' if value else ''}{others}"
    written = ",".join(value) if isinstance(value, tuple) else str(value).lower() if isinstance(value, bool) else value
    return f"{declared.name}={written}{others}"
