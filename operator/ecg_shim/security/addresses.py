"""Which addresses a request may make this service contact: those of its video, and that of its callback."""

from __future__ import annotations

from urllib.parse import urlsplit

from ecg_common.addresses import AddressPolicy


def video_policy(*, hosts: tuple[str, ...], private: bool) -> AddressPolicy:
    """Return the policy for source videos; who may read private addresses may read files of this machine, too."""
    return AddressPolicy(
        schemes=("https", "http", "s3"), setting="ECG_VIDEO_HOSTS", hosts=hosts, private=private, files=private
    )


def callback_policy(*, hosts: tuple[str, ...], backend: str, private: bool) -> AddressPolicy:
    """Return the policy for callbacks; `backend` is an address whose host is trusted, or empty."""
    known = urlsplit(backend).hostname or ""
    trusted = (*hosts, known) if known else hosts
    return AddressPolicy(
        schemes=("https", "http"), setting="ECG_CALLBACK_HOSTS", hosts=hosts, trusted=trusted, private=private
    )
