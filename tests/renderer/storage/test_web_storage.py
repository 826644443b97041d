import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ecg_renderer.errors import RenderError, ServiceUnreachable, SourceMissing, StorageError
from ecg_renderer.storage import UrlPolicy, open_storage

STRICT = UrlPolicy(allow_private=False)
HURRIED = UrlPolicy(patience_seconds=0.5)
HURRIED_AND_STRICT = UrlPolicy(allow_private=False, patience_seconds=0.5)


@dataclass
class Site:
    """A small web server on this machine: path -> (status, headers, body)."""

    url: str
    pages: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def site() -> Iterator[Site]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked.append(self.path)
            status, headers, body = served.pages.get(self.path, (404, {}, b""))
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
        ("http://example.org/clip.mp4", "http:// is not allowed; https:// is"),
        ("file:///etc/passwd", "files of this machine"),
        ("ftp://127.0.0.1/clip.mp4", "ftp:// is not allowed"),
        ("http://169.254.169.254/latest/meta-data/", "not allowed"),
        ("https://[::ffff:169.254.169.254]/", "keep secrets"),
        ("/loop.mp4", "redirects more than 5 times"),
    ],
)
def test_a_redirect_is_held_to_the_same_rules(site: Site, location: str, said: str) -> None:
    site.pages["/loop.mp4"] = (307, {"Location": location}, b"")

    with pytest.raises(SourceMissing, match=said):
        open_storage(site.url + "/loop.mp4", Path()).source_url()


@pytest.mark.parametrize(("status", "said"), [(404, "answered 404"), (403, "answered 403"), (304, "answered 304")])
def test_a_refusal_is_told_without_the_links_secrets(site: Site, status: int, said: str) -> None:
    site.pages["/clip.mp4?sign=secret"] = (status, {}, b"")
    url = site.url.replace("127", "me:secret@127", 1) + "/clip.mp4?sign=secret"

    with pytest.raises(SourceMissing, match=said) as refused:
        open_storage(url, Path()).source_url()

    assert "secret" not in refused.value.message
    assert refused.value.hint


@pytest.mark.parametrize("status", [500, 502, 503, 408, 425, 429])
def test_a_server_that_ails_may_be_asked_again(site: Site, status: int) -> None:
    site.pages["/clip.mp4"] = (status, {}, b"")

    for ask in ("source_url", "identity"):
        with pytest.raises(ServiceUnreachable, match=f"answered {status}") as failed:
            getattr(open_storage(site.url + "/clip.mp4", Path(), HURRIED), ask)()
        assert failed.value.failure().retryable
    with pytest.raises(ServiceUnreachable, match=f"answered {status}"):
        read(site.url + "/clip.mp4", policy=HURRIED)


@pytest.mark.parametrize("host", ["http://127.0.0.1:1", "https://no-such-host.invalid"])
def test_a_host_that_does_not_answer_may_be_asked_again(host: str) -> None:
    for policy in (HURRIED, HURRIED_AND_STRICT) if "invalid" in host else (HURRIED,):
        with pytest.raises(ServiceUnreachable, match="cannot be read"):
            open_storage(f"{host}/clip.mp4", Path(), policy).source_url()


def test_a_server_that_is_not_there_is_told_in_words() -> None:
    with pytest.raises(ServiceUnreachable, match=r"http://127\.0\.0\.1:1/clip\.mp4 cannot be read"):
        open_storage("http://127.0.0.1:1/clip.mp4", Path(), HURRIED).source_url()


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (UrlPolicy(read_seconds=0.2, patience_seconds=0.5), "cannot be read: ReadTimeout"),
        (UrlPolicy(total_seconds=0.2, patience_seconds=0.5), "within 0.2 seconds"),
    ],
)
def test_a_silent_server_is_given_up(policy: UrlPolicy, said: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(ServiceUnreachable, match=re.escape(said)):
        read(f"http://127.0.0.1:{silent.getsockname()[1]}/slow", policy=policy)


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
    with pytest.raises(StorageError, match=r"http:// is not allowed|no address"):
        read(url)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "10.1.2.3", "192.168.0.1", "169.254.169.254", "[::1]", "[fd00::1]", "0.0.0.0"],
)
def test_a_strict_policy_refuses_private_addresses_before_it_calls_them(host: str) -> None:
    with pytest.raises(StorageError, match=r"not a public address|keep secrets"):
        read(f"https://{host}/clip.mp4", policy=STRICT)


def test_a_strict_policy_refuses_this_machines_http(site: Site) -> None:
    with pytest.raises(RenderError, match="not a public address"):
        open_storage(site.url + "/clip.mp4", Path(), STRICT).source_url()

    assert site.asked == []


def test_nothing_is_written_to_the_web() -> None:
    with pytest.raises(StorageError, match="is for reading"):
        open_storage("https://host/out.mp4", Path()).output("key")
