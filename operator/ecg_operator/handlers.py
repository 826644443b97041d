"""What kopf does for us: it watches RenderJobs and hands each event over. The only kopf decorators are here.

kopf runs in a thread with an event loop of its own, because it cancels, at its end, every task of its loop that was
started after it, ours included. Nothing here makes kopf write: `on.event` needs neither annotations nor finalizers.

kopf begins with a list, and has a task and a queue for each object of it, all of them at once. What is known already is
taken out of it, and out of the watch: of thousands of RenderJobs that are over kopf never hears, nor of our own writes.

kopf ends with any error of a watch but 410, also one that concerns a single namespace of many. It is started again
then, after a pause: an API server that has a bad moment is no reason to hand the Lease over. What happened meanwhile
comes with the list that kopf begins with.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Any, cast

import aiohttp
import kopf
from kubernetes.aio.client import Configuration

from ecg_api.renderjob import GROUP, VERSION
from ecg_cluster.client import GOODBYE, Json, Knows, json_lines, parse_event, parse_page
from ecg_cluster.nesting import parsed
from ecg_cluster.reflector import OBJECTS_A_PAGE

log = logging.getLogger(__name__)

Deliver = Callable[[str | None, Any], None]

WATCH_SECONDS = 300
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
CALM_SECONDS = 60.0
"""kopf that has run for so long was well: its next end is the first of a new row."""
SECONDS_TO_STOP = 5.0
LOOK_SECONDS = 2.0
"""How often is asked whether other namespaces are to be watched."""


class RenderJobWatch:
    """Watches RenderJobs by kopf.

    Args:
        namespaces: asked again and again; empty for all.
        deliver: called on the event loop that runs `run`, with the kind of event and the object.
        knows: tells, on any thread, whether an object need not be delivered.
    """

    def __init__(
        self, configuration: Configuration, namespaces: Callable[[], Sequence[str]], deliver: Deliver, knows: Knows
    ) -> None:
        self._configuration = configuration
        self._namespaces = namespaces
        self._deliver = deliver
        self._knows = knows

    async def run(self) -> None:
        """Watch until cancelled."""
        pause = FIRST_PAUSE
        while True:
            started = time.monotonic()
            reason = await self._watch(tuple(self._namespaces()))
            if time.monotonic() - started > CALM_SECONDS:
                pause = FIRST_PAUSE
            log.warning("the watch of RenderJobs has ended (%s); starting it again in %.0f s", reason, pause)
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - spreads load, no secret
            pause = min(LONGEST_PAUSE, pause * 2)

    async def _watch(self, namespaces: tuple[str, ...]) -> BaseException | str | None:
        """Run kopf to its end, or until other namespaces are to be watched; return what ended it."""
        loop, stop = asyncio.get_running_loop(), threading.Event()
        ended: asyncio.Future[BaseException | None] = loop.create_future()

        def report(error: BaseException | None) -> None:
            if not ended.done():
                ended.set_result(error)

        def kopf_thread() -> None:
            error: BaseException | None = None
            try:
                with asyncio.Runner() as runner:
                    runner.run(self._kopf(loop, namespaces, stop))
            except BaseException as caught:
                error = caught
            if not loop.is_closed():
                loop.call_soon_threadsafe(report, error)

        threading.Thread(target=kopf_thread, name="kopf", daemon=True).start()
        try:
            while not ended.done():
                await asyncio.wait([ended], timeout=LOOK_SECONDS)
                if tuple(self._namespaces()) != namespaces:
                    return "other namespaces are served now"
            return ended.result()
        finally:
            stop.set()
            await asyncio.wait([ended], timeout=SECONDS_TO_STOP)

    async def _kopf(self, loop: asyncio.AbstractEventLoop, namespaces: tuple[str, ...], stop: threading.Event) -> None:
        try:
            await kopf.operator(
                registry=self._registry(loop, namespaces),
                settings=_settings(),
                namespaces=namespaces,
                clusterwide=not namespaces,
                standalone=True,
                stop_flag=stop,
            )
        finally:
            stop.set()  # kopf waits for it in a thread, which the end of its loop would wait for
        await asyncio.sleep(GOODBYE)

    def _registry(self, loop: asyncio.AbstractEventLoop, namespaces: tuple[str, ...]) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()
        refused: set[kopf.ConnectionInfo] = set()

        @kopf.on.login(registry=registry)
        async def log_in(**_: Any) -> kopf.AiohttpSession | None:
            # kopf itself compares sessions, of which no two are equal, and would try the same credentials for ever.
            # With none its requests fail, and it ends; with an error here they would wait.
            info = await _credentials(self._configuration)
            if info in refused:
                log.error("the API server refuses the operator's credentials (401), and there are no newer ones yet")
                return None
            return _session(info, self._knows, refused)

        @kopf.on.event(GROUP, VERSION, "renderjobs", registry=registry)
        async def hand_over(event: kopf.RawEvent, **_: Any) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._deliver, event["type"], event["object"])

        @kopf.on.startup(registry=registry)
        async def started(**_: Any) -> None:
            log.info("watching RenderJobs in %s", ", ".join(namespaces) or "all namespaces")

        @kopf.on.cleanup(registry=registry)
        async def stopped(**_: Any) -> None:
            log.info("stopped watching RenderJobs")

        return registry


async def _credentials(configuration: Configuration) -> kopf.ConnectionInfo:
    """Return the credentials of our own client, as they are now, for kopf, which has another one."""
    header = await configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
    scheme, _, token = (header or "").rpartition(" ")
    return kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        scheme=scheme or None,
        token=token or None,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
    )


def _is_news(obj: Json) -> bool:
    """Tell whether an object was parsed whole: of what is known there is nothing but the metadata."""
    return len(obj) > 1


class _Unknown:
    """Lines of a watch but for those about what is known: of our own writes kopf need not hear."""

    def __init__(self, content: aiohttp.StreamReader, knows: Knows) -> None:
        self._content = content
        self._knows = knows

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        async for line in json_lines(self._content):
            text, event = await parsed(lambda text: (text, parse_event(text, self._knows)), line)
            if _is_news(event["object"]):
                yield text + b"\n"


def _session(info: kopf.ConnectionInfo, knows: Knows, refused: set[kopf.ConnectionInfo]) -> kopf.AiohttpSession:
    """Return a session for kopf whose answers are without what is known; credentials with a 401 go to `refused`."""

    class News(aiohttp.ClientResponse):
        async def json(self, **how: Any) -> Any:
            if "limit" not in self.url.query:
                return await super().json(**how)
            page = await parsed(partial(parse_page, knows=knows), await self.read())
            return {**page, "items": [item for item in page["items"] if _is_news(item)]}

        async def start(self, connection: Any) -> aiohttp.ClientResponse:
            await super().start(connection)
            if "watch" in self.url.query:
                self.content = cast(aiohttp.StreamReader, _Unknown(self.content, knows))
            return self

    async def note_refusal(response: aiohttp.ClientResponse) -> None:
        if response.status == 401:  # kopf logs in anew for other reasons, too: then the same credentials are right
            refused.add(info)

    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=info.as_ssl_context()),
        headers=info.as_http_headers(),
        response_class=News,
        raise_for_status=note_refusal,
    )
    return kopf.AiohttpSession(server=info.server, aiohttp_session=session)


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False  # events are ours: counted, limited, with stable reasons
    settings.scanning.disabled = True  # no watching of CRDs and namespaces, and no rights for it
    settings.watching.server_timeout = WATCH_SECONDS
    settings.watching.client_timeout = WATCH_SECONDS + 30
    settings.watching.connect_timeout = 10
    settings.watching.chunk_size = OBJECTS_A_PAGE
    settings.networking.request_timeout = 10
    settings.networking.connect_timeout = 5
    # By default kopf gives up after a minute without an API server; upgrades of control planes take longer.
    settings.networking.error_backoffs = (1, 1, 2, 3, 5, *(10,) * 360)
    settings.queueing.idle_timeout = 1.0  # thousands of objects: no need to keep a task for each
    settings.queueing.exit_timeout = 0.5
    settings.process.ultimate_exiting_timeout = None  # ending the process is our affair
    return settings
