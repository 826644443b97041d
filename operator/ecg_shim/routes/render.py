"""Take render requests: POST /render, and its first form, POST /api/render/process.

Clients count only 200 with JSON as accepted, and do not try again. So all that can be told by callback is accepted;
refused is only what leaves nobody to call (no job id, no callback address) or what was never JSON.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect

from ecg_api.failures import Failure, FailureCode
from ecg_shim.intake import BadRequest, order, read_request
from ecg_shim.model import Conflict, Full, Unavailable
from ecg_shim.security.limits import TooLarge, TooSlow, read_body
from ecg_shim.services import Services
from ecg_shim.wire import RENDER_REQUEST, Accepted, BodyProblem, BodyProblems, ErrorReply, LegacyAccepted, Reply

log = logging.getLogger(__name__)

MEGABYTE = 1024 * 1024
SLOW_SECONDS = 2.0
"""Callbacks are held for a little longer than that, from when a job is stored."""
UNREAD = (400, 408, 413)
TAKEN = "The job is taken. Whatever becomes of it is told by callback."
REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorReply, "description": "The client went away before the body was complete."},
    408: {"model": ErrorReply, "description": "The body was not complete within a minute."},
    409: {"model": ErrorReply, "description": "The job id is in use for another request that has not ended."},
    413: {"model": ErrorReply, "description": "The body is too large."},
    422: {"model": BodyProblems, "description": "No JSON, no job id or no callback address."},
    429: {"model": ErrorReply, "description": "So many jobs are stored that none is added; try again later."},
    503: {"model": ErrorReply, "description": "The queue cannot store the job; the text says why."},
}
BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": RENDER_REQUEST}}}}


class _Refused(Exception):
    def __init__(self, status: int, reply: Reply) -> None:
        super().__init__(status)
        # What is left of a body that was not read to its end is not waited for.
        headers = {"Connection": "close"} if status in UNREAD else None
        self.response = JSONResponse(reply.model_dump(exclude_none=True), status, headers=headers)


def render_routes(services: Services) -> APIRouter:
    """Return the routes that take render requests."""
    router = APIRouter(tags=["render"], responses=REFUSALS)

    @router.post("/render", summary="Render a video", response_model=Accepted, response_description=TAKEN,
                 openapi_extra=BODY)  # fmt: skip
    async def render(request: Request) -> JSONResponse:
        """Put a job into the queue and answer at once. The same request again is the same job, rendered once."""
        now = services.backend.snapshot()
        seconds = now.queue.wait_seconds + now.render_seconds
        return await _answer(request, services, lambda job: Accepted(job_id=job, estimated_time=seconds))

    @router.post(
        "/api/render/process",
        summary="Render a video (first form)",
        response_model=LegacyAccepted,
        response_description=TAKEN,
        openapi_extra=BODY,
    )
    async def process(request: Request) -> JSONResponse:
        """Do the same as POST /render; older clients use it."""
        return await _answer(request, services, lambda job: LegacyAccepted(job_id=job))

    return router


async def _answer(request: Request, services: Services, reply: Any) -> JSONResponse:
    try:
        job_id, again = await _take(request, services)
    except _Refused as refused:
        services.metrics.submissions.labels("refused").inc()
        return refused.response
    except Full:
        services.metrics.submissions.labels("refused").inc()
        raise
    # Runs when the answer was sent: what a client was told before, it overwrites with what it was answered.
    telling = BackgroundTask(_tell_again, services, job_id) if again else None
    return JSONResponse(reply(job_id).model_dump(), background=telling)


async def _tell_again(services: Services, job_id: str) -> None:
    try:
        await services.callbacks.tell_again(job_id)
    except Unavailable as problem:
        log.error("job %s: its end is not told again: %s", job_id, problem)


async def _take(request: Request, services: Services) -> tuple[str, bool]:
    """Hand the request to the backend; return the job's id, and whether its end may have been told.

    Raises _Refused, Full.
    """
    try:
        asked = read_request(await read_body(request, services.settings.max_request_mb * MEGABYTE), services.rules)
        decided = order(asked, services.rules)
        began = time.monotonic()
        if isinstance(decided, Failure):
            state = await services.backend.reject(asked.submission, decided)
        else:
            state = await services.backend.submit(decided)
    except BadRequest as bad:
        problem = BodyProblem(type=bad.kind, loc=list(bad.place), msg=str(bad))
        raise _Refused(422, BodyProblems(detail=[problem])) from None
    except TooLarge as error:
        raise _Refused(413, ErrorReply(detail=str(error))) from None
    except TooSlow as error:
        raise _Refused(408, ErrorReply(detail=str(error))) from None
    except ClientDisconnect:
        raise _Refused(400, ErrorReply(detail="The body is not complete.")) from None
    except Conflict:
        said = f"The job {asked.job_id} is in use for another request that has not ended."
        raise _Refused(409, ErrorReply(detail=said, error_code=FailureCode.JOB_ALREADY_EXISTS)) from None
    except Unavailable as error:
        raise _Refused(503, ErrorReply(detail=f"Failed to queue job: {error}")) from error
    _note(asked.job_id, decided, services)
    return asked.job_id, state.status.terminal or time.monotonic() - began > SLOW_SECONDS


def _note(job_id: str, decided: object, services: Services) -> None:
    rejected = isinstance(decided, Failure)
    services.metrics.submissions.labels("rejected" if rejected else "accepted").inc()
    if isinstance(decided, Failure):
        log.warning("job %s: not rendered: %s %s", job_id, decided.code, decided.message)
    else:
        log.info("job %s: accepted", job_id)
