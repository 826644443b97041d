"""Which addresses a stranger's URL may make this machine contact.

    https://host/video.mp4 ─> scheme ─> host listed? ─> what the name resolves to ─> public? ─> connect to exactly that

Videos, scenarios and callbacks are named by others. Unchecked, they would reach whatever this machine reaches:
databases, a cloud's metadata service, other people's pods.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

LONGEST_URL = 2048
_HERE = ("localhost", "127.0.0.1", "::1")
# Spaces, control characters, backslashes and halves of characters: what parsers of addresses disagree about.
_UNUSUAL = re.compile(r"[\x00-\x20\x7f\\\ud800-\udfff]")


def _networks(*texts: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(map(ipaddress.ip_network, texts))


# Where clouds tell a machine its secrets; nothing that a client names is there, whatever else is allowed.
METADATA = _networks(
    "169.254.0.0/16",
    "fe80::/10",
    "fd00:ec2::/32",
    "100.100.100.200/32",  # Alibaba
    "168.63.129.16/32",  # Azure
    "fd20:ce::254/128",  # Google
    "192.0.0.192/32",  # Oracle
    "fd00:c1::a9fe:a9fe/128",  # Oracle
)
# Special by their registration, and global to `ipaddress`, at least to that of some Python.
_SPECIAL = _networks(
    "192.0.0.0/24",
    "192.88.99.0/24",  # relays of 6to4
    "64:ff9b:1::/48",  # NAT64 of a site
    "fec0::/10",  # sites, deprecated
    "3fff::/20",  # documentation
    "5f00::/16",  # segment routing
)
# Their last four bytes are an IPv4 address: compatible, translated, NAT64.
_EMBEDDING = _networks("::/96", "::ffff:0:0:0/96", "64:ff9b::/96")


class AddressRefused(Exception):
    """An address that must not be contacted; the text says why, for a person."""


@dataclass(frozen=True)
class AddressPolicy:
    """What may be contacted.

    Attributes:
        schemes: such as https.
        hosts: the only hosts (for s3, buckets) allowed; a leading dot takes subdomains. Empty: all.
        trusted: hosts that may be at private addresses.
        private: every host may be at a private address.
        files: file:// addresses and paths are allowed.
        http_here: http:// is allowed besides, to names of this machine.
        origins: `scheme://host:port` that are allowed as they are, also at private addresses; see `origin_of`.
        setting: the variable that lists hosts; named in messages.
    """

    schemes: tuple[str, ...]
    setting: str = ""
    hosts: tuple[str, ...] = ()
    trusted: tuple[str, ...] = ()
    private: bool = False
    files: bool = False
    http_here: bool = False
    origins: tuple[str, ...] = ()

    def check(self, url: str) -> None:
        """Check what can be checked without asking the network; raises AddressRefused."""
        scheme, host = _parts(url)
        if self.origins and origin_of(url) in self.origins:
            if literal := _literal(host):
                replace(self, private=True).check_ip(host, literal)
            return
        if scheme == "file":
            if not self.files:
                raise AddressRefused("files of this machine may not be named in requests to it.")
            return
        if scheme not in self.schemes and not (scheme == "http" and self.http_here and host in _HERE):
            raise AddressRefused(f"{scheme}:// is not allowed; {', '.join(f'{word}://' for word in self.schemes)} is.")
        if self.hosts and not listed(host, (*self.hosts, *self.trusted)):
            raise AddressRefused(f"the host {host!r} is not listed in {self.setting}.")
        if scheme != "s3" and (literal := _literal(host)):
            self.check_ip(host, literal)

    def check_ip(self, host: str, ip: IpAddress) -> None:
        """Check an address that `host` stands for; raises AddressRefused."""
        plain = _unwrapped(ip)
        if _within(plain, METADATA):
            raise AddressRefused(f"{host!r} is {plain}, where clouds keep secrets of their machines.")
        if not is_public(plain) and not self.private and not listed(host, self.trusted):
            way_out = "" if self.origins else " ECG_PRIVATE_ADDRESSES=allow allows such."
            raise AddressRefused(f"{host!r} is {plain}, which is not a public address.{way_out}")

    async def resolve(self, host: str, port: int) -> list[str]:
        """Return the addresses of `host`, all of them checked; raises AddressRefused, or OSError for no such host."""
        literal = _literal(host)
        ips = [literal] if literal else await _addresses(host, port)
        named = any(origin.endswith(f"//{_bracketed(host)}:{port}") for origin in self.origins)
        policy = replace(self, private=True) if named else self
        for ip in ips:
            policy.check_ip(host, ip)
        return [str(ip) for ip in ips]


def origin_of(url: str) -> str:
    """Return `scheme://host:port` of an address, in lower case and with its port; raises AddressRefused for none."""
    scheme, host = _parts(url)
    port = urlsplit(url).port or {"http": 80, "https": 443}.get(scheme)
    if port is None:
        raise AddressRefused(f"{scheme}:// is no address of the web.")
    return f"{scheme}://{_bracketed(host)}:{port}"


def is_public(ip: IpAddress) -> bool:
    """Tell whether everybody reaches `ip`, with nothing secret there; an IPv4 address within IPv6 counts as itself."""
    plain = _unwrapped(ip)
    return plain.is_global and not plain.is_multicast and not _within(plain, (*METADATA, *_SPECIAL))


def listed(host: str, entries: Iterable[str]) -> bool:
    """Tell whether `host` is one of `entries`, or lies below one that begins with a dot."""
    name = host.lower().rstrip(".")
    return any(name == entry.lower() or (entry.startswith(".") and name.endswith(entry.lower())) for entry in entries)


def _parts(url: str) -> tuple[str, str]:
    """Return scheme and host; raises AddressRefused for what is no address."""
    if len(url) > LONGEST_URL:
        raise AddressRefused(f"it is longer than {LONGEST_URL} characters.")
    if _UNUSUAL.search(url):
        raise AddressRefused("it holds characters that no address has.")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise AddressRefused("it is no address.") from None
    if not parts.scheme or (not host and parts.scheme != "file"):
        raise AddressRefused("it is no address such as https://host/path.")
    return parts.scheme, host


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _literal(host: str) -> IpAddress | None:
    """Return the address that `host` itself is, also in the short forms that resolvers take, such as 127.1."""
    try:
        return ipaddress.ip_address(host.split("%")[0])
    except ValueError:
        pass
    if not host or host[0] not in "0123456789":
        return None
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, UnicodeEncodeError):
        return None


def _within(ip: IpAddress, networks: Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    return any(ip.version == network.version and ip in network for network in networks)


def _unwrapped(ip: IpAddress) -> IpAddress:
    """Return the IPv4 address inside an IPv6 one (mapped, translated, tunnelled), else the address itself."""
    if isinstance(ip, ipaddress.IPv4Address):
        return ip
    if ip.ipv4_mapped or ip.sixtofour:
        return ip.ipv4_mapped or ip.sixtofour or ip
    if int(ip) > 1 and _within(ip, _EMBEDDING):
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip


async def _addresses(host: str, port: int) -> list[IpAddress]:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise AddressRefused(f"{host!r} is no host name.") from None
    return list(dict.fromkeys(ipaddress.ip_address(str(address[0]).split("%")[0]) for *_, address in found))
