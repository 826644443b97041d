"""One S3 server for all tests of storage, and a bucket of its own for each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from s3 import NO_OTHER_SETTINGS, Bucket, S3Server


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 server that other tests use too: nobody stops it."""
    with S3Server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def no_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No AWS settings but those of the test, and a cache of its own."""
    for name in os.environ:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    for name, value in NO_OTHER_SETTINGS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def second(tmp_path: Path) -> Iterator[S3Server]:
    """Another server, which this test may stop; nothing leads to it but storage profiles."""
    with S3Server(tmp_path / "second") as server:
        yield server


@pytest.fixture
def bucket(s3_server: S3Server, no_aws: None, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A new bucket; the environment leads to it."""
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    return s3_server.new_bucket()
