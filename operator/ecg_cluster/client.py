"""How to reach the API server, and requests to it: plain JSON in and out, a time limit on each, all counted.

Nothing is tried again here: which writes may be repeated, and for how long, is different for each caller.
"""

from __future__ import annotations

import asyncio
import copy
import json
import os
import time
from asyncio.sslproto import SSLProtocol
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypedDict, TypeVar, cast
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import msgspec
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from ecg_cluster.errors import ApiError, NoCluster, api_error
from ecg_cluster.nesting import parsed

Json = dict[str, Any]

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
CONNECTIONS = 64
"""Requests to the API server at a time; watches do not count."""


async def load_connection(kubeconfig: str | None = None) -> Configuration:
    """Return where the API server is and who we are.

    Taken from the file `kubeconfig`, else from $KUBECONFIG, the pod's service account or ~/.kube/config, whichever is
    there first. Raises NoCluster if none is, or if it cannot be read.
    """
    configuration = Configuration()
    configuration.connection_pool_maxsize = CONNECTIONS
    path = kubeconfig or os.environ.get("KUBECONFIG")
    try:
        if not path and "KUBERNETES_SERVICE_HOST" in os.environ:
            load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            await load_kube_config(  # type: ignore[no-untyped-call]
                config_file=path or None, client_configuration=configuration, persist_config=False
            )
    except (ConfigException, OSError) as error:
        place = path or "a pod's service account or ~/.kube/config"
        raise NoCluster(f"no cluster to work with: {place}: {error}") from error
    return configuration


def own_namespace() -> str:
    """Return the namespace of the pod that this runs in; `default` outside of one."""
    try:
        return (_ACCOUNT / "namespace").read_text().strip() or "default"
    except OSError:
        return "default"


def own_account(namespace: str) -> list[Json]:
    """Return ownerReferences by which an object of `namespace` goes with this pod's ServiceAccount.

    None outside of a pod, and for another namespace than the pod's: owners are looked for beside what they own. Who one
    is stands in one's own token, so that this takes no rights.
    """
    try:
        claims = (_ACCOUNT / "token").read_text().split(".")[1]
        account = json.loads(urlsafe_b64decode(f"{claims}==="))["kubernetes.io"]["serviceaccount"]
        owner = {"apiVersion": "v1", "kind": "ServiceAccount", "name": account["name"], "uid": account["uid"]}
    except (OSError, ValueError, LookupError, TypeError):
        return []
    return [owner] if namespace == own_namespace() else []


T = TypeVar("T")
Knows = Callable[[Json], bool]
"""Tells of an object, by its metadata, whether no more of it is needed."""


def knows_nothing(head: Json) -> bool:
    """Have everything parsed."""
    return False


SECONDS = 10.0
GOODBYE = 0.1
"""So long TLS connections take to end after they were closed; without it the event loop ends before them."""
IDLE_WATCH = 100.0
"""A watch that says nothing for so many seconds is dead: API servers send a bookmark each minute."""
SSLProtocol.max_size = 64 * 1024
"""So much memory each connection has to read TLS into. By default it is 256 KiB: 75 MB for 300 watches."""
MOST_RETRY_AFTER = 300.0
"""What asks for a longer pause is something between us and the API server; nobody would look at the object again."""
LONGEST_STRETCH = 0.01
"""Seconds of work without giving others their turn."""


class Resource(NamedTuple):
    """A kind of object: where its API is, and its name in the plural."""

    api: str
    plural: str


RENDER_JOBS = Resource("/apis/render.ecg.dev/v1alpha1", "renderjobs")
JOBS = Resource("/apis/batch/v1", "jobs")
PODS = Resource("/api/v1", "pods")
CONFIG_MAPS = Resource("/api/v1", "configmaps")
DEPLOYMENTS = Resource("/apis/apps/v1", "deployments")
EVENTS = Resource("/api/v1", "events")
NODES = Resource("/api/v1", "nodes")
LEASES = Resource("/apis/coordination.k8s.io/v1", "leases")


@dataclass(frozen=True)
class Call:
    """One request, answered (then with its HTTP status) or not (then 0), for whoever counts."""

    verb: str
    resource: str
    status: int
    seconds: float


class Client:
    """A connection to an API server. All requests raise ApiError.

    Args:
        configuration: where it is and who we are, see `load_connection`.
        user_agent: who asks, for the API server's log, and who owns what is written without a field manager.
        after_call: told about each request when it is over.
    """

    def __init__(
        self, configuration: Configuration, user_agent: str, after_call: Callable[[Call], None] = lambda call: None
    ) -> None:
        self._configuration = configuration
        self._after_call = after_call
        configuration = copy.copy(configuration)
        # Asked once: aiohttp would do so in another thread, twice for each request.
        configuration.proxy = configuration.proxy or _proxy(configuration.host)
        configuration.client_session_kwargs = {"trust_env": False}
        # A watch holds its connection for minutes: however many there are, a request must not have to wait for one.
        unlimited = copy.copy(configuration)
        unlimited.connection_pool_maxsize = 0
        self._client, self._watcher = ApiClient(configuration), ApiClient(unlimited)
        self._user_agent = user_agent

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()  # type: ignore[no-untyped-call]
        await self._watcher.close()  # type: ignore[no-untyped-call]
        await asyncio.sleep(GOODBYE)

    async def call(
        self,
        verb: str,
        resource: Resource,
        namespace: str | None,
        name: str = "",
        *,
        part: str = "",
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        seconds: float = SECONDS,
    ) -> Json:
        """Make one request and return the object of the answer; `list_page` and `watch` are for many.

        Args:
            verb: Kubernetes' word: get, create, update, patch (by JSON merge patch), apply (on the server, with
                fieldManager among `params`), delete, deletecollection.
            namespace: None for objects of no namespace, or of all.
            part: of the object, such as status.
            seconds: after which it is given up as NoAnswer.
        """
        path = _path(resource, namespace, name, part)
        answer = await self._send(verb, resource, path, params or {}, body, aiohttp.ClientTimeout(total=seconds))
        return await _content(answer, f"{verb} {path}", _whole)

    async def list_page(
        self, resource: Resource, namespace: str | None, params: Mapping[str, str], knows: Knows = knows_nothing
    ) -> Json:
        """Return one page of a list; its `items` are parsed one by one as they are taken, see `parse_object`."""
        path = _path(resource, namespace)
        answer = await self._send("list", resource, path, params, None, aiohttp.ClientTimeout(total=SECONDS))
        return await _content(answer, f"list {path}", partial(parse_page, knows=knows))

    @asynccontextmanager
    async def watch(
        self, resource: Resource, namespace: str | None, params: Mapping[str, str], knows: Knows = knows_nothing
    ) -> AsyncIterator[AsyncIterator[Json]]:
        """Open a watch and give its events as they come, until the server ends it; see `parse_object` for `knows`.

        What breaks later ends as ApiError from the iterator.
        """
        limits = aiohttp.ClientTimeout(total=None, sock_connect=SECONDS, sock_read=IDLE_WATCH)
        query = {"watch": "1", "allowWatchBookmarks": "true", **params}
        answer = await self._send("watch", resource, _path(resource, namespace), query, None, limits)
        try:
            yield _events(answer, knows)
        finally:
            answer.close()

    async def _send(
        self,
        verb: str,
        resource: Resource,
        path: str,
        params: Mapping[str, str],
        body: Mapping[str, Any] | None,
        limits: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        """Return an answer with a good status, its body yet to be read."""
        url = f"{self._configuration.host}{path}" + (f"?{urlencode(params)}" if params else "")
        started, status = time.monotonic(), 0
        try:
            content_type = _CONTENT_TYPES.get(verb, "application/json")
            headers = {"Content-Type": content_type, "User-Agent": self._user_agent, **await self._credentials()}
            client = self._watcher if verb == "watch" else self._client
            sent = await client.rest_client.request(  # type: ignore[no-untyped-call]
                _METHODS[verb], url, headers=headers, body=body, _request_timeout=limits
            )
            status = sent.status
            if status >= 400:
                async with sent.response as refused:
                    raise _refusal(status, verb, path, await refused.read(), refused.headers)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise api_error(0, "NoAnswer", f"{verb} {path}: {_words(error)}") from error
        finally:
            self._after_call(Call(verb, resource.plural, status, time.monotonic() - started))
        response: aiohttp.ClientResponse = sent.response
        return response

    async def _credentials(self) -> dict[str, str]:
        header = await self._configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        return {"Authorization": header} if header else {}


_METHODS = {
    "get": "GET", "list": "GET", "watch": "GET", "create": "POST", "update": "PUT", "patch": "PATCH", "apply": "PATCH",
    "delete": "DELETE", "deletecollection": "DELETE",
}  # fmt: skip
_CONTENT_TYPES = {"patch": "application/merge-patch+json", "apply": "application/apply-patch+yaml"}


def delete_options(**options: Any) -> Json:
    """Return the body of a deletion in which what the object owns goes with it, afterwards."""
    return {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background", **options}


async def _content(answer: aiohttp.ClientResponse, request: str, parse: Callable[[bytes], T]) -> T:
    async with answer:
        try:
            return await parsed(parse, await answer.read())
        except (TimeoutError, aiohttp.ClientError, msgspec.MsgspecError) as error:
            raise api_error(0, "NoAnswer", f"{request}: {_words(error)}") from error


class _Name(TypedDict, total=False):
    name: str
    namespace: str
    uid: str
    resourceVersion: str


class _Head(TypedDict):
    metadata: _Name


class _Meta(_Name, total=False):
    """All of an object's metadata but managedFields, which may be half of the object, and nobody reads."""

    generateName: str
    generation: int
    creationTimestamp: str | None
    deletionTimestamp: str | None
    deletionGracePeriodSeconds: int | None
    labels: dict[str, str] | None
    annotations: dict[str, str] | None
    ownerReferences: list[Json] | None
    finalizers: list[str] | None


class _Page(msgspec.Struct):
    """A page of a list, its objects unparsed."""

    metadata: Json
    items: list[msgspec.Raw] | None = None


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


_PARTS, _META = msgspec.json.Decoder(dict[str, msgspec.Raw]), msgspec.json.Decoder(_Meta)
_ANY = msgspec.json.Decoder(Any)
_HEAD, _PAGE, _EVENT = msgspec.json.Decoder(_Head), msgspec.json.Decoder(_Page), msgspec.json.Decoder(_Event)


def parse_page(text: bytes, knows: Knows) -> Json:
    """Return a page of a list; its `items` are parsed one by one as they are taken."""
    page = _PAGE.decode(text)
    return {"metadata": page.metadata, "items": (parse_object(item, knows) for item in page.items or ())}


def parse_object(raw: msgspec.Raw, knows: Knows) -> Json:
    """Return an object; of one that is known nothing but its metadata: name, uid and version."""
    # Most of what lists and watches tell is known: from the list before, or as the answer to a write.
    head = cast(Json, _HEAD.decode(raw))
    return head if knows(head) else _whole(raw)


def _whole(raw: bytes | msgspec.Raw) -> Json:
    parts = _PARTS.decode(raw)
    return {name: (_META if name == "metadata" else _ANY).decode(part) for name, part in parts.items()}


def parse_event(line: bytes, knows: Knows) -> Json:
    """Return an event of a watch, its object as `parse_object` does."""
    event = _EVENT.decode(line)
    if event.type == "ERROR":  # about a Status, which need not have metadata
        return {"type": event.type, "object": _whole(event.object)}
    news = event.type in ("ADDED", "MODIFIED")
    return {"type": event.type, "object": parse_object(event.object, knows if news else knows_nothing)}


async def json_lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Give the lines of an answer as they come, in turns.

    Lines may be longer than what aiohttp reads as a line: a RenderJob can hold 64 KiB of scenario, and once more in the
    annotation of `kubectl apply`.
    """
    rest = b""
    async for part in content.iter_any():
        *lines, rest = (rest + part).split(b"\n")
        async for line in in_turns(filter(None, lines)):
            yield line


async def _events(answer: aiohttp.ClientResponse, knows: Knows) -> AsyncIterator[Json]:
    try:
        async for line in json_lines(answer.content):
            yield await parsed(partial(parse_event, knows=knows), line)
    except (TimeoutError, aiohttp.ClientError, OSError, msgspec.MsgspecError) as error:
        raise api_error(0, "WatchBroken", f"the watch broke off: {_words(error)}") from error


async def in_turns(items: Iterable[T]) -> AsyncIterator[T]:
    """Give the items one by one, and everybody else on the event loop a turn every LONGEST_STRETCH seconds.

    That is so for all that take turns together: when hundreds of watches have something to tell at the same moment, the
    event loop would otherwise be blocked for as long as all of them need.
    """
    loop = asyncio.get_running_loop()
    for item in items:
        while time.monotonic() - _begin_of_round(loop) > LONGEST_STRETCH:  # noqa: ASYNC110 - nothing tells of a turn
            await asyncio.sleep(0)
        yield item


_rounds: dict[asyncio.AbstractEventLoop, float] = {}


def _begin_of_round(loop: asyncio.AbstractEventLoop) -> float:
    """Return since when an event loop is at what was ready then, as far as those who take turns have asked."""
    if loop not in _rounds:
        _rounds[loop] = time.monotonic()
        loop.call_soon(_rounds.pop, loop)
    return _rounds[loop]


def _proxy(host: str) -> str | None:
    """Return the proxy that the environment names for an address."""
    parts = urlsplit(host)
    return None if proxy_bypass(parts.netloc) else getproxies().get(parts.scheme)


def _refusal(status: int, verb: str, path: str, body: bytes, headers: Mapping[str, str]) -> ApiError:
    reason, message = "", body[:300].decode(errors="replace")
    try:
        answer = json.loads(body)
        reason, message = str(answer.get("reason", "")), str(answer.get("message", ""))
    except (ValueError, AttributeError, RecursionError):
        pass  # something between us and the API server has answered in its own way
    try:
        retry_after = min(max(0.0, float(headers.get("Retry-After", "0"))), MOST_RETRY_AFTER)
    except ValueError:
        retry_after = 1.0
    return api_error(status, reason, message or f"{verb} {path}: HTTP {status}", retry_after)


def _path(resource: Resource, namespace: str | None, name: str = "", part: str = "") -> str:
    place = ("namespaces", namespace) if namespace else ()
    return "/".join(filter(None, (resource.api, *place, resource.plural, quote(name), part)))


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
