"""`python -m ecg_shim`, which `ecg-render serve` runs: backend, relay and HTTP in one process."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence

from ecg_shim.arguments import WORKER, environment, parse, table
from ecg_shim.settings import Settings
from ecg_shim.variables import SettingsError

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
    from ecg_shim.model import Unavailable
    from ecg_shim.redis import look_for_redis
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
