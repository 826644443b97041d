"""Load on the HTTP service: clients that ask for the status of their jobs, large requests at one moment, many jobs.

`make bench-http`, or `python -m bench.http`. The service is the real one, with its queue on the disk. While clients are
counted, its jobs wait for videos that never come, so that no render takes part. Times are the clients': from a
request's first byte to the last one of its answer, everything on the same machine. Jobs a minute are those of one
second each, all posted at once, every one with other words.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import httpx
import psutil
import typer

from bench.cgroup import Cgroup, cgroup
from bench.conditions import conditions
from bench.errors import BenchError
from bench.footage import footage
from bench.scenarios import scenario
from bench.table import Table

PARTS = ("posting", "polling", "rendering", "watching")
RESULTS = Path(__file__).with_name("http.md")
EVERY = 5.0
LIMIT = 3.0
POST_LIMIT = 1.0
POSTS = 50
SCENARIO_BYTES = 5_000_000
SECONDS_TO_START = 60.0
RENDERED_HEIGHT = 360
LONGEST_RENDER = 600
WATCHED_SECONDS = (30, 120)
PLAYABLE_WITHIN = 10.0


def main(
    pollers: Annotated[int, typer.Option(min=1, help="Clients, each with a connection of its own.")] = 10_000,
    seconds: Annotated[int, typer.Option(min=5, help="How long they ask, each every 5 s.")] = 60,
    jobs: Annotated[int, typer.Option(min=1, help="Jobs that they ask for.")] = 200,
    renders: Annotated[int, typer.Option(min=1, help="Jobs of one second that are rendered.")] = 200,
    only: Annotated[str, typer.Option(help="Some of: " + ",".join(PARTS) + ".")] = ",".join(PARTS),
    results: Annotated[Path, typer.Option(help="Page to write.")] = RESULTS,
) -> None:
    """Measure how the service answers under load, and how many jobs it renders; a full run writes bench/http.md."""
    parts = set(only.split(","))
    if unknown := parts - set(PARTS):
        raise SystemExit(f"bench: --only knows {', '.join(PARTS)}, not {', '.join(sorted(unknown))}.")
    facts = conditions()
    tables = []
    try:
        with (
            tempfile.TemporaryDirectory(prefix="ecg-bench-") as folder,
            _never_answering() as video,
            _service(Path(folder), MAX_CONCURRENT_JOBS="1") as service,
        ):
            tables += [_posting(service, video)] if "posting" in parts else []
            tables += [_polling(service, video, pollers, seconds, jobs)] if "polling" in parts else []
        if "rendering" in parts:
            tables.append(_rendering(renders))
        if "watching" in parts:
            tables.append(_watching())
    except BenchError as error:
        raise SystemExit(f"bench: {error}") from None
    for table in tables:
        print(table.markdown(), end="\n\n")
    if parts == set(PARTS):
        results.write_text(_page(facts, tables))
        print(f"Written: {results}")


@dataclass(frozen=True)
class Service:
    """A service that runs as a process of its own."""

    port: int
    process: psutil.Process

    def cpu_seconds(self) -> float:
        """Return the processor time used so far."""
        used = self.process.cpu_times()
        return float(used.user + used.system)


@contextmanager
def _service(folder: Path, group: Cgroup | None = None, **variables: str) -> Iterator[Service]:
    port = _free_port()
    log = (folder / "log").open("w")
    command = [sys.executable, "-m", "ecg_shim", "--mode", "standalone", "--port", str(port), "--data-dir", str(folder)]
    own = {**os.environ, "TEMP_DIR": str(folder / "work"), "LOG_LEVEL": "WARNING", **variables}
    started = subprocess.Popen(group.entering(command) if group else command, env=own, stderr=log)
    try:
        _wait_until_it_answers(port, started, folder / "log")
        yield Service(port, psutil.Process(started.pid))
    finally:
        started.send_signal(signal.SIGTERM)
        started.wait(60)
        log.close()


def _wait_until_it_answers(port: int, started: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while started.poll() is None and time.monotonic() < deadline:
        try:
            httpx.get(f"http://127.0.0.1:{port}/health")
            return
        except httpx.TransportError:
            time.sleep(0.1)
    raise BenchError(f"the service does not start: {log.read_text()[-500:]}")


@contextmanager
def _never_answering() -> Iterator[str]:
    """Yield the address of a video on a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield f"http://127.0.0.1:{silent.getsockname()[1]}/video.mp4"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def _posting(service: Service, video: str) -> Table:
    large = _scenario(SCENARIO_BYTES)
    bodies = [_body(f"large-{number}", video, large) for number in range(POSTS)]
    before = service.cpu_seconds()
    times = asyncio.run(_post_all(service.port, bodies))
    used = service.cpu_seconds() - before
    return Table(
        f"{POSTS} requests of {len(bodies[0]) / 1e6:.1f} MB at one moment",
        "Until the answer: seconds from the last byte of the body on, since carrying it is the network's part.",
        ("what", "target", "measured"),
        [
            ("until the answer, median", "", f"{_quantile(times, 0.5):.3f} s"),
            ("until the answer, slowest", f"under {POST_LIMIT:g} s", f"{max(times):.3f} s"),
            ("processor time a request", "", f"{1000 * used / POSTS:.1f} ms"),
        ],
    )


async def _post_all(port: int, bodies: Sequence[bytes]) -> list[float]:
    return await asyncio.gather(*(_post(port, body) for body in bodies))


async def _post(port: int, body: bytes) -> float:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /render HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\n\r\n" % len(body))
    writer.write(body)
    await writer.drain()
    sent = time.perf_counter()
    answer = await reader.readline()
    taken = time.perf_counter() - sent
    writer.close()
    if b" 200 " not in answer:
        raise BenchError(f"POST /render was answered with {answer.decode().strip()}")
    return taken


def _rendering(jobs: int) -> Table:
    clip, words = footage(1, height=RENDERED_HEIGHT), scenario("typical", 1)
    bodies = []
    for number in range(jobs):
        words["cues"][0]["root"]["children"][0]["text"] = f"Number {number}"
        bodies.append(_body(f"render-{number}", clip.as_uri(), json.dumps(words).encode()))
    with (
        tempfile.TemporaryDirectory(prefix="ecg-bench-") as folder,
        cgroup("ecg-bench-http") as group,
        _service(Path(folder), group) as service,
    ):
        before, began = group.cpu_seconds(), time.monotonic()
        asyncio.run(_post_all(service.port, bodies))
        for number in range(jobs):
            _wait_until_rendered(service.port, f"render-{number}")
        taken, used = time.monotonic() - began, group.cpu_seconds() - before
    return Table(
        f"{jobs} jobs of one second at one moment",
        f"{RENDERED_HEIGHT} lines, typical captions, as many at a time as the service does of itself.",
        ("what", "target", "measured"),
        [
            ("jobs a minute", "", f"{60 * jobs / taken:.1f}"),
            ("processor time a job", "", f"{used / jobs:.2f} s"),
        ],
    )


def _watching() -> Table:
    """Return how soon the beginning of a video that was posted can be played; each job is cancelled then."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="ecg-bench-") as folder, _service(Path(folder)) as service:
        for number, seconds in enumerate((WATCHED_SECONDS[0], *WATCHED_SECONDS)):
            clip, words = footage(seconds), scenario("typical", seconds)
            words["cues"][0]["root"]["children"][0]["text"] = f"Number {number}"
            job, began = f"watched-{number}", time.monotonic()
            body = _body(job, clip.as_uri(), json.dumps(words).encode(), {"live": True})
            asyncio.run(_post_all(service.port, [body]))
            _wait_until_playable(service.port, job)
            taken = time.monotonic() - began
            _cancel(service.port, job)
            which = f"{seconds} s of 1080p, {'a later job' if number else 'the first job on a machine'}"
            rows.append((which, f"{PLAYABLE_WITHIN:g} s", f"{taken:.1f} s"))
    return Table(
        "From POST to the first second that can be played",
        "One job at a time, typical captions: until the playlists of picture and sound both list a piece.",
        ("what", "target", "measured"),
        rows,
    )


def _wait_until_playable(port: int, job: str) -> None:
    deadline = time.monotonic() + LONGEST_RENDER
    with httpx.Client(base_url=f"http://127.0.0.1:{port}/api/render/{job}", timeout=30) as client:
        while time.monotonic() < deadline:
            answers = [client.get(f"live/{name}.m3u8") for name in ("video", "sound")]
            if all(answer.status_code == httpx.codes.OK and "#EXTINF" in answer.text for answer in answers):
                return
            time.sleep(0.05)
    raise BenchError(f"{job} could not be watched within {LONGEST_RENDER} s.")


def _cancel(port: int, job: str) -> None:
    httpx.post(f"http://127.0.0.1:{port}/api/render/{job}/cancel", timeout=30).raise_for_status()
    while httpx.get(f"http://127.0.0.1:{port}/api/render/{job}/status", timeout=30).json()["status"] != "cancelled":
        time.sleep(0.05)


def _wait_until_rendered(port: int, job: str) -> None:
    deadline = time.monotonic() + LONGEST_RENDER
    while time.monotonic() < deadline:
        status = httpx.get(f"http://127.0.0.1:{port}/api/render/{job}/status", timeout=30).json()
        if status["status"] == "completed":
            return
        if status["status"] in ("failed", "cancelled"):
            raise BenchError(f"{job} ended as {status['status']}: {status}")
        time.sleep(0.2)
    raise BenchError(f"{job} was not rendered within {LONGEST_RENDER} s.")


def _polling(service: Service, video: str, pollers: int, seconds: int, jobs: int) -> Table:
    names = [f"job-{number}" for number in range(jobs)]
    asyncio.run(_post_all(service.port, [_body(name, video, _scenario(2000)) for name in names]))
    load = Load(service, pollers, seconds, names)
    _allow_connections(pollers)
    health = asyncio.run(load.run())
    times, used = load.times, load.cpu_seconds
    return Table(
        f"{pollers:,} clients that ask every {EVERY:g} s, for {seconds} s",
        f"Each over a connection of its own, which stays open; {jobs} jobs.",
        ("what", "target", "measured"),
        [
            ("requests a second", f"{pollers / EVERY:.0f}", f"{len(times) / seconds:.0f}"),
            ("median", "", f"{1000 * _quantile(times, 0.5):.1f} ms"),
            ("95 of 100 within", "", f"{1000 * _quantile(times, 0.95):.1f} ms"),
            ("99 of 100 within", f"{LIMIT:g} s", f"{_quantile(times, 0.99):.3f} s"),
            ("slowest", "", f"{max(times):.3f} s"),
            ("other answers than 200, lost connections", "0", str(load.failed)),
            ("/health meanwhile, slowest", "under 1 s", f"{max(health):.3f} s"),
            ("processor", "", f"{100 * used / seconds:.0f} % of one core"),
            ("processor time a request", "", f"{1e6 * used / len(times):.0f} µs"),
            ("memory of the service", "", f"{service.process.memory_info().rss / 1e6:.0f} MB"),
        ],
    )


@dataclass
class Load:
    """Clients that ask again and again."""

    service: Service
    pollers: int
    seconds: float
    names: Sequence[str]
    cpu_seconds: float = 0.0
    times: list[float] = field(default_factory=list)
    failed: int = 0
    over: bool = False

    async def run(self) -> list[float]:
        """Ask until the time is over; return how long /health took, asked once a second beside them."""
        loop = asyncio.get_running_loop()
        clients = []
        for number in range(self.pollers):
            clients.append(Client(self, self.names[number % len(self.names)], EVERY * number / self.pollers))
            await loop.create_connection(lambda client=clients[-1]: client, "127.0.0.1", self.service.port)  # type: ignore[misc]
        began, before = loop.time(), self.service.cpu_seconds()
        for client in clients:
            client.begin(began)
        health = await self._health(began + self.seconds)
        self.over = True
        self.cpu_seconds = self.service.cpu_seconds() - before
        await asyncio.sleep(EVERY)
        for client in clients:
            client.close()
        self.failed += sum(client.waiting for client in clients)
        return health

    async def _health(self, end: float) -> list[float]:
        times = []
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self.service.port}", timeout=30, verify=False
        ) as client:
            while asyncio.get_running_loop().time() < end:
                began = time.perf_counter()
                (await client.get("/health")).raise_for_status()
                times.append(time.perf_counter() - began)
                await asyncio.sleep(1)
        return times


class Client(asyncio.Protocol):
    """One client with one connection."""

    def __init__(self, load: Load, job: str, delay: float) -> None:
        self._load = load
        self._request = f"GET /api/render/{job}/status HTTP/1.1\r\nHost: bench\r\nAccept: */*\r\n\r\n".encode()
        self._delay = delay
        self._due = 0.0
        self._sent = 0.0
        self._answer = b""
        self._transport: asyncio.Transport | None = None
        self.waiting = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def begin(self, moment: float) -> None:
        """Ask for the first time some seconds after `moment`, so that not all ask at once."""
        self._due = moment + self._delay
        asyncio.get_running_loop().call_at(self._due, self._ask)

    def close(self) -> None:
        """Give the connection up."""
        if self._transport:
            self._transport.close()

    def _ask(self) -> None:
        if self._load.over:
            return
        if self._transport is None or self._transport.is_closing():
            self._load.failed += 1
            return
        self._sent, self._answer, self.waiting = time.perf_counter(), b"", True
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, end, body = self._answer.partition(b"\r\n\r\n")
        if not end or len(body) < int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]):
            return
        self._load.times.append(time.perf_counter() - self._sent)
        self._load.failed += b" 200 " not in head[:16]
        self.waiting = False
        loop = asyncio.get_running_loop()
        self._due = max(self._due + EVERY, loop.time())
        loop.call_at(self._due, self._ask)


def _allow_connections(number: int) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < number + 100:
        raise BenchError(f"{number} connections are more than the limit of open files, {most}; raise it: ulimit -n")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _scenario(size: int) -> bytes:
    """Return a scenario of about `size` bytes."""
    word = {"id": "word", "eType": "text", "text": "안녕하세요" * 3, "baseTime": [0.5, 0.6], "style": {"opacity": 1}}
    words = max(1, size // 1000 // len(json.dumps(word)))
    cues = min(1000, max(1, size // (words * len(json.dumps(word)))))
    root: dict[str, Any] = {"eType": "group", "displayTime": [0, 1], "children": [word] * words}
    return json.dumps({"version": "2.0", "cues": [{"id": f"cue-{n}", "root": root} for n in range(cues)]}).encode()


def _body(job_id: str, video: str, scenario: bytes, options: dict[str, Any] | None = None) -> bytes:
    rest = {"jobId": job_id, "videoUrl": video, "options": options or {}, "callbackUrl": "http://127.0.0.1:9/callback"}
    return json.dumps(rest)[:-1].encode() + b', "scenario": ' + scenario + b"}"


def _quantile(times: Sequence[float], share: float) -> float:
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def _page(facts: dict[str, str], tables: Sequence[Table]) -> str:
    known = [f"- {name}: {value}" for name, value in facts.items() if name not in ("FFmpeg", "Chromium")]
    head = "# The HTTP service under load\n\nWritten by `make bench-http`; what is measured is told in `bench/http.py`."
    return "\n\n".join([head, "\n".join(known), *(table.markdown() for table in tables)]) + "\n"


if __name__ == "__main__":
    typer.run(main)
