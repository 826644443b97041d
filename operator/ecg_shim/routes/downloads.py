"""Fetch finished videos: a redirect to storage, or the file itself, in parts if asked for.

Browsers fetch a video from a page of another site, without credentials. The address stays the same for as long as the
video is kept: the storage's own addresses expire, and are signed anew for each request.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse, Response

from ecg_shim.model import JobState, Output
from ecg_shim.routes.jobs import UNAVAILABLE, not_found
from ecg_shim.services import Services
from ecg_shim.wire import ErrorReply

PATH = "/api/render/{job_id}/download"
RENDITION_PATH = f"{PATH}/{{name}}"
MEDIA_TYPES = {".mp4": "video/mp4", ".mov": "video/quicktime", ".webm": "video/webm"}
OTHER_TYPES = {".zip": "application/zip", ".srt": "application/x-subrip", ".vtt": "text/vtt", ".ass": "text/x-ssa"}
EXPOSED = "Accept-Ranges, Content-Disposition, Content-Length, Content-Range, ETag"
REPLIES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The video.", "content": {kind: {} for kind in MEDIA_TYPES.values()}},
    206: {"description": "The part that Range asked for.", "content": {kind: {} for kind in MEDIA_TYPES.values()}},
    302: {"description": "The video is in storage: follow Location."},
    400: {"description": "The Range header cannot be read.", "content": {"text/plain": {}}},
    404: {"model": ErrorReply, "description": "There is no such job, or its video is not there."},
    409: {"model": ErrorReply, "description": "The job has no video (yet)."},
    416: {"description": "Range asks for what lies beyond the end.", "content": {"text/plain": {}}},
}


def download_routes(services: Services) -> APIRouter:
    """Return the routes that lead to finished videos."""
    router = APIRouter(tags=["jobs"], responses=UNAVAILABLE)
    origins = services.settings.cors_origins

    @router.get(PATH, summary="The finished video", response_class=FileResponse, responses=REPLIES)
    async def download(request: Request, job_id: str) -> Response:
        """Return the video, or where it is."""
        state = await services.backend.get(job_id)
        if state is not None and state.output is not None:
            state = replace(state, output=await services.backend.signed_anew(state.output))
        response = _response(state, request.url.path)
        response.headers.update(cors(request.headers.get("origin", ""), origins))
        return response

    @router.get(RENDITION_PATH, summary="One of its renditions", response_class=FileResponse, responses=REPLIES)
    async def rendition(request: Request, job_id: str, name: str) -> Response:
        """Return a rendition, or where it is."""
        state = await services.backend.get(job_id)
        found = next((one for one in state.outputs if one.name == name and not one.failure), None) if state else None
        if state is None or found is None:
            return not_found() if state is None else JSONResponse({"detail": f"The job has no result {name}."}, 404)
        state = replace(state, output=await services.backend.handed_out(found))
        response = _response(state, request.url.path)
        response.headers.update(cors(request.headers.get("origin", ""), origins))
        return response

    async def preflight(request: Request, job_id: str, name: str = "") -> Response:
        """Answer a browser that asks before it sends Range."""
        allowed = {"Access-Control-Allow-Methods": "GET, HEAD", "Access-Control-Allow-Headers": "Range, If-Range"}
        headers = cors(request.headers.get("origin", ""), origins)
        more = {**allowed, "Access-Control-Max-Age": "86400"} if "Access-Control-Allow-Origin" in headers else {}
        return Response(status_code=204, headers={**headers, **more, "Allow": "GET, HEAD, OPTIONS"})

    router.add_api_route(
        RENDITION_PATH, rendition, methods=["HEAD"], include_in_schema=False, response_class=FileResponse
    )
    router.add_api_route(RENDITION_PATH, preflight, methods=["OPTIONS"], include_in_schema=False)
    router.add_api_route(PATH, download, methods=["HEAD"], include_in_schema=False, response_class=FileResponse)
    router.add_api_route(PATH, preflight, methods=["OPTIONS"], include_in_schema=False)
    return router


def cors(origin: str, allowed: tuple[str, ...]) -> dict[str, str]:
    """Return the headers that let a page of `origin` read the answer, if it is among `allowed`."""
    if "*" in allowed:
        return {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": EXPOSED}
    if origin not in allowed:
        return {"Vary": "Origin"}
    return {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": EXPOSED, "Vary": "Origin"}


def _response(state: JobState | None, own_path: str) -> Response:
    if state is None:
        return not_found()
    if state.output is None:
        return JSONResponse({"detail": f"The job is {state.status}; it has no video."}, 409)
    if state.output.path is not None:
        return _file(state.job_id, state.output.path)
    return _redirect(state.output, own_path)


def _file(job_id: str, path: Path) -> Response:
    if not path.is_file():
        return JSONResponse({"detail": "The video is no longer kept."}, 404)
    kind = (MEDIA_TYPES | OTHER_TYPES).get(path.suffix, "application/octet-stream")
    return FileResponse(
        path,
        media_type=kind,
        filename=f"{job_id}{path.suffix}",
        content_disposition_type="inline",
        headers={"Cache-Control": "private, no-cache", "X-Content-Type-Options": "nosniff"},
    )


def _redirect(output: Output, own_path: str) -> Response:
    if output.url.endswith(own_path):
        return JSONResponse({"detail": "The video is no longer kept."}, 404)
    return RedirectResponse(output.url, 302, headers={"Cache-Control": "no-store"})
