"""The HTTP surface over a backend in memory, on a real socket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import pytest

from shim_memory import MemoryBackend, Served, memory_service, serving


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    """Return a function that starts a service, set by environment variables."""
    with ExitStack() as stack:

        def start(lookup: bool = False, **environment: str) -> Served:
            service = memory_service(environment, lookup=lookup)
            address = stack.enter_context(serving(service.app))
            return Served(
                service, stack.enter_context(httpx.Client(base_url=address, timeout=30, verify=False)), address
            )

        yield start


@pytest.fixture(scope="session")
def running() -> Iterator[Served]:
    """A service without any setting, started once."""
    service = memory_service()
    with serving(service.app) as address, httpx.Client(base_url=address, timeout=30, verify=False) as client:
        yield Served(service, client, address)


@pytest.fixture
def served(running: Served) -> Iterator[Served]:
    """A service as it is without any setting, and without any job."""
    yield running
    running.told.job_ids.clear()
    for name in vars(running.backend).keys() - vars(fresh := MemoryBackend()).keys():
        delattr(running.backend, name)
    vars(running.backend).update(vars(fresh))
