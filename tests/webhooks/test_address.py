"""Where webhooks may go: no private address gets through, in whatever clothes it comes."""

import asyncio
import socket
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neural_hive.connectors import webhook_address
from neural_hive.connectors.webhook_address import (
    BadRule,
    Endpoint,
    RefusedAddress,
    Resolver,
    Rules,
    endpoint_of,
    problem_of,
    rules_of,
)

RULES = rules_of((), ("443", "8000-9000"), False)
OPEN = rules_of(("10.1.0.0/16", "::1/128"), ("1-65535",), True)

REFUSED = [
    *("127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255"),
    *("192.168.1.1", "169.254.169.254", "169.254.0.1", "100.64.0.1", "100.100.100.200", "198.18.0.1"),
    *("192.0.0.1", "192.0.2.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1"),
    *("255.255.255.255", "192.88.99.1"),
    *("::", "::1", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "fec0::1", "2001:db8::1", "100::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "::7f00:1"),
    *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::7f00:1", "2002:7f00:1::", "2002:c0a8:101::1"),
    *("2001:0:7f00:1::", "2001::1"),
]
PUBLIC = ["1.1.1.1", "8.8.8.8", "93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]


@pytest.mark.parametrize("address", REFUSED)
def test_what_is_not_public_is_refused(address: str) -> None:
    assert "webhook_networks" in problem_of(ip_address(address), RULES)


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_public_may_be_called(address: str) -> None:
    assert problem_of(ip_address(address), RULES) == ""


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_what_it_is_in_every_ipv6_form(address: Any) -> None:
    plain, number = bool(problem_of(address, RULES)), int(address)
    for form in (0xFFFF << 32 | number, 0x64FF9B << 96 | number, 0x2002 << 112 | number << 80):
        assert bool(problem_of(ip_address(form.to_bytes(16, "big")), RULES)) == plain


def test_what_is_allowed_is_that_and_no_more() -> None:
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "::1"):
        assert problem_of(ip_address(address), OPEN) == ""
    for address in ("10.2.0.1", "127.0.0.1", "fe80::1"):
        assert problem_of(ip_address(address), OPEN)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://example.com/", "webhook_http"),
        ("https://example.com:22/", "port 22"),
        ("https://example.com:99999/", "out of range"),
        ("https://user@example.com/", "no URL"),
        ("https://example.com\\@10.0.0.1/", "no URL"),
        ("https://exa mple.com/", "no URL"),
        ("ftp://example.com/", "no URL"),
        ("file:///etc/passwd", "no URL"),
        ("", "no URL"),
    ],
)
def test_urls_that_are_not_called(url: str, reason: str) -> None:
    with pytest.raises(RefusedAddress, match=reason):
        endpoint_of(url, RULES)


def test_endpoints() -> None:
    assert endpoint_of("https://Example.com/x", RULES) == Endpoint("https", "example.com", 443)
    assert endpoint_of("https://[::1]:8443/x", RULES) == Endpoint("https", "::1", 8443)
    assert endpoint_of("http://h/", OPEN) == Endpoint("http", "h", 80)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "localhost", "::1", "0", "127.0.0.1."],
)
def test_every_way_to_write_this_machine_is_refused(host: str) -> None:
    with pytest.raises((RefusedAddress, OSError)):
        asyncio.run(_resolved(host, RULES))


async def _resolved(host: str, rules: Rules) -> list[str]:
    resolver = Resolver(rules, threads=1)
    try:
        return await resolver.addresses_of(Endpoint("https", host, 443))
    finally:
        resolver.close()


def test_one_private_address_among_public_ones_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    def answers(host: str, port: int, **_: Any) -> list[Any]:
        found = {
            "mixed": ("8.8.8.8", "10.0.0.1"),
            "good": ("8.8.8.8", "1.1.1.1"),
            "scoped": ("fe80::1%eth0",),
        }
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found[host]]

    monkeypatch.setattr(webhook_address.socket, "getaddrinfo", answers)
    assert asyncio.run(_resolved("good", RULES)) == ["8.8.8.8", "1.1.1.1"]
    for host in ("mixed", "scoped"):
        with pytest.raises(RefusedAddress, match="no public address"):
            asyncio.run(_resolved(host, RULES))


@pytest.mark.parametrize(
    ("networks", "ports", "reason"),
    [
        (("10.0.0.1/8",), (), "webhook_networks"),
        (("home",), (), "webhook_networks"),
        ((), ("https",), "webhook_ports"),
        ((), ("0",), "webhook_ports"),
        ((), ("9-1",), "webhook_ports"),
        ((), ("1-70000",), "webhook_ports"),
    ],
)
def test_rules_that_make_no_sense(networks: tuple[str, ...], ports: tuple[str, ...], reason: str) -> None:
    with pytest.raises(BadRule, match=reason):
        rules_of(networks, ports, False)
