"""Where webhooks may go: every address of a host is looked at, and the connection is made to one that was.

Who registers an agent or subscribes names a URL. Without this, that would be a way to make the sender call what only it
can reach: its own machine, a neighbour, the cloud's metadata (server-side request forgery).
"""

import asyncio
import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

import msgspec

from neural_hive.aggregates.agent import webhook_problem

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
_PORTS: Final = {"http": 80, "https": 443}
_PORT_MAX: Final = 65_535
# Addresses that hold an IPv4 address, in their last 32 bits or behind their first 16: it is where they lead.
_NAT64: Final = IPv6Network("64:ff9b::/96")
_SIX_TO_FOUR: Final = IPv6Network("2002::/16")
_COMPATIBLE: Final = IPv6Network("::/96")
_SHADY: Final = (  # not private by name, and nobody's receiver is there
    IPv6Network("64:ff9b:1::/48"),  # local NAT64
    IPv6Network("2001::/32"),  # Teredo
    IPv6Network("fec0::/10"),  # site-local, of old
    IPv4Network("192.88.99.0/24"),  # relays of 6to4
)


class RefusedAddress(Exception):
    """A URL that may not be called; the text says why, and which setting allows it."""


class BadRule(ValueError):
    """A setting about where webhooks may go that makes no sense."""


class Rules(msgspec.Struct, frozen=True):
    """Where webhooks may go beside public addresses, on which ports, and whether without TLS."""

    networks: tuple[Network, ...] = ()
    ports: tuple[tuple[int, int], ...] = ((443, 443),)
    allows_http: bool = False


class Endpoint(msgspec.Struct, frozen=True):
    """Whom a URL asks: what goes wrong there is no fault of others."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"


def rules_of(networks: Iterable[str], ports: Iterable[str], allows_http: bool) -> Rules:
    """The rules that settings say: networks such as 10.0.0.0/8, ports such as 443 or 8000-9000. Raises BadRule."""
    try:
        allowed = tuple(ip_network(network) for network in networks)
    except ValueError as error:
        raise BadRule(f"webhook_networks: {error}; write it as 10.0.0.0/8 or ::1/128") from error
    return Rules(allowed, tuple(map(_span, ports)), allows_http)


def _span(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    if not (first.isdecimal() and (last or first).isdecimal()):
        raise BadRule(f"webhook_ports: {text!r} is no port and no range such as 8000-9000")
    low, high = int(first), int(last or first)
    if not 0 < low <= high <= _PORT_MAX:
        raise BadRule(f"webhook_ports: {text!r} must be within 1 to {_PORT_MAX}, the smaller one first")
    return low, high


def endpoint_of(url: str, rules: Rules) -> Endpoint:
    """Whom a URL asks. Raises RefusedAddress: by its form, scheme or port it may not be called."""
    if not url or webhook_problem(url):
        raise RefusedAddress(f"{url[:140]!r} is no URL of a webhook")
    parts = urlsplit(url)
    try:
        port = _PORTS[parts.scheme] if parts.port is None else parts.port
    except ValueError as error:
        raise RefusedAddress(f"{url[:140]!r}: {error}") from error
    if parts.scheme == "http" and not rules.allows_http:
        raise RefusedAddress("http:// is not called, for everybody on the way can read it: set webhook_http")
    if not any(low <= port <= high for low, high in rules.ports):
        raise RefusedAddress(f"port {port} is none of those in webhook_ports")
    return Endpoint(parts.scheme, (parts.hostname or "").lower(), port)


def problem_of(address: Address, rules: Rules) -> str:
    """Why an address may not be called; empty if it may."""
    meant = _meant(address)
    if any(meant.version == network.version and meant in network for network in rules.networks):
        return ""
    shady = any(meant.version == network.version and meant in network for network in _SHADY)
    if meant.is_global and not (shady or meant.is_multicast or meant.is_reserved or meant.is_unspecified):
        return ""
    return f"{address} is no public address: webhook_networks can allow it"


def _meant(address: Address) -> Address:
    """The address that is reached in the end."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    if address in _SIX_TO_FOUR:
        return IPv4Address(int(address) >> 80 & 0xFFFFFFFF)
    if address in _COMPATIBLE and int(address) > 1:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


class Resolver:
    """Looks hosts up, in threads of its own: one that is slow must not hold up others."""

    def __init__(self, rules: Rules, threads: int = 32) -> None:
        self._rules = rules
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="resolver")

    async def addresses_of(self, endpoint: Endpoint) -> list[str]:
        """The addresses of the endpoint's host; raises RefusedAddress if one of them may not be called.

        Connections must be made to them, not to the name: that may have others a moment later. Raises OSError: there is
        no such host.
        """
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._pool, _look_up, endpoint.host, endpoint.port)
        for address in found:
            if problem := problem_of(address, self._rules):
                raise RefusedAddress(f"{endpoint.host}: {problem}")
        return [str(address) for address in found]

    def close(self) -> None:
        """Waits for nobody."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str, port: int) -> list[Address]:
    """All addresses of a host, whatever form it has: 127.1 and 2130706433 are addresses too."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [ip_address(str(place[0]).partition("%")[0]) for *_, place in found]
    if not addresses:
        raise OSError(f"{host} has no address")
    return addresses
