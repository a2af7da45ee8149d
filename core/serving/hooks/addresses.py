"""Where a notice may go: addresses of the open internet, others only where the loop allows it, some never.

The name is resolved once and the connection is made to the address that was checked, so that a name which resolves to
something else a moment later (DNS rebinding) changes nothing.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from ...errors import ConfigError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
PORTS = {"http": 80, "https": 443}
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# clouds answer here with credentials; the IPv4 one is link-local, this one is not
_METADATA = (ipaddress.ip_address("fd00:ec2::254"), ipaddress.ip_address("100.100.100.200"))


class Target(NamedTuple):
    """A URL whose host was resolved and checked: connect to `address`, and speak to `host`."""

    address: str
    port: int
    host: str
    scheme: str
    path: str


async def resolved(host: str, port: int) -> Sequence[str]:
    """The addresses of a host, in the order of the system."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def checked(url: str, allow_private: bool, resolve: Resolve = resolved) -> Target:
    """Where to connect for `url`. Raises ConfigError where it may not go, OSError where the name is not found.

    A name with one address that is not allowed is refused as a whole.
    """
    parts = urlsplit(url)
    host, port = _host(parts), parts.port or PORTS.get(parts.scheme, 0)
    addresses = [ipaddress.ip_address(one.partition("%")[0]) for one in await resolve(host, port)]
    if not addresses:
        raise OSError(f"{host} has no address")
    for address in addresses:
        if reason := refusal(address, allow_private):
            raise ConfigError(f"{host}: {address} is {reason}, so nothing is sent there")
    if parts.scheme != "https" and not all(_within(address).is_loopback for address in addresses):
        raise ConfigError(f"{host}: http is for this machine alone; use https")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(str(addresses[0]), port, host, parts.scheme, path)


def refusal(address: Address, allow_private: bool) -> str:
    """Why nothing may be sent to `address`; empty where it may."""
    inner = _within(address)
    if inner.is_link_local or inner in _METADATA:
        return "link-local, where clouds keep their credentials"
    if inner.is_multicast or inner.is_unspecified:
        return "no address of one machine"
    if inner.is_global or (allow_private and (inner.is_private or inner.is_loopback)):
        return ""
    return "not on the open internet" + ("" if allow_private else "; `allow_private: true` allows it")


def _within(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, where it does."""
    if isinstance(address, ipaddress.IPv6Address):
        if (inner := address.ipv4_mapped or address.sixtofour) is not None:
            return inner
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def _host(parts: SplitResult) -> str:
    """The host as it is resolved and named to the server; IDNA where it is not ASCII. Raises ConfigError."""
    try:
        return (parts.hostname or "").encode("idna").decode("ascii")
    except UnicodeError:
        raise ConfigError(f"{parts.hostname}: this is no name of a host") from None
