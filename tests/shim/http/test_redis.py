from __future__ import annotations

import logging
import socket

import pytest

from ecg_shim.legacy import look_for_redis
from ports import free_ports


def said(url: str, caplog: pytest.LogCaptureFixture) -> list[str]:
    with caplog.at_level(logging.INFO):
        thread = look_for_redis(url)
        if thread is not None:
            thread.join(10)
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("form", ["redis://:secret@127.0.0.1:{port}/0", "unix:///nowhere/redis.sock"])
def test_a_redis_that_is_named_but_not_there_is_logged_without_its_password(
    form: str, caplog: pytest.LogCaptureFixture
) -> None:
    (line,) = said(form.format(port=free_ports(1)[0]), caplog)
    assert line.startswith("❌ Redis connection failed: ")
    assert "secret" not in line


def test_a_redis_that_answers_is_not_worth_a_line(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert said(f"redis://127.0.0.1:{server.getsockname()[1]}", caplog) == []


def test_without_one_nothing_is_tried() -> None:
    assert look_for_redis("") is None
