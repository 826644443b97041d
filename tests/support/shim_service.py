"""The whole standalone service (HTTP, queue, relay) with the stand-in renderer, in this process or as one to kill.

with service(tmp_path) as address: ...
python shim_service.py FOLDER PORT        until it is killed; prints `ready`
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

import shim_standalone
from ecg_common.web import checked_client
from ecg_shim.app import create_app
from ecg_shim.backends.standalone import StandaloneBackend
from ecg_shim.relay import Policy, Relay, Sender, SqliteOutbox
from ecg_shim.relay.command import FILE_NAME
from ecg_shim.services import Services
from ecg_shim.settings import Settings
from ecg_shim.wiring import rules_of
from ports import free_ports
from shim_memory import serving

SECONDS_TO_START = 90.0


def application(folder: Path, address: str, policy: Policy, **changes: Any) -> FastAPI:
    """Return the service; `changes` are to the backend's settings."""
    settings = Settings()
    rules = rules_of(settings)
    backend = StandaloneBackend(shim_standalone.settings(folder, public_url=address, **changes))
    client = checked_client(rules.callbacks)
    relay = Relay(backend, SqliteOutbox(folder / "data" / FILE_NAME), Sender(client), policy)

    app = create_app(Services("standalone", settings, backend, relay, rules))
    own_lifespan = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with client, backend.running(), relay.running(), own_lifespan(app):
            yield

    app.router.lifespan_context = lifespan
    return app


@contextmanager
def service(folder: Path, policy: Policy | None = None, **changes: Any) -> Iterator[str]:
    """Serve from a thread; yield the address."""
    with serving(application(folder, "http://127.0.0.1:1", policy or Policy(), **changes)) as address:
        yield address


class Killable:
    """The service as a process of its own, always at the same address."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_ports(1)[0]
        self.address = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
        command = [sys.executable, __file__, str(self.folder), str(self.port)]
        with (self.folder / "service.log").open("ab") as log:
            self._process = subprocess.Popen(command, env=environment, stderr=log)
        deadline = time.monotonic() + SECONDS_TO_START
        while True:
            assert self._process.poll() is None, (self.folder / "service.log").read_text()
            try:
                httpx.get(f"{self.address}/health", timeout=5, trust_env=False)
                return
            except httpx.HTTPError:
                assert time.monotonic() < deadline
                time.sleep(0.05)

    def kill(self) -> None:
        """End it as a loss of power would."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None


async def _serve(folder: Path, port: int) -> None:
    app = application(folder, f"http://127.0.0.1:{port}", Policy())
    await uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning", access_log=False)).serve()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), int(sys.argv[2])))
