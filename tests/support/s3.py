"""A real S3 server on this machine: versitygw over a folder, with a port and credentials of its own.

with S3Server(tmp_path) as server:
    bucket = server.new_bucket()          .put, .get, .keys, .unfinished
    bucket.user("s3:GetObject")           AWS variables of somebody who may do no more than that
    server.environment()                  AWS variables that lead a process to it
    server.client                         boto3's client, as root
    server.paused(), .kill(), .start()    a server that hangs, or is gone for a while
    storage_profiles(monkeypatch, {"name": "far", "bucket": bucket.name, **profile_of(server)})
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from secrets import token_hex
from types import TracebackType
from typing import Any, Self
from urllib.error import URLError
from urllib.request import urlopen

import boto3
from botocore.config import Config

from daemons import Daemons
from ecg_common.profiles import variable_of
from go_tools import tool
from ports import free_ports

SECONDS_TO_START = 60.0
_HEALTH = "/health"
_NAME = "versitygw"
NO_OTHER_SETTINGS = {
    # What the machine's owner set up, and the metadata service of a cloud, must not answer in our place.
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}


def storage_profiles(monkeypatch: Any, *profiles: Mapping[str, Any]) -> None:
    """Set up storage profiles; `keys` of one, as `profile_of` gives them, become its variables."""
    given = [{name: value for name, value in one.items() if name != "keys"} for one in profiles]
    monkeypatch.setenv("ECG_STORAGE_PROFILES", json.dumps(given))
    for one in profiles:
        for end, value in one.get("keys", {"ACCESS_KEY_ID": "nobody", "SECRET_ACCESS_KEY": "s"}).items():
            monkeypatch.setenv(variable_of(one["name"], end), value)


def profile_of(server: S3Server) -> dict[str, Any]:
    """Return what a storage profile says about a server, its keys among it."""
    keys = {"ACCESS_KEY_ID": server.access_key, "SECRET_ACCESS_KEY": server.secret_key}
    return {"endpoint": server.url, "secret": "keys", "keys": keys}


class S3Server:
    """An S3 server whose buckets are folders below `folder`; a context manager that starts and ends it."""

    def __init__(self, folder: Path, *, host: str = "127.0.0.1") -> None:
        self.access_key = f"key{token_hex(8)}"
        self.secret_key = token_hex(20)
        self.url = f"http://{host}:{free_ports(1, host)[0]}"
        self._buckets = folder / "buckets"
        self._users = folder / "users"
        self._daemons = Daemons(folder / "run")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._daemons.stop(_NAME, seconds=2)

    def start(self) -> None:
        """Start the server, also again after `kill()`, and wait until it answers."""
        for folder in (self._buckets, self._users):
            folder.mkdir(parents=True, exist_ok=True)
        options = ["--port", self.url.removeprefix("http://"), "--health", _HEALTH, "--quiet"]
        command: list[str | Path] = [
            tool(_NAME),
            *options,
            "--iam-dir",
            self._users,
            "--iam-cache-disable",
            "posix",
            self._buckets,
        ]
        root = {"ROOT_ACCESS_KEY": self.access_key, "ROOT_SECRET_KEY": self.secret_key}
        self._daemons.start(_NAME, command, root)
        self._daemons.wait_until(_NAME, self._answers, SECONDS_TO_START)

    def kill(self) -> None:
        """End the server at once; connections to it are refused from now on."""
        self._daemons.kill(_NAME)

    @property
    def is_running(self) -> bool:
        """Tell whether the server's process is there."""
        return self._daemons.process(_NAME) is not None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let the server hang meanwhile: connections are accepted, nothing is answered."""
        process = self._daemons.process(_NAME)
        assert process
        process.send_signal(signal.SIGSTOP)
        try:
            while not _stopped(process.pid):  # on a busy machine it takes a moment, and a request is answered in it
                time.sleep(0.005)
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    def environment(self, access_key: str = "", secret_key: str = "") -> dict[str, str]:
        """Return the variables that lead a process to this server, as root unless other keys are given."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": access_key or self.access_key,
            "AWS_SECRET_ACCESS_KEY": secret_key or self.secret_key,
            **NO_OTHER_SETTINGS,
        }

    @cached_property
    def client(self) -> Any:
        """boto3's client, as root."""
        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name="us-east-1",
            config=Config(s3={"addressing_style": "path"}),
        )

    def new_bucket(self) -> Bucket:
        """Make a bucket."""
        bucket = Bucket(self, f"bucket-{token_hex(4)}")
        self.client.create_bucket(Bucket=bucket.name)
        return bucket

    def new_user(self) -> tuple[str, str]:
        """Make somebody who may do nothing; return access key and secret key."""
        access_key, secret_key = f"user{token_hex(4)}", token_hex(20)
        command = [str(tool(_NAME)), "admin", "--endpoint-url", self.url, "create-user", "--role", "user"]
        root = {"ADMIN_ACCESS_KEY": self.access_key, "ADMIN_SECRET_KEY": self.secret_key}
        new = ["--access", access_key, "--secret", secret_key]
        subprocess.run([*command, *new], check=True, env={**os.environ, **root}, capture_output=True)
        return access_key, secret_key

    def _answers(self) -> bool:
        try:
            with urlopen(self.url + _HEALTH, timeout=1) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False


@dataclass(frozen=True)
class Bucket:
    """A bucket on a running server."""

    server: S3Server
    name: str

    @property
    def keys(self) -> set[str]:
        """Keys of all objects."""
        return {found["Key"] for found in self._listed("list_objects_v2", "Contents")}

    @property
    def unfinished(self) -> set[str]:
        """Keys of all multipart uploads that were neither completed nor aborted."""
        return {found["Key"] for found in self._listed("list_multipart_uploads", "Uploads")}

    def uri(self, key: str) -> str:
        """Return the URI of an object."""
        return f"s3://{self.name}/{key}"

    def put(self, key: str, content: bytes) -> str:
        """Put an object and return its URI."""
        self.server.client.put_object(Bucket=self.name, Key=key, Body=content)
        return self.uri(key)

    def get(self, key: str) -> bytes:
        """Return an object's content."""
        return bytes(self.server.client.get_object(Bucket=self.name, Key=key)["Body"].read())

    def user(self, *actions: str) -> dict[str, str]:
        """Return the AWS variables of a new user, who may do `actions` such as s3:GetObject here and nothing else."""
        access_key, secret_key = self.server.new_user()
        whole, objects = f"arn:aws:s3:::{self.name}", f"arn:aws:s3:::{self.name}/*"
        statements = [
            {
                "Effect": "Allow",
                "Principal": access_key,
                "Action": action,
                "Resource": whole if action.startswith("s3:ListBucket") else objects,
            }
            for action in actions
        ]
        if statements:
            policy = json.dumps({"Statement": statements})
            self.server.client.put_bucket_policy(Bucket=self.name, Policy=policy)
        return self.server.environment(access_key, secret_key)

    def _listed(self, operation: str, field: str) -> list[Any]:
        pages = self.server.client.get_paginator(operation).paginate(Bucket=self.name)
        return [found for page in pages for found in page.get(field, [])]


def _stopped(pid: int) -> bool:
    """Tell whether no thread of a process runs any more."""
    for task in Path(f"/proc/{pid}/task").glob("*/stat"):
        with suppress(OSError):  # a thread that has ended meanwhile
            if task.read_text().rpartition(")")[2].split()[0] != "T":
                return False
    return True
