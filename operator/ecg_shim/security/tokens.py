"""Who may ask: the optional API token, and web pages of other sites.

Pure ASGI, since it stands before every request; a middleware of Starlette's own kind would cost as much as the
request itself.
"""

from __future__ import annotations

import hmac
import re
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

# What a load balancer, a browser that shows a finished video, and the pages' own files need.
OPEN = re.compile(r"/(health|docs|openapi\.json|page/[^/]+|api/render/[^/]+/download)?")
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
SAFE = ("GET", "HEAD", "OPTIONS")


class Guard:
    """Refuses requests without the token (401) and posts by pages of other sites (403).

    Args:
        token: empty means that none is asked for.
        origins: sites whose pages may post, besides this service's own.
        local: only this machine can ask, so that its own pages have its own names. A site whose name was made to
            lead here (DNS rebinding) would pass for one of them.
    """

    def __init__(self, app: ASGIApp, *, token: str, origins: tuple[str, ...], local: bool) -> None:
        self._app = app
        self._token = token.encode()
        self._origins = origins
        self._local = local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it."""
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if origin and scope["method"] not in SAFE and not self._may_post(origin, headers.get("host", "")):
            return JSONResponse({"detail": f"Pages of {origin} may not post here (ECG_CORS_ORIGINS)."}, 403)
        if self._token and not OPEN.fullmatch(scope["path"]) and not self._knows_token(headers):
            return JSONResponse(
                {"detail": "Send the API token: Authorization: Bearer <token>."},
                401,
                headers={"WWW-Authenticate": 'Bearer realm="ecg-render"'},
            )
        return None

    def _may_post(self, origin: str, host: str) -> bool:
        # "*" opens downloads to every page, not the queue.
        page = urlsplit(origin)
        own = page.netloc == host and (not self._local or page.hostname in LOCAL_NAMES)
        return own or origin in self._origins

    def _knows_token(self, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        known = hmac.compare_digest(given.strip().encode(errors="replace"), self._token)
        return known and scheme.lower() == "bearer"
