"""Signed addresses: the right region, the right style, the credentials of now."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.stub import Stubber

from ecg_common.s3 import Limits, S3Connection, connection
from s3 import NO_OTHER_SETTINGS

KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
ELSEWHERE = {"HTTPHeaders": {"x-amz-bucket-region": "eu-central-1"}}


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    for name, value in {**NO_OTHER_SETTINGS, **KEYS}.items():
        monkeypatch.setenv(name, value)


def allowed(stub: Stubber) -> None:
    stub.add_response("head_bucket", {"ResponseMetadata": ELSEWHERE})


def refused(stub: Stubber) -> None:
    stub.add_client_error("head_bucket", "403", http_status_code=403, response_meta=ELSEWHERE)


@pytest.mark.parametrize("answer", [allowed, refused])
def test_an_address_is_signed_for_the_buckets_region_which_is_asked_once(answer: Any) -> None:
    s3 = S3Connection(Limits())
    with Stubber(s3.client) as stub:
        answer(stub)
        first, second = (s3.signed("videos", "a/b c.mp4", 60, ask_region=True) for _ in range(2))
        stub.assert_no_pending_responses()
    for url in (first, second):
        parts = urlsplit(url)
        assert parts.hostname in ("videos.s3.amazonaws.com", "videos.s3.eu-central-1.amazonaws.com")
        assert parts.path == "/a/b%20c.mp4"
        assert parse_qs(parts.query)["X-Amz-Expires"] == ["60"]
        assert "eu-central-1/s3/aws4_request" in parse_qs(parts.query)["X-Amz-Credential"][0]


def test_other_servers_are_not_asked_and_get_the_bucket_in_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    url = connection().signed("videos", "a.mp4", 60, ask_region=True)
    assert url.startswith("http://127.0.0.1:1/videos/a.mp4?X-Amz-Algorithm=AWS4-HMAC-SHA256")


def test_a_connection_lasts_as_long_as_the_settings_do(monkeypatch: pytest.MonkeyPatch) -> None:
    before = connection()
    assert connection() is before
    monkeypatch.setenv("AWS_SESSION_TOKEN", "second")
    assert connection() is not before
    assert "X-Amz-Security-Token=second" in connection().signed("videos", "a.mp4", 60)


def test_settings_that_make_no_sense_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "nonsense")
    with pytest.raises(ValueError, match="nonsense"):
        connection()
