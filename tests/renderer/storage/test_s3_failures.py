"""What S3 answers, and what a person reads."""

from __future__ import annotations

import pytest
from botocore import exceptions as boto

from ecg_api.failures import FailureCode
from ecg_renderer.storage.s3_client import AlreadyThere, NoSuchObject, s3_failure

ACCESS = FailureCode.STORAGE_ACCESS_ERROR
AWAY = FailureCode.CONNECTION_ERROR
FULL = FailureCode.SYSTEM_RESOURCE_ERROR
URL = "https://s3.example/b/k?X-Amz-Signature=5ec2e7"


def answer(code: str, status: int, message: str = "Some words.") -> boto.ClientError:
    refused = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return boto.ClientError(refused, "GetObject")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (answer("NoSuchKey", 404), ACCESS, "there is no such object"),
        (answer("404", 404), ACCESS, "there is no such object"),
        (answer("NoSuchBucket", 404), ACCESS, "there is no such bucket"),
        (answer("AccessDenied", 403), ACCESS, "access is denied"),
        (answer("403", 403), ACCESS, "access is denied"),
        (answer("ExpiredToken", 400), ACCESS, "the credentials have expired"),
        (answer("PermanentRedirect", 301), ACCESS, "another region"),
        (answer("RequestTimeTooSkewed", 403), ACCESS, "the clock of this machine is wrong"),
        (answer("NotImplemented", 501), ACCESS, "does not know this operation"),
        (answer("NewlyInvented", 400), ACCESS, "https://s3.example answers NewlyInvented: Some words."),
        (answer("QuotaExceeded", 403), FULL, "is full"),
        (answer("507", 507), FULL, "is full"),
        (answer("SlowDown", 503), AWAY, "answers SlowDown"),
        (answer("InternalError", 500), AWAY, "answers InternalError"),
        (answer("502", 502), AWAY, "answers 502"),
        (answer("429", 429), AWAY, "overloaded"),
        (answer("RequestTimeout", 400), AWAY, "answers RequestTimeout"),
        (boto.EndpointConnectionError(endpoint_url=URL), AWAY, "the service cannot be reached"),
        (boto.ConnectTimeoutError(endpoint_url=URL), AWAY, "does not answer in time"),
        (boto.ReadTimeoutError(endpoint_url=URL), AWAY, "does not answer in time"),
        (boto.ConnectionClosedError(endpoint_url=URL), AWAY, "the connection broke off"),
        (boto.ResponseStreamingError(error="reset"), AWAY, "the connection broke off"),
        (boto.IncompleteReadError(actual_bytes=1, expected_bytes=2), AWAY, "the connection broke off"),
        (boto.FlexibleChecksumError(error_msg="crc32"), AWAY, "what arrived is damaged"),
        (boto.CredentialRetrievalError(provider="sts", error_msg="x"), AWAY, "the credentials cannot be fetched"),
        (boto.SSLError(endpoint_url=URL, error="handshake failure"), AWAY, "the service cannot be reached"),
        (boto.SSLError(endpoint_url=URL, error="certificate verify failed"), ACCESS, "is not trusted"),
        (boto.NoCredentialsError(), ACCESS, "there are no credentials"),
        (boto.UnauthorizedSSOTokenError(), ACCESS, "SSO session"),
        (boto.ParamValidationError(report=f"not an address: {URL}"), ACCESS, "not an address: https://s3.example/b/k"),
    ],
    ids=lambda value: str(value)[:60] if isinstance(value, Exception) else None,
)
def test_every_refusal_has_its_code_and_its_words(
    error: boto.BotoCoreError | boto.ClientError, code: FailureCode, said: str
) -> None:
    failure = s3_failure(error, "read s3://bucket/key", "https://s3.example")

    assert failure.code == code
    assert failure.message.startswith("Cannot read s3://bucket/key: ")
    assert said in failure.message
    assert "5ec2e7" not in failure.message
    assert failure.hint
    assert failure.failure().retryable is (code in (AWAY, FULL))


def test_what_callers_act_upon_has_a_class() -> None:
    assert isinstance(s3_failure(answer("NoSuchKey", 404), "read x", ""), NoSuchObject)
    assert isinstance(s3_failure(answer("PreconditionFailed", 412), "write x", ""), AlreadyThere)
    assert not isinstance(s3_failure(answer("NoSuchBucket", 404), "read x", ""), NoSuchObject)
