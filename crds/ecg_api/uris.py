"""Addresses in manifests. One machine takes bare paths too; the cluster's schema asks for a scheme."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

URI_LENGTH = 2048
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")


def _readable_uri(uri: str) -> str:
    scheme, host = _scheme_and_host(uri)
    if scheme == "http" and host not in LOCAL_HOSTS:
        raise ValueError("http:// is read from this machine only; use https://")
    if scheme not in ("", "file", "https", "http", "s3"):
        raise ValueError(f"cannot read from {scheme}://; use s3://, https://, file:// or a path")
    return uri


def _writable_uri(uri: str) -> str:
    scheme, _ = _scheme_and_host(uri)
    if scheme not in ("", "file", "s3"):
        raise ValueError(f"cannot write to {scheme}://; use s3://, file:// or a path")
    return uri


def _local_uri(uri: str) -> str:
    scheme, _ = _scheme_and_host(uri)
    if scheme not in ("", "file"):
        raise ValueError(f"{scheme}:// is no folder of this machine; use file:// or a path")
    return uri


def _web_uri(uri: str) -> str:
    scheme, host = _scheme_and_host(uri)
    if scheme not in ("http", "https") or not host:
        # Not quoted, here and below: it may hold a password or a signature.
        raise ValueError("is not an http:// or https:// address")
    return uri


def _scheme_and_host(uri: str) -> tuple[str, str]:
    if "://" not in uri:
        return "", ""
    try:
        parts = urlsplit(uri)
    except ValueError:
        raise ValueError("is not an address") from None
    return parts.scheme, parts.hostname or ""


Text = Annotated[str, Field(min_length=1, max_length=253)]
ReadableUri = Annotated[str, Field(min_length=1, max_length=URI_LENGTH), AfterValidator(_readable_uri)]
WritableUri = Annotated[str, Field(min_length=1, max_length=URI_LENGTH), AfterValidator(_writable_uri)]
LocalUri = Annotated[str, Field(min_length=1, max_length=URI_LENGTH), AfterValidator(_local_uri)]
WebUri = Annotated[str, Field(min_length=1, max_length=URI_LENGTH), AfterValidator(_web_uri)]
