"""compose.yaml is checked against what it depends on: the service's settings, the images' names, the S3 server."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from ecg_shim.backends.standalone import StandaloneSettings
from ecg_shim.settings import PASSED_ON, Settings
from go_tools import tool

ROOT = Path(__file__).parents[2]
INNERMOST = re.compile(r"(?<!\$)\$\{(\w+)(:?)-([^${}]*)\}")
SERVICE, S3 = "gpu-render", "s3"
CHANGED_ON_PURPOSE = {"backend_callback_url", "bucket", "data_dir", "environment", "public_url", "temp_dir"}


def services(**environment: str) -> Any:
    """Return the services of compose.yaml, as they are with these variables and no others; scalars are text."""
    return yaml.load(filled((ROOT / "compose.yaml").read_text(), environment), yaml.BaseLoader)["services"]


def filled(text: str, environment: Mapping[str, str]) -> str:
    """Put values or defaults in the place of ${NAME:-default} (where unset or empty) and ${NAME-default} (unset)."""

    def value(found: re.Match[str]) -> str:
        name, also_empty, default = found.groups()
        own = environment.get(name)
        return default if own is None or (also_empty and not own) else own

    text = re.sub(r"^\s*#.*$", "", text, flags=re.M)
    while INNERMOST.search(text):
        text = INNERMOST.sub(value, text)
    return text.replace("$$", "$")


def test_the_service_knows_every_variable_that_it_is_given() -> None:
    declared = [*(found for _, found in Settings.variables()), *PASSED_ON]
    known = {name for variable in declared for name in variable.names}
    assert set(services()[SERVICE]["environment"]) - known == set()


def test_the_service_starts_with_its_own_defaults_but_for_what_compose_must_say() -> None:
    settings = Settings.from_environment(services()[SERVICE]["environment"])
    changed = {name for name, found in Settings.variables() if getattr(settings, name) != found.read(found.default)}
    assert changed == CHANGED_ON_PURPOSE


def test_every_variable_of_ours_reaches_the_service() -> None:
    own = {
        "MAX_CONCURRENT_JOBS": "7", "BROWSER_POOL_SIZE": "2", "ECG_API_TOKEN": "token", "S3_BUCKET": "other",
        "BACKEND_CALLBACK_URL": "http://backend:8000", "AWS_ACCESS_KEY_ID": "somebody",
    }  # fmt: skip
    assert own.items() <= services(**own)[SERVICE]["environment"].items()


def test_an_empty_bucket_leaves_videos_with_the_service() -> None:
    assert Settings.from_environment(services(S3_BUCKET="")[SERVICE]["environment"]).bucket == ""


@pytest.mark.parametrize("names", [{}, {"PREFIX": "registry.example.com/team", "TAG": "1.2.3"}])
def test_the_image_has_the_name_that_the_image_script_gives_it(names: dict[str, str]) -> None:
    environment = {"PATH": os.environ["PATH"], "BUILDER": "echo", **names}
    command = [str(ROOT / "scripts" / "images"), "renderer"]
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()
    service = services(**names)[SERVICE]
    assert service["image"] == printed[printed.index("--tag") + 1]
    assert service["build"] == {"context": ".", "dockerfile": printed[printed.index("--file") + 1]}


def test_the_image_holds_what_serves() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert "operator/ecg_shim" in wheel["packages"]
    copied = re.findall(r"^COPY (\S+) ", (ROOT / "Dockerfile.renderer").read_text(), re.M)
    assert {"operator/ecg_shim", "operator"} & set(copied)


def test_the_service_listens_on_the_port_that_is_published() -> None:
    service = services(BIND="0.0.0.0", HTTP_PORT="9000")[SERVICE]
    assert service["ports"] == [f"0.0.0.0:9000:{Settings().port}"]
    assert service["command"] == ["serve", "--mode", "standalone", "--host", "0.0.0.0"]


def test_by_default_only_this_machine_is_served() -> None:
    assert [port.split(":")[0] for service in services().values() for port in service["ports"]] == ["127.0.0.1"] * 2


def test_signed_addresses_are_the_same_inside_and_outside() -> None:
    both = services(S3_HOST="s3.example.com", S3_PORT="7171")
    assert both[SERVICE]["environment"]["AWS_ENDPOINT_URL"] == "http://s3.example.com:7171"
    assert both[S3]["networks"]["default"]["aliases"] == ["s3.example.com"]
    assert both[S3]["ports"] == ["127.0.0.1:7171:7171"]
    assert both[S3]["environment"]["VGW_PORT"] == ":7171"


def test_the_s3_server_has_the_keys_region_and_bucket_of_the_service() -> None:
    pairs = {
        "ROOT_ACCESS_KEY_ID": "AWS_ACCESS_KEY_ID", "ROOT_SECRET_ACCESS_KEY": "AWS_SECRET_ACCESS_KEY",
        "VGW_REGION": "AWS_DEFAULT_REGION", "S3_BUCKET": "S3_BUCKET",
    }  # fmt: skip
    for both in (services(), services(**{name: f"own-{name.lower()}" for name in pairs.values()})):
        own, service = both[S3]["environment"], both[SERVICE]["environment"]
        assert {name: own[name] for name in pairs} == {name: service[other] for name, other in pairs.items()}


def test_the_s3_server_is_the_version_that_tests_use_and_knows_its_variables() -> None:
    server = services()[S3]
    version = re.search(r"versitygw (v\S+)", (ROOT / "tests/cluster/tools/versitygw/go.mod").read_text())
    assert version
    assert server["image"] == f"docker.io/versity/versitygw:{version[1]}"
    told = subprocess.run([tool("versitygw"), "--help"], capture_output=True, text=True, check=True).stdout
    assert [name for name in server["environment"] if name != "S3_BUCKET" and f"${name}" not in told] == []


@pytest.mark.parametrize("name", [SERVICE, S3])
def test_a_container_may_do_nothing_but_its_work(name: str) -> None:
    service = services()[name]
    assert service["read_only"] == "true"
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "container_name" not in service


def test_what_must_outlive_a_container_is_in_a_volume() -> None:
    service = services()[SERVICE]
    settings = Settings.from_environment(service["environment"])
    [volume] = (mount.split(":")[1] for mount in service["volumes"])
    assert Path(settings.data_dir).is_relative_to(volume)
    assert Path(settings.temp_dir).is_relative_to(volume)


def test_stopping_takes_no_longer_than_it_may() -> None:
    service = services()[SERVICE]
    needed = Settings.from_environment(service["environment"]).drain_seconds + StandaloneSettings.stop_seconds
    assert float(service["stop_grace_period"].removesuffix("s")) > needed


@pytest.mark.parametrize(("status", "code"), [("healthy", 0), ("unhealthy", 1)])
def test_the_health_check_tells_what_the_service_tells(status: str, code: int) -> None:
    _, interpreter, *arguments = services()[SERVICE]["healthcheck"]["test"]
    assert interpreter == "python"
    with answering({"status": status}) as port:
        own = [argument.replace("127.0.0.1:8090/health", f"127.0.0.1:{port}/health") for argument in arguments]
        assert own != arguments
        assert subprocess.run([sys.executable, *own], check=False).returncode == code


def test_the_file_for_gpus_gives_them_to_the_service() -> None:
    more = yaml.safe_load((ROOT / "compose.gpu.yaml").read_text())["services"]
    devices = {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}
    assert more == {SERVICE: {"deploy": {"resources": {"reservations": {"devices": [devices]}}}}}


@contextmanager
def answering(reply: object) -> Iterator[int]:
    """Answer every GET on this machine with `reply` as JSON; yields the port."""
    with HTTPServer(("127.0.0.1", 0), _handler(json.dumps(reply).encode())) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def _handler(body: bytes) -> Callable[..., BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the library's name
            """Keep the test's output clean."""

    return Handler
