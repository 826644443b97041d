"""How busy the service is, and how it is."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST

from ecg_shim.routes.jobs import FRESH, UNAVAILABLE
from ecg_shim.services import Services, health_reply, problems_of
from ecg_shim.wire import ErrorReply, HealthReply, QueueDetails, QueueReply, SuccessReply

PRODUCTION = "production"
NOT_READY: dict[int | str, dict[str, Any]] = {
    503: {"description": "Requests had better go elsewhere.", "content": {"text/plain": {}}}
}


def queue_routes(services: Services) -> APIRouter:
    """Return the routes about the queue."""
    router = APIRouter(tags=["queue"], responses=UNAVAILABLE)
    backend = services.backend

    @router.get("/queue/status", summary="The queue", response_model=QueueReply)
    async def queue(request: Request) -> QueueReply:
        """Return how many jobs wait and run, and how long a job sent now would wait."""
        now = await backend.queue()
        return QueueReply(
            pending_jobs=now.pending,
            processing_jobs=now.processing,
            estimated_wait_time=now.wait_seconds,
            detailed_status=QueueDetails.of(now),
        )

    @router.get("/api/render/queue/status", summary="The queue (first form)", response_model=QueueDetails)
    async def numbers(request: Request) -> QueueDetails:
        """Return the numbers alone."""
        return QueueDetails.of(await backend.queue())

    @router.post(
        "/api/render/queue/clear",
        summary="Cancel all jobs that wait",
        response_model=SuccessReply,
        responses={403: {"model": ErrorReply, "description": "ENVIRONMENT is production."}},
    )
    async def clear(request: Request) -> SuccessReply | JSONResponse:
        """Cancel all jobs that wait; those that are being rendered go on. Not in production."""
        if services.settings.environment == PRODUCTION:
            return JSONResponse({"detail": "Queue clearing is disabled in production"}, 403)
        await backend.clear()
        return SuccessReply(success=True, message="Queue cleared")

    return router


def probe_routes(services: Services) -> APIRouter:
    """Return what load balancers and Prometheus ask for; answered from measurements that are there."""
    router = APIRouter(tags=["service"])

    @router.get("/health", summary="How the service is", response_model=HealthReply)
    async def health(request: Request) -> Response:
        """Return healthy or unhealthy and why, memory, GPUs and queue. The status code is 200 either way."""
        reply = health_reply(services.backend, services.settings, services.mode)
        return Response(reply.model_dump_json(), media_type="application/json", headers=FRESH)

    router.add_api_route("/health", health, methods=["HEAD"], include_in_schema=False)

    @router.get("/livez", summary="Whether the process works", response_class=PlainTextResponse)
    async def livez(request: Request) -> PlainTextResponse:
        """Return 200 while the process answers: one that does not has to be restarted."""
        return PlainTextResponse("ok\n", headers=FRESH)

    @router.get(
        "/readyz", summary="Whether to send requests here", response_class=PlainTextResponse, responses=NOT_READY
    )
    async def readyz(request: Request) -> PlainTextResponse:
        """Return 200 if the queue can be read and written; 503 and why not, a sentence a line."""
        problems = services.not_ready()
        return PlainTextResponse("\n".join(problems or ["ok"]) + "\n", 503 if problems else 200, headers=FRESH)

    @router.get("/metrics", summary="Metrics for Prometheus", response_class=Response, responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}}
    })  # fmt: skip
    async def metrics(request: Request) -> Response:
        """Return queue depth, drop rate, request times and more."""
        problems, _ = problems_of(services.backend)
        return Response(
            services.metrics.text(services.backend.snapshot(), healthy=not problems),
            headers={"Content-Type": CONTENT_TYPE_LATEST},
        )

    return router
