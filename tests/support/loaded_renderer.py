"""`ecg-render` with all its modules loaded already: each command is a fork of one process that has done nothing else.

Loading takes half a second of CPU time, in which nothing is tested, and the tests run hundreds of commands. A fork is a
process of its own: environment, folder, standard streams, exit status and children are those of the command.
What is about loading, signals or the process itself starts the real thing (`command_line.command`,
`ecg_render_anew`); so does what Python settles when it starts: the hash seed is one for all forks.

status = run(["plan", "job.yaml"], cwd, environment, streams, seconds)     raises TimeoutError, and ends the process
"""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

_starting = threading.Lock()


def _server() -> socket.socket:
    with _starting:
        return _started_server()


@functools.cache
def _started_server() -> socket.socket:
    import processes  # which the server does not need

    ours, theirs = socket.socketpair()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, str(theirs.fileno())], env=environment, pass_fds=[theirs.fileno()]
    )
    theirs.close()
    processes.kept.add(process.pid)

    @atexit.register
    def end() -> None:
        ours.close()
        process.wait()

    return ours


def run(
    arguments: list[str], cwd: Path, environment: dict[str, str], streams: tuple[int, int, int], seconds: float
) -> int:
    """Run a command with such standard streams (file descriptors); return its exit status, as subprocess gives it."""
    connection = _server()
    request = json.dumps({"arguments": arguments, "cwd": str(cwd), "environment": environment}).encode()
    own, given = socket.socketpair()
    with own:
        socket.send_fds(connection, [b"f"], [given.fileno(), *streams])
        given.close()
        own.sendall(len(request).to_bytes(4, "big") + request)
        process = int.from_bytes(_exactly(own, 4), "big")
        own.settimeout(seconds)
        try:
            return int.from_bytes(_exactly(own, 4), "big", signed=True)
        except TimeoutError:
            os.kill(process, signal.SIGKILL)
            raise


def _exactly(connection: socket.socket, count: int) -> bytes:
    content = b""
    while len(content) < count:
        if not (part := connection.recv(min(65536, count - len(content)))):
            raise ConnectionError("the process that has the renderer loaded has ended")
        content += part
    return content


def _load() -> None:
    """Import what a command may import; nothing of it may have started a thread, which a fork would lack."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as ecg_renderer.cli.main does
    package = importlib.import_module("ecg_renderer")
    for module in pkgutil.walk_packages(package.__path__, "ecg_renderer."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    assert threading.active_count() == len(list(Path("/proc/self/task").iterdir())) == 1
    gc.collect()
    gc.freeze()


def _serve(listening: socket.socket) -> dict[str, Any] | None:
    """Fork for each request. Return it in the fork, and None in the server, when nobody can ask any more."""
    poll = select.poll()
    poll.register(listening, select.POLLIN)
    running: dict[int, tuple[int, socket.socket]] = {}
    while True:
        for descriptor, _ in poll.poll():
            if descriptor in running:
                process, asker = running.pop(descriptor)
                poll.unregister(descriptor)
                os.close(descriptor)
                status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
                with asker:
                    _tell(asker, status)
                continue
            word, descriptors, _, _ = socket.recv_fds(listening, 1, 4)
            if not word:
                return None
            asker = socket.socket(fileno=descriptors[0])
            request: dict[str, Any] = json.loads(_exactly(asker, int.from_bytes(_exactly(asker, 4), "big")))
            process = os.fork()
            if process == 0:
                return request | {"streams": descriptors[1:], "close": [listening, asker, *running.values()]}
            for stream in descriptors[1:]:
                os.close(stream)
            _tell(asker, process)
            watch = os.pidfd_open(process)
            running[watch] = process, asker
            poll.register(watch, select.POLLIN)


def _tell(asker: socket.socket, number: int) -> None:
    try:
        asker.sendall(number.to_bytes(4, "big", signed=True))
    except OSError:  # whoever asked has lost patience
        return


def _become(request: dict[str, Any]) -> None:
    """Make this fork what a new process would be."""
    for stream, descriptor in enumerate(request["streams"]):
        os.dup2(descriptor, stream)
    os.closerange(3, max(1024, *request["streams"]) + 1)
    for one in request["close"]:
        (one[1] if isinstance(one, tuple) else one).detach()
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["cwd"])
    tempfile.tempdir = None  # TMPDIR may be another one
    time.tzset()
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    sys.argv = ["ecg-render", *request["arguments"]]


def _end(main: Callable[[], None]) -> None:
    """Run `main`, and end as Python does, but take no modules apart: a fork would copy all the memory they are in."""
    status: object = 0
    try:
        main()
    except SystemExit as end:
        status = end.code
    except BaseException:
        traceback.print_exc()
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    if isinstance(status, str):
        sys.stderr.write(f"{status}\n")
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            status = 120  # as Python says it
    os._exit(status if isinstance(status, int) else int(status is not None))


if __name__ == "__main__":
    _load()
    with socket.socket(fileno=int(sys.argv[1])) as _listening:
        _request = _serve(_listening)
        if _request is not None:
            _become(_request)
            del _request
            from ecg_renderer.cli import main

            _end(main)
