"""Watch a job while it renders: an HLS playlist of what is finished, which any player follows.

The playlist's address is that of the job alone, and works as soon as the job is taken: whoever asks before something is
finished waits for a moment, and is told to ask again. Like downloads, it needs no token and may be read by the pages of
`ECG_CORS_ORIGINS`. Pieces in storage are fetched from there, by addresses that are signed for the playlist; with
`?here`, as the status page asks, through this service: the page may load nothing from elsewhere.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, JSONResponse, Response

from ecg_api.live import FOLDER, MASTER, MEDIA_TYPE, PIECE_NAME, SOUND, VIDEO, with_end
from ecg_shim.model import StoredPiece
from ecg_shim.routes.downloads import cors
from ecg_shim.routes.jobs import FRESH, UNAVAILABLE, not_found
from ecg_shim.services import Services
from ecg_shim.wire import ErrorReply

PIECE_TYPE = "video/mp4"
KEPT = {"Cache-Control": "private, max-age=3600, immutable", "X-Content-Type-Options": "nosniff"}
RANGE = re.compile(r"bytes=(\d{1,15})-(\d{1,15})?")
HELD_SECONDS, LOOK_SECONDS = 8.0, 0.25
"""Less than players wait for a first answer."""
NOT_YET = "Nothing is finished yet; ask again in a moment."
GONE = "There is nothing to watch of this job, or no more; see its status."
REPLIES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The playlist.", "content": {MEDIA_TYPE: {}}},
    404: {"model": ErrorReply, "description": "There is no such job, or nothing to watch of it (any more)."},
    503: {"model": ErrorReply, "description": "Nothing is finished yet; Retry-After says when to ask again."},
}


def live_routes(services: Services) -> APIRouter:
    """Return the routes by which jobs are watched."""
    router = APIRouter(tags=["jobs"], responses=UNAVAILABLE)
    backend, origins = services.backend, services.settings.cors_origins

    @router.get(f"/api/render/{{job_id}}/{MASTER}", summary="Watch a job while it renders",
                response_class=FileResponse, responses=REPLIES)  # fmt: skip
    async def master(request: Request, job_id: str, here: str | None = None) -> Response:
        """Return the playlist of a job whose options said `live`; it grows until the job has ended."""
        deadline = time.monotonic() + HELD_SECONDS
        while True:
            state = await backend.get(job_id)
            if state is None:
                response: Response = not_found()
            elif not state.live:
                response = JSONResponse({"detail": "The job was sent without options.live."}, 404)
            elif isinstance(text := await backend.live(state, MASTER), str):
                text = text.replace(".m3u8", ".m3u8?here") if here is not None else text
                response = Response(text, media_type=MEDIA_TYPE, headers=FRESH)
            elif state.status.terminal:
                response = JSONResponse({"detail": GONE}, 404)
            elif time.monotonic() < deadline and not await request.is_disconnected():
                await asyncio.sleep(LOOK_SECONDS)
                continue
            else:
                response = JSONResponse({"detail": NOT_YET}, 503, headers={"Retry-After": "2"})
            response.headers.update(cors(request.headers.get("origin", ""), origins))
            return response

    async def part(request: Request, job_id: str, name: str, here: str | None = None) -> Response:
        response = await _part(services, request, job_id, name, here is not None)
        response.headers.update(cors(request.headers.get("origin", ""), origins))
        return response

    router.add_api_route(f"/api/render/{{job_id}}/{FOLDER}/{{name}}", part, methods=["GET", "HEAD"],
                         include_in_schema=False, response_class=FileResponse)  # fmt: skip
    return router


async def _part(services: Services, request: Request, job_id: str, name: str, here: bool) -> Response:
    state = await services.backend.get(job_id)
    if state is None or not state.live or not (name in (VIDEO, SOUND) or PIECE_NAME.fullmatch(name)):
        return not_found()
    found = await services.backend.live(state, f"{FOLDER}/{name}", here=here)
    if found is None:
        return JSONResponse({"detail": GONE}, 404)
    if isinstance(found, str):
        # Whether more will come is the job's matter: a renderer that has failed may be tried again.
        return Response(with_end(found, ended=state.status.terminal), media_type=MEDIA_TYPE, headers=FRESH)
    if isinstance(found, StoredPiece):
        return await _relayed(found, request.headers.get("range", ""))
    return FileResponse(found, media_type=PIECE_TYPE, headers=KEPT)


async def _relayed(piece: StoredPiece, asked: str) -> Response:
    """Return a piece, or the one range of it that players ask for."""
    range_ = RANGE.fullmatch(asked)
    if not range_:
        return Response(await piece.read(0, piece.size), media_type=PIECE_TYPE, headers=KEPT)
    start, end = int(range_[1]), min(int(range_[2] or piece.size) + 1, piece.size)
    if start >= end:
        return Response(status_code=416, headers={"Content-Range": f"bytes */{piece.size}"})
    headers = {**KEPT, "Content-Range": f"bytes {start}-{end - 1}/{piece.size}"}
    return Response(await piece.read(start, end), 206, media_type=PIECE_TYPE, headers=headers)
