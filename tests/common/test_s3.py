"""Signed addresses: the right region, the right style, the credentials of now."""

from __future__ import annotations

import base64
import json
import os
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.stub import Stubber
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ecg_common.s3 import Limits, S3Connection, connection, published
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


def profiles_are(monkeypatch: pytest.MonkeyPatch, *profiles: dict[str, Any]) -> None:
    monkeypatch.setenv("ECG_STORAGE_PROFILES", json.dumps(profiles))


def test_a_bucket_of_a_storage_profile_is_reached_as_that_says_and_others_as_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    there = {"name": "there", "bucket": "far", "endpoint": "https://s3.us-west-2.amazonaws.com", "region": "us-west-2"}
    mine = {"name": "mine-1", "bucket": "near", "endpoint": "http://127.0.0.1:1", "secret": "keys"}
    home = {"name": "home", "bucket": "shared", "awsProfile": "team"}
    profiles_are(monkeypatch, there, mine, home)
    (tmp_path / "credentials").write_text("[team]\naws_access_key_id = teams\naws_secret_access_key = t\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    signed = connection(bucket="far").signed("far", "a.mp4", 60)
    assert signed.startswith("https://s3.us-west-2.amazonaws.com/far/a.mp4?") and "us-west-2%2Fs3" in signed
    assert "key%2F" in connection(bucket="other").signed("other", "a.mp4", 60)
    assert "teams%2F" in connection(bucket="shared").signed("shared", "a.mp4", 60)
    with pytest.raises(ValueError, match="'mine-1' has no keys here: ECG_STORAGE_MINE_1_ACCESS_KEY_ID and"):
        connection(bucket="near")
    monkeypatch.setenv("ECG_STORAGE_MINE_1_ACCESS_KEY_ID", "other")
    monkeypatch.setenv("ECG_STORAGE_MINE_1_SECRET_ACCESS_KEY", "s")
    own = connection(bucket="near").signed("near", "a.mp4", 60)
    assert own.startswith("http://127.0.0.1:1/near/a.mp4?") and "other%2F" in own and "Security-Token" not in own


def test_a_cdn_before_a_bucket_is_told_and_signed_where_it_asks_for_that_so_that_its_key_agrees(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    plain = {"name": "open", "bucket": "open", "sources": ["raw"], "cdn": {"baseUrl": "https://cdn.example.com/v/"}}
    closed = {"name": "closed", "bucket": "closed", "cdn": {"baseUrl": "https://d1.cloudfront.net", "keyPairId": "K1"}}
    profiles_are(monkeypatch, plain, closed)
    assert published("open", "a b/é.mp4", 60) == "https://cdn.example.com/v/a%20b/%C3%A9.mp4"
    assert published("raw", "a.mp4", 60) is None and published("other", "a.mp4", 60) is None
    assert published("closed", "a.mp4", 60) is None, "who has no key cannot sign"
    monkeypatch.setenv("ECG_STORAGE_CLOSED_CDN_PRIVATE_KEY", pem)
    url = published("closed", "a b.mp4", 60)
    assert url is not None
    address, _, query = url.partition("?")
    given = {name: values[0] for name, values in parse_qs(query).items()}
    assert address == "https://d1.cloudfront.net/a%20b.mp4" and given["Key-Pair-Id"] == "K1"
    assert 50 <= int(given["Expires"]) - time.time() <= 60
    # As CloudFront checks it: its own base64, over the policy that these three make up.
    policy = '{"Statement":[{"Resource":"%s","Condition":{"DateLessThan":{"AWS:EpochTime":%s}}}]}'
    signature = base64.b64decode(given["Signature"].translate(str.maketrans("-_~", "+=/")))
    said = (policy % (address, given["Expires"])).encode()
    key.public_key().verify(signature, said, padding.PKCS1v15(), hashes.SHA1())
    monkeypatch.setenv("ECG_STORAGE_CLOSED_CDN_PRIVATE_KEY", "s3cret")
    with pytest.raises(ValueError, match="CDN_PRIVATE_KEY holds no RSA key") as refused:
        published("closed", "a.mp4", 60)
    assert "s3cret" not in str(refused.value)
