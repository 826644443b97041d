"""What keeps strangers out: the token, pages of other sites, and addresses that requests name."""

from __future__ import annotations

import asyncio
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from ecg_common.addresses import AddressPolicy, AddressRefused
from ecg_common.web import checked_client
from ecg_shim.intake import callback_policy, video_policy
from shim_memory import Served, memory_service, serving
from shim_requests import JOB_ID, render_body

TOKEN = "s3cret-token"
PUBLIC = video_policy(hosts=(), private=False)
PRIVATE = video_policy(hosts=(), private=True)
LISTED = video_policy(hosts=("bucket", "media.example.com", ".cdn.example.com", "10.1.2.3"), private=False)


@pytest.fixture(scope="module")
def serve_with_token():
    service = memory_service({"ECG_API_TOKEN": TOKEN})
    with serving(service.app) as address, httpx.Client(base_url=address, verify=False) as client:
        yield Served(service, client, address)


@pytest.mark.parametrize("path", ["/queue/status", f"/api/render/{JOB_ID}/status", "/metrics", "/api/render/jobs"])
@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (None, 401),
        ("Bearer wrong", 401),
        (f"Basic {TOKEN}", 401),
        (TOKEN, 401),
        ("Bearer", 401),
        ("Bearer \u00fc", 401),
        (f"Bearer {TOKEN}", None),
        (f"bearer  {TOKEN}", None),
    ],
)
def test_with_a_token_set_requests_must_carry_it(serve_with_token, path, authorization, status):
    headers = {"Authorization": authorization.encode()} if authorization else {}
    answer = serve_with_token.client.get(path, headers=headers)
    if status is None:
        assert answer.status_code in (200, 404)
        return
    assert answer.status_code == status
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert TOKEN not in answer.text


@pytest.mark.parametrize(
    "path", ["/health", "/", "/docs", "/openapi.json", "/page/page.css", f"/api/render/{JOB_ID}/download"]
)
def test_health_downloads_and_the_pages_own_files_need_no_token(serve_with_token, path):
    assert serve_with_token.client.get(path).status_code in (200, 307, 404)
    assert "token" not in serve_with_token.client.get(path).headers.get("www-authenticate", "")


def test_posts_need_the_token_too(serve_with_token):
    assert serve_with_token.client.post("/render", json=render_body()).status_code == 401
    assert serve_with_token.client.post(serve_with_token.address + "//render/", json=render_body()).status_code == 401
    assert not serve_with_token.backend.jobs


def test_pages_of_other_sites_may_not_post(served):
    for path in ("/render", f"/api/render/{JOB_ID}/cancel", "/api/render/queue/clear"):
        answer = served.client.post(path, json=render_body(), headers={"Origin": "https://evil.example"})
        assert answer.status_code == 403
    assert not served.backend.jobs
    assert not served.backend.tombstones


def test_the_services_own_page_and_allowed_ones_may_post(served):
    for origin in (served.address, "https://ho-it.site", None):
        headers = {"Origin": origin} if origin else {}
        assert served.client.post(f"/api/render/{JOB_ID}/cancel", headers=headers).status_code == 200


ORIGINS = {
    "a name that was made to lead here": ({}, "evil.example:8090", "http://evil.example:8090", 403),
    "this machine": ({}, "localhost:8090", "http://localhost:8090", 200),
    "a name of a service that others ask": ({"ECG_HOST": "0.0.0.0"}, "render.lan", "http://render.lan", 200),
    "its public address": ({"ECG_PUBLIC_URL": "https://r.example"}, "127.0.0.1:8090", "https://r.example", 200),
    "no address": ({}, "127.0.0.1:8090", "null", 403),
    "half an address": ({}, "127.0.0.1:8090", "http://[", 403),
}


@pytest.mark.parametrize(("environment", "host", "origin", "status"), ORIGINS.values(), ids=ORIGINS.keys())
def test_only_pages_of_this_service_pass_for_its_own(serve, environment, host, origin, status):
    headers = {"Host": host, "Origin": origin}
    assert serve(**environment).client.post(f"/api/render/{JOB_ID}/cancel", headers=headers).status_code == status


KNOWN = ["127.0.0.1:8090", "192.168.1.7", "[::1]:8090", "[fd00::1]", "localhost:8090", "LOCALHOST.", "app.localhost:1",
         "gpu-render:8090", "ecg-render", "ecg.render.svc", "ecg.render.svc.cluster.local:80", "pi.local",
         "ip-10-0-0-1.ec2.internal"]  # fmt: skip


@pytest.mark.parametrize("host", KNOWN)
def test_names_that_no_stranger_has_are_known(served, host):
    assert served.client.get("/queue/status", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    ("environment", "host"),
    [
        ({"ECG_PUBLIC_URL": "https://R.example:8443/"}, "r.example"),
        ({"ECG_API_TOKEN": TOKEN}, "evil.example"),
        ({"ECG_HOST": "0.0.0.0"}, "ecg-render-service.render"),
    ],
    ids=["its public address", "any with a token", "any of a service that others ask"],
)
def test_names_can_be_made_known(serve, environment, host):
    headers = {"Host": host, "Authorization": f"Bearer {TOKEN}"}
    assert serve(**environment).client.get("/queue/status", headers=headers).status_code == 200


def test_the_name_of_this_machine_is_known(monkeypatch, serve):
    monkeypatch.setattr("socket.gethostname", lambda: "GPU7.studio.example")
    assert serve().client.get("/queue/status", headers={"Host": "gpu7.studio.example:8090"}).status_code == 200


FOREIGN = ["evil.example", "evil.example:8090", "localhost.evil.example", "127.0.0.1.evil.example", "[evil.example]",
           "evilinternal.example", "evil.example.", "a:b@evil.example", "[::1"]  # fmt: skip


@pytest.mark.parametrize("host", FOREIGN)
def test_under_a_name_that_a_stranger_may_have_made_lead_here_nothing_is_answered(served, host):
    for method, path in (("GET", "/api/render/jobs"), ("GET", "/"), ("POST", f"/api/render/{JOB_ID}/cancel")):
        answer = served.client.request(method, path, headers={"Host": host, "Origin": f"http://{host}"})
        assert answer.status_code == 403
        assert "ECG_PUBLIC_URL" in answer.json()["detail"]
        assert "ECG_API_TOKEN" in answer.json()["detail"]
    assert not served.backend.tombstones


@pytest.mark.parametrize("path", ["/health", "/metrics"])
def test_load_balancers_may_ask_under_any_name(served, path):
    assert served.client.get(path, headers={"Host": "lb-1.example"}).status_code == 200


def test_any_page_may_read_videos_but_not_post_when_origins_are_a_star(serve):
    answer = serve(ECG_CORS_ORIGINS="*").client.post("/render", json={}, headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403


REFUSED_URLS = {
    "https://127.0.0.1/a.mp4": "not a public address",
    "https://127.1/a.mp4": "not a public address",
    "https://2130706433/a.mp4": "not a public address",
    "https://0x7f.0.0.1/a.mp4": "not a public address",
    "https://0177.0.0.1/a.mp4": "not a public address",
    "https://[::1]/a.mp4": "not a public address",
    "https://[::ffff:10.0.0.1]/a.mp4": "not a public address",
    "https://[2002:0a00:0001::]/a.mp4": "not a public address",
    "https://[64:ff9b::10.0.0.1]/a.mp4": "not a public address",
    "https://[::10.0.0.1]/a.mp4": "not a public address",
    "https://[ff0e::1]/a.mp4": "not a public address",
    "https://224.0.0.1/a.mp4": "not a public address",
    "https://10.0.0.1/a.mp4": "not a public address",
    "https://172.16.0.1/a.mp4": "not a public address",
    "https://192.168.1.1:8443/a.mp4": "not a public address",
    "https://100.64.0.1/a.mp4": "not a public address",
    "https://0.0.0.0/a.mp4": "not a public address",
    "https://169.254.169.254/latest/meta-data": "keep secrets",
    "https://[fd00:ec2::254]/": "keep secrets",
    "https://168.63.129.16/": "keep secrets",
    "https://192.0.0.192/opc/v2/instance/": "keep secrets",
    "https://[::ffff:169.254.169.254]/": "keep secrets",
    "file:///etc/passwd": "files of this machine",
    "gopher://example.com/": "gopher://",
    "https://": "no address",
    "/etc/passwd": "no address",
    "https://a:b:c/": "no address",
    "https://example.com:99999/": "no address",
    "https://example.com/\\@evil": "characters",
    "https://example.com/a\r\nHost: x": "characters",
    "https://x/" + "a" * 2048: "longer",
}


@pytest.mark.parametrize(("url", "words"), REFUSED_URLS.items(), ids=[url[:50] for url in REFUSED_URLS])
def test_addresses_that_strangers_may_not_name(url, words):
    with pytest.raises(AddressRefused, match=words):
        PUBLIC.check(url)


@pytest.mark.parametrize(
    ("policy", "url"),
    [
        (PUBLIC, "https://example.com/a.mp4"),
        (PUBLIC, "https://93.184.216.34/a.mp4"),
        (PUBLIC, "s3://bucket/key.mp4"),
        (PRIVATE, "http://127.0.0.1:9000/a.mp4"),
        (PRIVATE, "http://[::1]:9000/a.mp4"),
        (PRIVATE, "file:///home/me/a.mp4"),
        (LISTED, "https://MEDIA.example.com./a.mp4"),
        (LISTED, "https://eu.cdn.example.com/a.mp4"),
        (LISTED, "s3://bucket/a.mp4"),
    ],
)
def test_addresses_that_may_be_named(policy, url):
    policy.check(url)


@pytest.mark.parametrize(
    "url",
    ["http://169.254.169.254/", "http://[fe80::1]/", "http://100.100.100.200/", "http://168.63.129.16/",
     "http://192.0.0.192/", "http://[::ffff:168.63.129.16]/"],
)  # fmt: skip
def test_what_clouds_keep_secret_stays_closed_also_where_private_addresses_are_open(url):
    with pytest.raises(AddressRefused, match="keep secrets"):
        PRIVATE.check(url)


@pytest.mark.parametrize(
    "url",
    ["https://example.com/a", "https://media.example.com.evil.com/a", "https://evilcdn.example.com/a",
     "https://cdn.example.com/a", "s3://other/a", "https://10.1.2.3/a"],
)  # fmt: skip
def test_with_a_list_of_video_hosts_only_those_are_open_and_none_of_them_is_trusted(url):
    with pytest.raises(AddressRefused):
        LISTED.check(url)


def test_a_host_on_the_callback_list_may_be_private_and_so_may_the_known_backend():
    listed = callback_policy(hosts=("10.0.0.5",), backend="", private=False)
    listed.check("http://10.0.0.5:8000/api/render/callback")
    known = callback_policy(hosts=(), backend="http://10.0.0.6:8000", private=False)
    known.check("http://10.0.0.6:8000/other")
    with pytest.raises(AddressRefused):
        known.check("http://10.0.0.7:8000/")
    both = callback_policy(hosts=("10.0.0.5",), backend="http://10.0.0.6:8000", private=False)
    both.check("http://10.0.0.6:8000/")


@contextmanager
def answering(status: int = 200, **headers: str) -> Iterator[tuple[int, list[str]]]:
    """Run a server on this machine that answers everything alike; yield its port and the paths it was asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port, asked
        finally:
            server.shutdown()
            thread.join()


def test_a_name_that_leads_to_this_machine_is_not_connected_to():
    with answering() as (port, asked):
        with pytest.raises(AddressRefused, match="not a public address"):
            _got(PUBLIC, f"http://localhost:{port}/secret")
        assert not asked


def test_a_trusted_name_is_connected_to():
    trusting = AddressPolicy(schemes=("http",), setting="X", trusted=("localhost",))
    with answering() as (port, asked):
        assert _got(trusting, f"http://localhost:{port}/a").text == "ok"
        assert asked == ["/a"]


def test_redirects_are_not_followed_by_themselves():
    with answering(302, Location="http://10.0.0.1/") as (port, asked):
        assert _got(PRIVATE, f"http://127.0.0.1:{port}/a").status_code == 302
        assert asked == ["/a"]


def test_a_cookie_of_one_request_is_not_sent_with_another():
    async def cookies(url: str) -> list[str]:
        async with checked_client(PRIVATE, timeout=5) as client:
            return [(await client.get(url)).request.headers.get("Cookie", "") for _ in range(2)]

    with answering(**{"Set-Cookie": "session=of-one-job; Path=/"}) as (port, _):
        assert asyncio.run(cookies(f"http://127.0.0.1:{port}/")) == ["", ""]


def test_the_address_that_was_checked_is_the_one_connected_to(monkeypatch):
    """A name that resolves to a public address first and to a private one a moment later."""
    resolved = []

    class Rebinding(AddressPolicy):
        async def resolve(self, host: str, port: int) -> list[str]:
            resolved.append(host)
            return ["127.0.0.1"]

    with answering() as (port, _):
        assert _got(Rebinding(schemes=("http",), setting="X"), f"http://no-such-host.invalid:{port}/").text == "ok"
    assert resolved == ["no-such-host.invalid"]


def test_failures_of_the_network_are_httpx_s_own():
    with pytest.raises(httpx.ConnectError):
        _got(PRIVATE, "http://127.0.0.1:1/")
    with pytest.raises(httpx.ConnectError, match="no host"):
        _got(PRIVATE, "http://no-such-host.invalid/")


def _got(policy: AddressPolicy, url: str) -> httpx.Response:
    async def get() -> httpx.Response:
        async with checked_client(policy, timeout=5) as client:
            return await client.get(url)

    return asyncio.run(get())
