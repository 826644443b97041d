"""Ask for jobs and stop them."""

from __future__ import annotations

import re
from typing import Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response

from ecg_shim.model import Full, Unavailable
from ecg_shim.services import Services
from ecg_shim.wire import JOB_ID_PATTERN, ErrorReply, JobReply, JobsReply, StatusReply, SuccessReply

NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {"model": ErrorReply, "description": "There is no such job."}}
UNAVAILABLE: dict[int | str, dict[str, Any]] = {
    503: {"model": ErrorReply, "description": "The queue cannot be read; the text says why."}
}
FULL: dict[int | str, dict[str, Any]] = {
    429: {"model": ErrorReply, "description": "So much is stored that nothing is added; try again later."}
}
FRESH = {"Cache-Control": "no-store"}


def job_routes(services: Services) -> APIRouter:
    """Return the routes about single jobs and the list of them."""
    router = APIRouter(tags=["jobs"], responses=UNAVAILABLE)
    backend = services.backend

    @router.get(
        "/api/render/{job_id}/status", summary="Where a job stands", response_model=StatusReply, responses=NOT_FOUND
    )
    async def status(request: Request, job_id: str) -> Response:
        """Return the status (queued, processing, completed, failed, cancelled), progress, and numbers of frames."""
        state = await backend.get(job_id) if re.fullmatch(JOB_ID_PATTERN, job_id) else None
        if state is None:
            return not_found()
        reply = StatusReply.of(state, _base(services, request))
        return Response(reply.model_dump_json(), media_type="application/json", headers=FRESH)

    @router.post("/api/render/{job_id}/cancel", summary="Stop a job", response_model=SuccessReply, responses=FULL)
    async def cancel(request: Request, job_id: str) -> SuccessReply:
        """Stop a job that waits or is being rendered. An id that is not known yet is remembered for an hour."""
        if re.fullmatch(JOB_ID_PATTERN, job_id) and await backend.cancel(job_id):
            return SuccessReply(success=True, message="Job cancelled successfully")
        return SuccessReply(success=False, message="Job not found or already completed")

    @router.get("/api/render/jobs", summary="The newest jobs", response_model=JobsReply)
    async def jobs(request: Request, limit: int = Query(default=50, ge=1, le=500)) -> Response:
        """Return the newest jobs first."""
        base = _base(services, request)
        reply = JobsReply(jobs=[JobReply.of(state, base) for state in await backend.list_jobs(limit)])
        return Response(reply.model_dump_json(), media_type="application/json", headers=FRESH)

    return router


def _base(services: Services, request: Request) -> str:
    """Return the address at which the service is known to who asks: ECG_PUBLIC_URL, else the one that was asked.

    What a client says of itself (Host) is told to nobody but this client: replies are not stored, and callbacks, which
    nobody has asked for, name the address where the service listens. A service for one machine has checked it (Guard).
    """
    return services.settings.public_url or str(request.base_url)


def not_found() -> JSONResponse:
    """Return the answer for a job that is not known."""
    return JSONResponse({"detail": "Job not found"}, 404)


async def full(_: Request, error: Exception) -> JSONResponse:
    """Answer a request that met `Full`."""
    assert isinstance(error, Full)
    return JSONResponse({"detail": str(error)}, 429, headers={"Retry-After": "60"})


async def unavailable(_: Request, error: Exception) -> JSONResponse:
    """Answer a request that met `Unavailable`."""
    assert isinstance(error, Unavailable)
    return JSONResponse({"detail": str(error)}, 503, headers={"Retry-After": "5"})
