"""Who may ask: the optional API token, web pages of other sites, and names under which this service is not known.

Pure ASGI, since it stands before every request; a middleware of Starlette's own kind would cost as much as the
request itself.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

# What a load balancer, a browser that shows a finished video, and the pages' own files need.
OPEN = re.compile(
    r"/(health|livez|readyz|docs|openapi\.json|page/[^/]+|api/render/[^/]+/(download|live\.m3u8|live/[^/]+))?"
)
# Load balancers ask for these under whatever name they know.
UNDER_ANY_NAME = ("/health", "/livez", "/readyz", "/metrics")
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
# No stranger owns such a name: this machine, its network or its cluster gives them out.
PRIVATE_ENDS = (".localhost", ".svc", ".svc.cluster.local", ".internal", ".local")
SAFE = ("GET", "HEAD", "OPTIONS")
_HOST = re.compile(r"(?:\[(?P<ip>[^\]]*)\]|(?P<name>[^:]*))(?::[0-9]*)?")


class Guard:
    """Refuses requests without the token (401), posts by pages of other sites and requests under foreign names (403).

    A site can make its own name lead to this machine (DNS rebinding): its pages are then this service's to a browser
    here, and could ask for everything. So a service for this machine alone, without a token, answers only under names
    that are no such site's. One that others may ask is known to them by names that nobody has told it.

    Args:
        token: empty means that none is asked for.
        origins: sites whose pages may post, besides this service's own.
        names: of this service, in small dead_letters, besides those that are private by their form.
        local: only this machine can ask, so that its own pages have its own names.
    """

    def __init__(
        self, app: ASGIApp, *, token: str, origins: tuple[str, ...], names: tuple[str, ...], local: bool
    ) -> None:
        self._app = app
        self._token = token.encode()
        self._origins = origins
        self._names = names
        self._local = local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it."""
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        names_matter = self._local and not self._token and scope["path"] not in UNDER_ANY_NAME
        if names_matter and not self._is_known_as(host):
            said = f"This service is not known as {host}. Set ECG_PUBLIC_URL to its address there, or ECG_API_TOKEN."
            return JSONResponse({"detail": said}, 403)
        origin = headers.get("origin")
        if origin and scope["method"] not in SAFE and not self._may_post(origin, host):
            return JSONResponse({"detail": f"Pages of {origin} may not post here (ECG_CORS_ORIGINS)."}, 403)
        if self._token and not OPEN.fullmatch(scope["path"]) and not self._knows_token(headers):
            return JSONResponse(
                {"detail": "Send the API token: Authorization: Bearer <token>."},
                401,
                headers={"WWW-Authenticate": 'Bearer realm="ecg-render"'},
            )
        return None

    def _is_known_as(self, host: str) -> bool:
        parts = _HOST.fullmatch(host)
        if parts is None:
            return False
        name = (parts["ip"] or parts["name"] or "").lower().removesuffix(".")
        return "." not in name or name in self._names or name.endswith(PRIVATE_ENDS) or _is_ip(name)

    def _may_post(self, origin: str, host: str) -> bool:
        # "*" opens downloads to every page, not the queue.
        try:
            page = urlsplit(origin)
        except ValueError:
            return False
        own = page.netloc == host and (not self._local or page.hostname in LOCAL_NAMES)
        return own or origin in self._origins

    def _knows_token(self, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        known = hmac.compare_digest(given.strip().encode(errors="replace"), self._token)
        return known and scheme.lower() == "bearer"


def _is_ip(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
