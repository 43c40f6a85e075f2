"""Which network addresses a webhook may call, and an aiohttp connector that enforces it.

A webhook's address comes from outside. Without this check a consumer could make this program call services of its own
network: databases, the metadata service of a cloud, routers. A host is resolved once for all requests of a session, and
each socket is checked again when it is opened, so a DNS server that changes its answer gains nothing.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
#: Finds the addresses of a host and a port; `getaddrinfo` of the event loop in earnest.
Lookup = Callable[[str, int], Awaitable[Sequence[str]]]

#: Networks that some versions of Python call global: Azure's WireServer, addresses of protocols (one is a metadata
#: service), relays of 6to4, discarded packets, documentation, segment routing (IANA, special-purpose addresses).
_SPECIAL: tuple[Network, ...] = tuple(
    map(
        ipaddress.ip_network,
        ("168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24", "100:0:0:1::/64", "3fff::/20", "5f00::/16"),
    )
)
#: Prefixes of IPv6 addresses for the IPv4 address in their last 32 bits: NAT64 (RFC 6052) and IPv4-mapped (RFC 4291).
_IPV4_INSIDE = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "::ffff:0:0/96")))
_MOST_ADDRESSES = 16


class AddressRefused(OSError):
    """The address is not public, and the subscription does not allow it."""


def networks(allowed: Sequence[str]) -> list[Network]:
    """Parse networks in CIDR notation.

    Raises:
        ValueError: one of them is not a network.
    """
    return [ipaddress.ip_network(each) for each in allowed]


def is_public(address: Address) -> bool:
    """Whether an address is of the public internet, also where an IPv6 address contains an IPv4 address."""
    if isinstance(address, ipaddress.IPv6Address):
        if any(address in each for each in _IPV4_INSIDE):
            return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if address.is_site_local or not all(map(is_public, _tunnelled(address))):
            return False
    is_special = address.is_multicast or address.is_reserved or any(address in each for each in _SPECIAL)
    return address.is_global and not is_special


def _tunnelled(address: ipaddress.IPv6Address) -> list[ipaddress.IPv4Address]:
    """The IPv4 addresses to which 6to4 and Teredo would send the packets."""
    return [each for each in (address.sixtofour, *(address.teredo or ())) if each is not None]


def check_address(text: str, allowed: Sequence[Network]) -> None:
    """Check an address in numbers.

    Raises:
        AddressRefused: it is not public, and in none of the allowed networks.
    """
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    if any(each in network for each in (address, mapped or address) for network in allowed):
        return
    if not is_public(address):
        raise AddressRefused(f"{address} is not a public address")


async def system_lookup(host: str, port: int) -> list[str]:
    """The addresses of a host by the resolver of the system."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class PinnedResolver(AbstractResolver):
    """Resolves each host once. If one of its addresses is refused, the host is refused."""

    def __init__(self, allowed: Sequence[Network], lookup: Lookup = system_lookup) -> None:
        self._allowed, self._lookup = allowed, lookup
        self._pinned: dict[str, list[str]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a host; see AbstractResolver."""
        if host not in self._pinned:
            found = list(await self._lookup(host, port))[:_MOST_ADDRESSES]
            for each in found:
                check_address(each, self._allowed)
            self._pinned[host] = found
        return [_result(host, each, port) for each in self._pinned[host] if family in (0, _family(each))]

    async def close(self) -> None:
        """Nothing to close."""


def connector(allowed: Sequence[Network], lookup: Lookup = system_lookup) -> aiohttp.TCPConnector:
    """A connector that reaches only public and allowed addresses. Must be called in the event loop.

    The check of each socket covers addresses in numbers, which aiohttp does not resolve.
    """

    def checked_socket(info: tuple[Any, Any, int, str, tuple[Any, ...]]) -> socket.socket:
        family, kind, protocol, _, address = info
        check_address(str(address[0]), allowed)
        return socket.socket(family, kind, protocol)

    return aiohttp.TCPConnector(
        resolver=PinnedResolver(allowed, lookup), use_dns_cache=False, socket_factory=checked_socket
    )


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _result(host: str, address: str, port: int) -> ResolveResult:
    return ResolveResult(
        hostname=host,
        host=address,
        port=port,
        family=_family(address),
        proto=0,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )
