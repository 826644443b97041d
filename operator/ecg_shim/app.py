"""The HTTP service: one application from its parts.

request ─> Slashes ─> Timed ─> Guard ─> Room ─> route ─> Backend
                                                  └ answer sent ─> relay may call back
"""

from __future__ import annotations

import logging
import re
from importlib.metadata import version

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from ecg_shim.metrics import Timed
from ecg_shim.model import Full, Unavailable
from ecg_shim.routes.downloads import download_routes
from ecg_shim.routes.jobs import full, job_routes, unavailable
from ecg_shim.routes.live import live_routes
from ecg_shim.routes.pages import page_routes
from ecg_shim.routes.queue import probe_routes, queue_routes
from ecg_shim.routes.render import render_routes
from ecg_shim.security.limits import Room
from ecg_shim.security.tokens import Guard
from ecg_shim.services import Services

log = logging.getLogger(__name__)

DESCRIPTION = (
    "Burns animated, word-timed captions into videos. Post a render request; progress and end are posted to its "
    "callback address, and can be asked for."
)


def create_app(services: Services) -> FastAPI:
    """Return the application; backend and relay must run while it serves."""
    app = FastAPI(
        title="ECG Render",
        version=version("ecg-render"),
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    # Fixed paths first: `queue` and `jobs` are no job ids.
    for router in (
        render_routes(services),
        queue_routes(services),
        probe_routes(services),
        job_routes(services),
        download_routes(services),
        live_routes(services),
        page_routes(),
    ):
        app.include_router(router)
    app.add_exception_handler(Unavailable, unavailable)
    app.add_exception_handler(Full, full)
    app.add_exception_handler(Exception, _unexpected)
    settings = services.settings
    own_origins = (*settings.cors_origins, settings.public_url)
    app.add_middleware(Room)
    app.add_middleware(
        Guard, token=settings.api_token, origins=own_origins, names=settings.own_names, local=settings.local_only
    )
    app.add_middleware(Timed, metrics=services.metrics)
    app.add_middleware(Slashes)
    return app


class Slashes:
    """Reads `//render` and `/render/` as `/render`: base addresses are often set with a slash at their end."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on under the path that it means."""
        if scope["type"] == "http" and ("//" in scope["path"] or scope["path"].endswith("/")):
            scope = {**scope, "path": re.sub(r"/{2,}", "/", scope["path"]).rstrip("/") or "/"}
        await self._app(scope, receive, send)


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    # The server closes the connection after this; who is not told would send the next request into it.
    said = {"detail": "The service failed to answer; its log says why."}
    return JSONResponse(said, 500, headers={"Connection": "close"})
