"""Which addresses everybody reaches."""

from __future__ import annotations

import ipaddress

import pytest

from ecg_common.addresses import is_public

PUBLIC = [
    *("93.184.216.34", "1.1.1.1", "168.63.129.17", "192.0.1.1", "172.32.0.1", "100.128.0.1"),
    *("2606:2800:220:1::1", "2a00:1450:4001::1", "::ffff:93.184.216.34", "2002:5db8:d822::1", "64:ff9b::5db8:d822"),
]
NOT_PUBLIC = [
    *("127.0.0.1", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.0.1", "0.0.0.0", "100.64.0.1"),
    *("198.18.0.1", "203.0.113.1", "192.88.99.1", "192.0.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
    *(
        "::",
        "::1",
        "fc00::1",
        "fd00::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
        "2001:db8::1",
        "3fff::1",
        "5f00::1",
    ),
]
METADATA = [
    *("169.254.169.254", "169.254.170.2", "168.63.129.16", "100.100.100.200", "192.0.0.192"),
    *("fd00:ec2::254", "fd20:ce::254", "fd00:c1::a9fe:a9fe", "fe80::a9fe:a9fe"),
]
WITHIN_IPV6 = [
    *("::ffff:10.0.0.1", "::127.0.0.1", "::10.0.0.1", "2002:a00:1::1", "2002:7f00:1::", "64:ff9b::a00:1"),
    *("64:ff9b::169.254.169.254", "::ffff:192.0.0.192", "::ffff:0:10.0.0.1", "64:ff9b:1::1", "2001:0:5db8:d822::1"),
]


@pytest.mark.parametrize("address", PUBLIC)
def test_what_everybody_reaches(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", [*NOT_PUBLIC, *METADATA, *WITHIN_IPV6])
def test_what_only_some_reach_or_what_tells_secrets(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))
