"""A page on this machine that plays a job's source with its captions over it, and renders any frame on demand.

    /TOKEN/            the page                        /TOKEN/still?frame=N   the frame as rendered, a PNG
    /TOKEN/job         the job as JSON                 /TOKEN/source          the video
    /TOKEN/events      revisions, as they come         /TOKEN/copy            begin a copy of it; how far it is
    /preview/*         the page's own files            /*                     the caption page's: stage, plugins, fonts

The address holds a secret, so that other users of this machine get nothing, and only names of this machine are
answered, so that no web page reaches it by a name that resolves here (DNS rebinding). Scenarios and plugins are
hostile: the stage runs in a sandboxed frame that has an origin of its own, and no network.

`watching` has the job as it is planned, again whenever its manifest or its scenario changes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import uvicorn
from fastapi import APIRouter, FastAPI, HTTPException, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, StreamingResponse

from ecg_renderer.errors import OptionsError, RenderError
from ecg_renderer.preview.watching import RequestMaker, SourceCopy, Watched, described, plays_itself, whole_film
from ecg_renderer.served import PAGE_FOLDER, SERVED_BELOW, content_type, page_file
from ecg_renderer.stills import StillRequest, make_still

__all__ = ["preview"]

OWN_FOLDER = Path(__file__).parent / "page"
QUIET_SECONDS = 15.0
_HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}
# The stage's own origin is none: for it, all files are another's.
_FOR_THE_STAGE = {"Access-Control-Allow-Origin": "*"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self'; "
    "connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

Handler = Callable[[Request], Awaitable[Response]]


class Pages:
    """The application of a preview; `folder` is for files that it makes."""

    def __init__(self, watched: Watched, folder: Path) -> None:
        self.token = secrets.token_urlsafe(18)
        self._watched = watched
        self._folder = folder
        self._copy = SourceCopy(folder)
        self._drawing = asyncio.Lock()
        self._ended = asyncio.Event()

    def app(self) -> FastAPI:
        """Return the application."""
        app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
        app.middleware("http")(_guarded)
        mine = APIRouter(prefix=f"/{self.token}")
        mine.add_api_route("/", self._page)
        mine.add_api_route("/job", self._job)
        mine.add_api_route("/events", self._events)
        mine.add_api_route("/source", self._source)
        mine.add_api_route("/copy", self._copied, methods=["POST"])
        mine.add_api_route("/still", self._still)
        app.include_router(mine)
        app.add_api_route("/preview/{name}", _own_file)
        app.add_api_route("/fetched/{path:path}", self._fetched)
        app.add_api_route("/{path:path}", _stage_file)
        return app

    async def close(self) -> None:
        """End what goes on in the background, and answers that would go on for ever."""
        self._ended.set()
        await self._copy.close()

    async def _page(self) -> Response:
        html = (OWN_FOLDER / "index.html").read_text()
        return HTMLResponse(html, headers={"Content-Security-Policy": _POLICY})

    async def _job(self) -> Response:
        answer = await asyncio.to_thread(described, self._watched)
        if answer["job"]:
            assert self._watched.prepared is not None
            answer["job"]["plays"] = plays_itself(self._watched.prepared)
        return JSONResponse(answer)

    async def _events(self) -> Response:
        return StreamingResponse(self._revisions(), media_type="text/event-stream")

    async def _revisions(self) -> AsyncIterator[str]:
        revisions = self._watched.changes()
        waiting = asyncio.ensure_future(anext(revisions))
        ending = asyncio.ensure_future(self._ended.wait())
        try:
            while not ending.done():
                done, _ = await asyncio.wait(
                    {waiting, ending}, timeout=QUIET_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                if waiting in done:
                    yield f"data: {json.dumps(waiting.result())}\n\n"
                    waiting = asyncio.ensure_future(anext(revisions))
                elif not done:
                    yield ": still here\n\n"
        finally:
            waiting.cancel()
            ending.cancel()
            await asyncio.gather(waiting, ending, return_exceptions=True)

    async def _source(self) -> Response:
        prepared = self._watched.prepared
        if self._copy.path:
            return FileResponse(self._copy.path, media_type="video/mp4")
        if prepared is None or not plays_itself(prepared):
            raise HTTPException(404)
        return FileResponse(prepared.source_url)

    async def _copied(self) -> Response:
        if self._watched.prepared is None:
            raise HTTPException(404)
        self._copy.begin(self._watched.prepared)
        there = self._copy.path is not None
        return JSONResponse({"done": self._copy.done, "failure": self._copy.failure, "there": there})

    async def _fetched(self, path: str) -> Response:
        prepared = self._watched.prepared
        file = whole_film(prepared).served().get(f"{SERVED_BELOW}/{path}") if prepared else None
        if file is None:
            raise HTTPException(404)
        return Response(file.body, media_type=file.content_type, headers=_FOR_THE_STAGE)

    async def _still(self, frame: int) -> Response:
        """Render a frame from the job as it is now, as `ecg-render still` does."""
        prepared = self._watched.prepared
        if prepared is None or not 0 <= frame < prepared.plan.target.frames:
            raise HTTPException(404)
        middle = float((frame + 0.5) / prepared.grid.rate)
        async with self._drawing:
            with tempfile.TemporaryDirectory(dir=self._folder) as folder:
                file = Path(folder) / "still.png"
                try:
                    await make_still(StillRequest(self._watched.request, middle, file))
                except RenderError as error:
                    return JSONResponse({"message": error.message, "hint": error.hint}, status_code=422)
                return Response(file.read_bytes(), media_type="image/png")


async def _guarded(request: Request, call: Handler) -> Response:
    """Answer requests to names of this machine alone; say to browsers that nothing else may use the answer."""
    host = request.headers.get("host", "").rpartition(":")[0] or request.headers.get("host", "")
    if host not in ("127.0.0.1", "localhost", "[::1]"):
        return Response("This preview is for this machine alone.", status_code=403, headers=_HEADERS)
    response = await call(request)
    response.headers.update(_HEADERS)
    return response


async def _own_file(name: str) -> Response:
    file = OWN_FOLDER / Path(name).name
    if not file.is_file():
        raise HTTPException(404)
    return FileResponse(file, media_type=content_type(file), headers=_FOR_THE_STAGE)


async def _stage_file(path: str) -> Response:
    file = page_file(path)
    if file is None:
        raise HTTPException(404)
    if file == PAGE_FOLDER / "index.html":
        html = file.read_text().replace("</body>", '<script type="module" src="/preview/stage.js"></script></body>')
        return HTMLResponse(html)
    return FileResponse(file, media_type=content_type(file), headers=_FOR_THE_STAGE)


# --- the socket: on this machine alone, until it is stopped ---------------------------------------


HERE = "127.0.0.1"
ENDING_SECONDS = 1


async def preview(make: RequestMaker, manifest: Path | None, port: int, tell: Callable[[str], None]) -> None:
    """Serve the preview of the job that `make` reads until cancelled; `tell` is told its address.

    `manifest` is the file that it is read from, if it is one; `port` 0 takes any that is free. Raises OptionsError
    where the port is taken, and what `make` raises the first time.
    """
    watched = Watched(make, make(), manifest)
    with _listening(port) as listening, tempfile.TemporaryDirectory(prefix="ecg-preview-") as folder:
        pages = Pages(watched, Path(folder))
        config = uvicorn.Config(
            pages.app(),
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=ENDING_SECONDS,
        )
        server = _Server(config)
        following = asyncio.create_task(watched.follow(), name="watch over the job")
        serving = asyncio.create_task(server.serve(sockets=[listening]), name="serve the preview")
        tell(f"http://{HERE}:{listening.getsockname()[1]}/{pages.token}/")
        try:
            # Neither ends by itself: one that does failed, and nobody would see it.
            done, _ = await asyncio.wait({following, serving}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await pages.close()
            server.should_exit = True
            following.cancel()
            await asyncio.gather(following, serving, return_exceptions=True)


@contextlib.contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    listening = socket.socket()
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HERE, port))
            listening.listen()  # who is told the address may ask at once
        except OSError as error:
            raise OptionsError(
                f"Port {port} cannot be used: {error.strerror}.", hint="Choose another with --port; 0 takes a free one."
            ) from None
        yield listening
    finally:
        listening.close()


class _Server(uvicorn.Server):
    """Leaves signals to the command line."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
