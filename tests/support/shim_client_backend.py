"""The editor's backend as the render service knows it: what it posts, when it writes rows, how it answers callbacks.

    with ClientBackend(service="http://127.0.0.1:8090") as backend:
        job_id = backend.create(scenario, video_url="https://...")
        backend.wait(job_id)

It has the habits of the real one, the unfortunate ones too: only a 200 with JSON counts as accepted, the row becomes
`processing` after that, whatever it was before; callbacks overwrite each other without looking; those that say
`completed` or `failed` are stored and then answered with 500 if the user has no row of statistics for the day.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from uuid import UUID, uuid4

import httpx
from pydantic import BaseModel, ValidationError

from ports import free_ports

PATH = "/api/render/callback"
DEFAULT_OPTIONS = {"width": 1920, "height": 1080, "fps": 30, "quality": 90, "format": "mp4"}
TERMINAL = ("completed", "failed", "cancelled")
LARGEST_INTEGER = 2**31 - 1


class CallbackModel(BaseModel):
    """What the backend reads of a callback; other fields are passed over."""

    job_id: str
    status: str
    progress: int | None = None
    estimated_time_remaining: int | None = None
    download_url: str | None = None
    file_size: int | None = None
    duration: float | None = None
    error_message: str | None = None
    error_code: str | None = None


@dataclass
class Row:
    """A row of the backend's table of jobs."""

    job_id: str
    video_url: str | None
    status: str = "queued"
    progress: int = 0
    estimated_time_remaining: int | None = None
    download_url: str | None = None
    file_size: int | None = None
    duration: float | None = None
    error_message: str | None = None
    error_code: str | None = None
    history: list[str] = field(default_factory=list)

    def write(self, **values: Any) -> None:
        """Write columns; the status is noted in the history too."""
        for name, value in values.items():
            setattr(self, name, value)
        if "status" in values:
            self.history.append(values["status"])


@dataclass(frozen=True)
class Received:
    """A callback as it came: `answered` is the status that it got, 0 if it got none."""

    at: float
    job_id: str
    headers: dict[str, str]
    body: dict[str, Any]
    raw: bytes
    answered: int


Answer = tuple[int, Any]
Fault = Callable[[dict[str, Any]], Answer | None]


class ClientBackend:
    """A backend that listens on a port of its own.

    Args:
        service: address of the render service, which may be given later.
        has_usage_row: terminal callbacks are answered 200 instead of 500.
        write_delay: seconds from the service's 200 to the row that says `processing`.
        host: this machine's address to listen on, one that the service reaches.

    Attributes:
        fault: given a callback's body, returns (status, body) to answer without storing it, or None; may sleep.
        received: all callbacks, in the order of their answers.
    """

    def __init__(
        self, service: str = "", *, has_usage_row: bool = False, write_delay: float = 0.0, host: str = "127.0.0.1"
    ) -> None:
        self.service = service.rstrip("/")
        self.has_usage_row = has_usage_row
        self.write_delay = write_delay
        self.fault: Fault | None = None
        self.rows: dict[str, Row] = {}
        self.received: list[Received] = []
        self._lock = threading.RLock()
        self._server: ThreadingHTTPServer | None = None
        self._host = host
        self._port = 0
        self._posts = ThreadPoolExecutor(64)

    def __enter__(self) -> Self:
        self.come_up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._posts.shutdown(wait=True, cancel_futures=True)
        self.go_down()

    @property
    def callback_url(self) -> str:
        """The address that jobs are posted with."""
        return f"http://{self._host}:{self._port}{PATH}"

    def come_up(self) -> None:
        """Listen; on the same port as before."""
        assert self._server is None
        self._port = self._port or free_ports(1, self._host)[0]  # which is still free when it comes up again
        self._server = _Server((self._host, self._port), _handler(self))
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def go_down(self) -> None:
        """Refuse connections."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def create(
        self,
        scenario: dict[str, Any],
        options: dict[str, Any] | None = None,
        *,
        video_url: str | None = None,
        job_id: str | None = None,
        wait: bool = True,
    ) -> str:
        """Do what a user's request for a render does: a row, then a POST; `wait` for its answer."""
        job_id = job_id or str(uuid4())
        with self._lock:
            self.rows[job_id] = Row(job_id, video_url)
        body = {
            "jobId": job_id,
            "videoUrl": video_url,
            "scenario": scenario,
            "options": options if options is not None else {},
            "callbackUrl": self.callback_url,
        }
        posted = self._posts.submit(self.post, job_id, body)
        if wait:
            posted.result()
        return job_id

    def post(self, job_id: str, body: dict[str, Any]) -> httpx.Response | None:
        """Post a job and write the row by the answer, as the backend does."""
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        headers["User-Agent"] = "Python/3.11 aiohttp/3.9.1"
        try:
            response = httpx.post(
                f"{self.service}/render", content=json.dumps(body), headers=headers, timeout=60, trust_env=False
            )
            if response.status_code == 200:
                if "application/json" not in response.headers.get("content-type", ""):
                    raise ValueError("the answer is not application/json")
                response.json()
        except (httpx.HTTPError, ValueError) as error:
            self._write(job_id, status="failed", error_code="GPU_SERVER_ERROR", error_message=str(error))
            return None
        if response.status_code == 200:
            time.sleep(self.write_delay)
            self._write(job_id, status="processing")
        else:
            said = f"GPU server error: {response.text}"
            self._write(job_id, status="failed", error_code=f"GPU_SERVER_{response.status_code}", error_message=said)
        return response

    def cancel(self, job_id: str) -> dict[str, Any]:
        """Do what a user's cancel does: the row first, then the service; return what the service says."""
        self._write(job_id, status="cancelled")
        headers = {"Content-Type": "application/json", "User-Agent": "HOIT-Backend/1.0"}
        url = f"{self.service}/api/render/{job_id}/cancel"
        reply: dict[str, Any] = httpx.post(url, headers=headers, timeout=30, trust_env=False).json()
        return reply

    def row(self, job_id: str) -> Row:
        """Return the row, as the frontend's poll sees it."""
        with self._lock:
            return self.rows[job_id]

    def of(self, job_id: str) -> list[Received]:
        """Return the callbacks of a job."""
        with self._lock:
            return [one for one in self.received if one.job_id == job_id]

    def statuses(self, job_id: str) -> list[str]:
        """Return what the callbacks of a job said, in order, each word once in a row."""
        words = [str(one.body.get("status")) for one in self.of(job_id)]
        return [word for place, word in enumerate(words) if place == 0 or words[place - 1] != word]

    def wait(self, job_id: str, seconds: float = 180.0, status: tuple[str, ...] = TERMINAL) -> Row:
        """Poll until the row has one of these statuses."""
        deadline = time.monotonic() + seconds
        while self.row(job_id).status not in status:
            assert time.monotonic() < deadline, f"the row is still {self.row(job_id)}"
            time.sleep(0.02)
        return self.row(job_id)

    def receive(self, headers: dict[str, str], raw: bytes) -> Answer | None:
        """Take a callback; return its answer, None for closing the connection without one."""
        try:
            body = json.loads(raw)
        except ValueError:
            body = {}
        faulty = self.fault(body) if self.fault else None
        with self._lock:  # who sees the row sees the callback, too
            answer = self._store(body) if faulty is None else faulty
            one = Received(time.time(), str(body.get("job_id")), headers, body, raw, answer[0])
            self.received.append(one)
        return answer if answer[0] else None

    def _store(self, body: dict[str, Any]) -> Answer:
        try:
            callback = CallbackModel.model_validate(body)
        except ValidationError as error:
            return 422, {"detail": json.loads(error.json())}
        with self._lock:
            row = self.rows.get(callback.job_id) if _is_uuid(callback.job_id) else None
            if row is None:
                detail = {"error": "JOB_NOT_FOUND", "code": "RENDER_JOB_NOT_FOUND", "message": "Job not found"}
                return 404, {"detail": detail}
            if problem := _database_problem(callback):
                return _failed(problem)
            values = callback.model_dump(exclude={"job_id"}, exclude_none=True)
            row.write(**values)
        if callback.status in ("completed", "failed") and not self.has_usage_row:
            return _failed("unsupported operand type(s) for +=: 'NoneType' and 'int'")
        return 200, {"status": "received"}

    def _write(self, job_id: str, **values: Any) -> None:
        with self._lock:
            self.rows[job_id].write(**values)


def _failed(said: str) -> Answer:
    return 500, {"detail": {"error": said, "code": "RENDER_CALLBACK_PROCESSING_FAILED"}}


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _database_problem(callback: CallbackModel) -> str:
    """Return why the backend's database would refuse a row, or nothing."""
    if len(callback.status) > 20 or len(callback.error_code or "") > 50:
        return "value too long for type character varying"
    if callback.file_size is not None and callback.file_size > LARGEST_INTEGER:
        return "integer out of range"
    texts = (callback.error_message, callback.download_url, callback.error_code, callback.status)
    if any("\0" in text for text in texts if text):
        return "invalid byte sequence for encoding UTF8: 0x00"
    return ""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that gave up waiting is part of the tests."""


def _handler(backend: ClientBackend) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.path != PATH:
                self.reply(404, {"detail": "Not Found"})
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = backend.receive(headers, raw)
            if answer is None:
                self.close_connection = True
                return
            self.reply(*answer)

        def reply(self, status: int, body: Any) -> None:
            if callable(body):
                body(self)
                return
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: Any) -> None:
            return

    return Handler
