import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ecg_api.failures import FailureCode
from ecg_renderer.errors import RenderError, ServiceUnreachable, SourceMissing, StorageError
from ecg_renderer.storage import UrlPolicy, open_storage
from ecg_renderer.storage.address import is_public

STRICT = UrlPolicy(allow_private=False)


@dataclass
class Site:
    """A small web server on this machine: path -> (status, headers, body)."""

    url: str
    pages: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    failing: int = 0
    """So many requests are answered with 503 first."""


@pytest.fixture
def site() -> Iterator[Site]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked.append(self.path)
            status, headers, body = served.pages.get(self.path, (404, {}, b""))
            if served.failing:
                served.failing -= 1
                status, headers, body = 503, {}, b""
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                if value:
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    served = Site(f"http://127.0.0.1:{server.server_port}")
    yield served
    server.shutdown()
    thread.join()
    server.server_close()


def read(url: str, limit: int = 100, policy: UrlPolicy | None = None) -> bytes:
    return open_storage(url, Path(), policy).read_bytes(limit)


def test_a_scenario_is_read_from_the_web(site: Site) -> None:
    site.pages["/s.json"] = (200, {}, b"{}")

    assert read(site.url + "/s.json") == b"{}"


@pytest.mark.parametrize("length", ["6", ""], ids=["declared", "undeclared"])
def test_what_is_too_long_is_not_read(site: Site, length: str) -> None:
    site.pages["/s.json"] = (200, {"Content-Length": length}, b"123456")

    assert read(site.url + "/s.json", limit=6) == b"123456"
    with pytest.raises(StorageError, match="larger than the 5 bytes"):
        read(site.url + "/s.json", limit=5)


def test_a_relative_redirect_is_followed_and_ffmpeg_gets_where_it_leads(site: Site) -> None:
    site.pages["/old.mp4"] = (302, {"Location": "/new.mp4?sign=1"}, b"")
    site.pages["/new.mp4?sign=1"] = (206, {"Content-Range": "bytes 0-0/1000"}, b"v")

    source = open_storage(site.url + "/old.mp4", Path()).source_url()

    assert source == site.url + "/new.mp4?sign=1"


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("http://example.org/clip.mp4", "is not https://"),
        ("file:///etc/passwd", "names no host"),
        ("ftp://127.0.0.1/clip.mp4", "is not https://"),
        ("/loop.mp4", "redirects more than 5 times"),
    ],
)
def test_a_redirect_is_held_to_the_same_rules(site: Site, location: str, said: str) -> None:
    site.pages["/loop.mp4"] = (307, {"Location": location}, b"")

    with pytest.raises(SourceMissing, match=said):
        open_storage(site.url + "/loop.mp4", Path()).source_url()


@pytest.mark.parametrize(("status", "said"), [(404, "answered 404"), (403, "answered 403")])
def test_a_refusal_is_told_without_the_links_secrets(site: Site, status: int, said: str) -> None:
    site.pages["/clip.mp4?sign=secret"] = (status, {}, b"")
    url = site.url.replace("127", "me:secret@127", 1) + "/clip.mp4?sign=secret"

    with pytest.raises(SourceMissing, match=said) as refused:
        open_storage(url, Path()).source_url()

    assert "secret" not in refused.value.message
    assert refused.value.hint


HURRIED = UrlPolicy(patience_seconds=0.4)
ASKED = {
    "source_url": lambda storage: storage.source_url(),
    "identity": lambda storage: storage.identity(),
    "read_bytes": lambda storage: storage.read_bytes(100),
}


@pytest.mark.parametrize("what", ASKED)
@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_a_server_that_stays_overloaded_is_asked_again_and_then_to_be_tried_later(
    site: Site, what: str, status: int
) -> None:
    site.pages["/clip.mp4?sign=secret"] = (status, {}, b"")

    with pytest.raises(ServiceUnreachable, match=f"answered {status}") as failure:
        ASKED[what](open_storage(site.url + "/clip.mp4?sign=secret", Path(), HURRIED))

    assert failure.value.code is FailureCode.CONNECTION_ERROR
    assert "secret" not in failure.value.message
    assert len(site.asked) > 1


@pytest.mark.parametrize("what", ASKED)
def test_a_server_that_hiccups_once_is_waited_for(site: Site, what: str) -> None:
    site.failing, site.pages["/clip.mp4"] = 1, (200, {"ETag": "one"}, b"video")

    assert ASKED[what](open_storage(site.url + "/clip.mp4", Path()))
    assert site.asked == ["/clip.mp4"] * 2


@pytest.mark.parametrize("what", ASKED)
def test_a_server_that_is_not_there_may_come_back(what: str) -> None:
    with pytest.raises(ServiceUnreachable, match=r"http://127\.0\.0\.1:1/clip\.mp4 cannot be read"):
        ASKED[what](open_storage("http://127.0.0.1:1/clip.mp4", Path(), HURRIED))


@pytest.mark.parametrize("allow_private", [True, False])
@pytest.mark.parametrize(
    ("number", "kind"), [(socket.EAI_AGAIN, ServiceUnreachable), (socket.EAI_NONAME, SourceMissing)]
)
def test_a_name_server_that_is_away_is_told_from_a_name_that_does_not_exist(
    number: int, kind: type[RenderError], allow_private: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object, **__: object) -> object:
        raise socket.gaierror(number, "no answer")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    policy = UrlPolicy(allow_private=allow_private, patience_seconds=0.2)
    with pytest.raises(kind, match="no answer"):
        open_storage("https://videos.example.org/clip.mp4", Path(), policy).source_url()


def test_a_silent_server_is_given_up(site: Site) -> None:
    site.pages["/slow"] = (200, {"Content-Length": "10"}, b"half")
    policy = UrlPolicy(read_seconds=0.2, patience_seconds=0.1)

    with pytest.raises(ServiceUnreachable, match="cannot be read"):
        read(site.url + "/slow", policy=policy)


def test_identity_follows_the_servers_version_and_not_the_signature(site: Site) -> None:
    def identity(tag: str, query: str) -> str:
        site.pages[f"/clip.mp4?{query}"] = (206, {"ETag": tag, "Content-Range": "bytes 0-0/9"}, b"v")
        return open_storage(f"{site.url}/clip.mp4?{query}", Path()).identity()

    first = identity("one", "sign=1")

    assert identity("one", "sign=2") == first
    assert identity("two", "sign=1") != first


@pytest.mark.parametrize(
    "url", ["http://example.org/a.mp4", "http://10.0.0.1/a.mp4", "https:///a.mp4", "https://[a.mp4"]
)
def test_only_https_is_read_over_a_network(url: str) -> None:
    with pytest.raises(StorageError, match=r"is not https://|names no host"):
        read(url)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "10.1.2.3", "192.168.0.1", "169.254.169.254", "[::1]", "[fd00::1]", "0.0.0.0"],
)
def test_a_strict_policy_refuses_private_addresses_before_it_calls_them(host: str) -> None:
    with pytest.raises(StorageError, match="not a public address"):
        read(f"https://{host}/clip.mp4", policy=STRICT)


def test_a_strict_policy_refuses_this_machines_http(site: Site) -> None:
    with pytest.raises(RenderError, match="not a public address"):
        open_storage(site.url + "/clip.mp4", Path(), STRICT).source_url()

    assert site.asked == []


def test_a_strict_policy_notices_a_name_that_changes_its_address(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.pages["/clip.mp4"] = (200, {}, b"internal")
    resolve = socket.getaddrinfo
    public = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", 0))]
    answers = iter([public])
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **more: next(answers, None) or resolve(*args, **more))

    with pytest.raises(StorageError, match=r"127\.0\.0\.1, which is not a public address"):
        read(site.url + "/clip.mp4", policy=STRICT)

    assert next(answers, None) is None


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("fe80::1%eth0", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:93.184.216.34", True),
        ("64:ff9b::a00:1", False),
        ("2002:a00:1::1", False),
        ("168.63.129.16", False),
    ],
)
def test_addresses_that_everybody_reaches_are_told_from_private_ones(address: str, public: bool) -> None:
    assert is_public(address) is public


def test_nothing_is_written_to_the_web() -> None:
    with pytest.raises(StorageError, match="is for reading"):
        open_storage("https://host/out.mp4", Path()).output("key")
