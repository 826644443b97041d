"""The status page at /: our own files, nothing from elsewhere. The API is described at /openapi.json."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# By npm; the page does without where it was not installed, and asks the browser's own player.
HLS = "node_modules/hls.js/dist/hls.min.mjs"
HEADERS = {
    # Videos may be redirected to storage anywhere, and what hls.js puts together is a blob; all else is ours.
    "Content-Security-Policy": "default-src 'self'; media-src * blob:; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def page_routes() -> APIRouter:
    """Return the routes of the pages and of what they load; all read once, now."""
    router = APIRouter(include_in_schema=False)
    folder = files("ecg_shim").joinpath("page")
    parts = [entry for entry in (*folder.iterdir(), folder.joinpath(HLS)) if entry.is_file()]
    loaded = {entry.name: entry.read_bytes() for entry in parts if Path(entry.name).suffix in KINDS}

    def served(name: str) -> Response:
        return Response(loaded[name], headers={**HEADERS, "Content-Type": KINDS[Path(name).suffix]})

    @router.api_route("/", methods=["GET", "HEAD"])
    async def page(request: Request) -> Response:
        return served("status.html")

    @router.api_route("/docs", methods=["GET", "HEAD"])
    async def docs(request: Request) -> Response:
        return RedirectResponse("/openapi.json")

    @router.api_route("/page/{name}", methods=["GET", "HEAD"])
    async def part(request: Request, name: str) -> Response:
        return served(name) if name in loaded else JSONResponse({"detail": "Not Found"}, 404)

    return router
