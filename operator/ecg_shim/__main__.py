"""The command line of `ecg-render serve` and `python -m ecg_shim`: backend, relay and HTTP in one process."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence

from ecg_shim.settings import MODES, PASSED_ON, WITHOUT_EFFECT, Settings
from ecg_shim.variables import SettingsError, Variable

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


CANNOT_START, WRONG_USAGE, TASK_ENDED = 1, 2, 70
log = logging.getLogger("ecg_shim")


def main(arguments: Sequence[str]) -> int:
    """Serve until told to stop; returns the exit status."""
    if arguments[:1] == ["callbacks"]:
        return _callbacks(arguments[1:])
    given = parse(arguments)
    own = environment(given, os.environ)
    settings = _settings(own)
    if settings is None:
        return WRONG_USAGE
    if given.settings:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # a pager may close first
        print("\n\n".join(table(settings, own)))  # noqa: T201 - the answer to the question
        return 0
    if settings.mode == "worker":
        return _ended(WORKER, WRONG_USAGE)
    _log_to_stderr(settings)
    return _serve(settings)


def _serve(settings: Settings) -> int:
    from ecg_shim.legacy import look_for_redis
    from ecg_shim.model import Unavailable
    from ecg_shim.serving import CannotListen, address_of, allow_many_connections, listen, serve
    from ecg_shim.tasks import TaskEnded
    from ecg_shim.wiring import STANDALONE, CannotStart, chosen_mode, data_folder, service

    try:
        mode = chosen_mode(settings)
        listening = listen(settings.host, settings.port)
        address = address_of(listening, settings.host)
        built = service(mode, settings, address)
    except (CannotStart, CannotListen) as problem:
        return _ended(str(problem), CANNOT_START)
    allow_many_connections()
    look_for_redis(settings.redis_url)
    place = f", data in {data_folder(settings)}" if mode == STANDALONE else ""
    log.info("%s: status page %s/, API %s/openapi.json%s", mode, address, address, place)
    if not settings.local_only and not settings.api_token:
        log.warning("Everybody who reaches %s can send jobs; ECG_API_TOKEN or a firewall changes that.", address)
    try:
        asyncio.run(serve(built.app, built.behind, listening, settings.drain_seconds, built.essential))
    except Unavailable as problem:
        return _ended(str(problem), CANNOT_START)
    except TaskEnded as problem:
        return _ended(f"{problem}. This is a mistake in the program; start it again.", TASK_ENDED)
    finally:
        listening.close()
    return 0


def _callbacks(arguments: Sequence[str]) -> int:
    from ecg_shim.relay.command import main as command
    from ecg_shim.wiring import CannotStart, data_folder, dead_letters

    settings = _settings(dict(os.environ))
    if settings is None:
        return WRONG_USAGE
    try:
        return command(arguments, data_folder(settings), print, dead_letters(settings))
    except CannotStart as problem:
        return _ended(str(problem), CANNOT_START)


def _settings(own: dict[str, str]) -> Settings | None:
    try:
        return Settings.from_environment(own)
    except SettingsError as error:
        _ended("\n".join([*error.problems, "`ecg-render serve --settings` lists every variable."]), WRONG_USAGE)
        return None


def _ended(message: str, status: int) -> int:
    print(f"ecg-render serve: {message}", file=sys.stderr)  # noqa: T201 - what a person must know
    return status


def _log_to_stderr(settings: Settings) -> None:
    name = settings.worker_id or settings.worker_name
    form = f"%(asctime)s %(levelname)s {name + ' ' if name else ''}%(name)s: %(message)s"
    logging.basicConfig(level=settings.log_level, format=form, datefmt="%Y-%m-%dT%H:%M:%S%z")
    logging.getLogger("httpx").setLevel(max(logging.WARNING, logging.getLogger().level))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
