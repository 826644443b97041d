"""Signatures of callbacks, against what the standard's own library for Python (standardwebhooks 1.1.0) makes."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from ecg_shim.relay.sender import SecretError, Signer

SECRET = "whsec_MfKQ9r8GKYqwTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
ID, AT, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
SIGNATURE = "v1,ezPPwzspfIcp4cDp4tk6r6m9T8vF0TaBlLgkD3e7Qck="


def signer(secrets: str) -> Signer:
    made = Signer.of(secrets)
    assert made
    return made


def test_the_standards_vector() -> None:
    headers = signer(SECRET).headers(ID, AT, BODY)
    assert headers == {"webhook-timestamp": str(AT), "webhook-signature": SIGNATURE}


def test_a_secret_without_prefix_or_padding_is_the_same_secret() -> None:
    for secret in (SECRET.removeprefix("whsec_"), f"  {SECRET}\n"):
        assert signer(secret).headers(ID, AT, BODY)["webhook-signature"] == SIGNATURE
    long = "whsec_" + base64.b64encode(b"k" * 25).decode().rstrip("=")
    expected = hmac.new(b"k" * 25, f"{ID}.{AT}.".encode() + BODY, hashlib.sha256).digest()
    assert signer(long).headers(ID, AT, BODY)["webhook-signature"] == f"v1,{base64.b64encode(expected).decode()}"


@pytest.mark.parametrize("separator", [" ", ",", ", "])
def test_while_a_secret_is_changed_both_sign(separator: str) -> None:
    signatures = signer(f"{OTHER}{separator}{SECRET}").headers(ID, AT, BODY)["webhook-signature"].split(" ")
    assert len(set(signatures)) == 2
    assert signatures[1] == SIGNATURE


def test_body_time_and_id_are_all_signed() -> None:
    one = signer(SECRET)
    different = [(ID, AT, BODY + b" "), (ID, AT + 1, BODY), (ID + "x", AT, BODY)]
    assert SIGNATURE not in {one.headers(*values)["webhook-signature"] for values in different}


@pytest.mark.parametrize("secret", ["whsec_", "whsec_!!!", "password", "whsec_c2hvcnQ=", "whsec_" + "QUFB" * 60])
def test_a_secret_that_is_none_is_refused_without_being_shown(secret: str) -> None:
    with pytest.raises(SecretError, match="Secret number 2") as refused:
        Signer.of(f"{SECRET} {secret}")
    assert secret.removeprefix("whsec_") not in str(refused.value) or secret == "whsec_"


def test_no_secret_signs_nothing_and_secrets_are_not_printed() -> None:
    assert Signer.of("  ") is None
    assert repr(signer(SECRET)) == "Signer()"
