"""promtool and prometheus, which scripts/setup --dev fetches, and a Prometheus that reads metrics for a test.

with Prometheus(folder, scrape_configs) as prometheus:
    prometheus.shown("sum(ecg_jobs)", began)       what a panel with that query would draw
"""

from __future__ import annotations

import json
import math
import shutil
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from daemons import Daemons
from ports import free_ports

SCRAPE_SECONDS = 1
SECONDS_TO_START = 60.0
Answer = list[dict[str, Any]]


def program(name: str) -> str:
    """Return the path of `promtool` or `prometheus`."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.is_file() else shutil.which(name)
    assert found, f"{name} is missing: scripts/setup --dev fetches it from Debian's package prometheus"
    return found


class Prometheus:
    """A Prometheus that asks its targets once a second; `configs` are its scrape_configs."""

    def __init__(self, folder: Path, configs: Sequence[dict[str, Any]]) -> None:
        self._folder = folder
        self._configs = configs
        self._daemons = Daemons(folder)
        self.began = time.time()

    def __enter__(self) -> Prometheus:
        (port,) = free_ports(1)
        self._address = f"http://127.0.0.1:{port}/api/v1"
        every = f"{SCRAPE_SECONDS}s"
        config = {"global": {"scrape_interval": every, "scrape_timeout": every}, "scrape_configs": self._configs}
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "prometheus.yml").write_text(json.dumps(config))
        flags = [
            f"--config.file={self._folder}/prometheus.yml",
            f"--storage.tsdb.path={self._folder}/data",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        self._daemons.start("prometheus", [program("prometheus"), *flags])
        try:
            self.until(self._reads_all)
        except BaseException:
            self._daemons.kill("prometheus")
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._daemons.kill("prometheus")

    def until(self, holds: Callable[[], object], seconds: float = SECONDS_TO_START) -> None:
        """Wait until something holds; NotReady with the end of the log otherwise."""
        self._daemons.wait_until("prometheus", lambda: bool(holds()), seconds)

    def shown(self, query: str) -> list[float]:
        """Return all numbers that a graph of `query` shows from the start until now, of all its lines."""
        wanted = {"query": query, "start": self.began, "end": time.time(), "step": SCRAPE_SECONDS}
        answer: Answer = self._asked("query_range", wanted)["result"]
        values = [float(value) for line in answer for _, value in line["values"]]
        return [value for value in values if math.isfinite(value)]

    def _reads_all(self) -> bool:
        try:
            targets = self._asked("targets", {"state": "active"})["activeTargets"]
        except OSError:  # it does not listen yet
            return False
        return bool(targets) and all(target["health"] == "up" for target in targets)

    def _asked(self, what: str, words: dict[str, Any]) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self._address}/{what}?{urllib.parse.urlencode(words)}", timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)["data"]
        return found
