"""The network that other tests break does what it is told."""

import socket
import time
from collections.abc import Iterator

import pytest

from tests.faults.network import Network, why_not

WAIT_S = 20.0  # a lost packet is sent again after a second or two


@pytest.fixture
def network() -> Iterator[Network]:
    if reason := why_not():
        pytest.skip(reason)
    network = Network(("one", "other"))
    yield network
    network.close()


@pytest.fixture
def ends(network: Network) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A connection between the two."""
    with network.inside("other"):
        server = socket.create_server((network.address("other"), 0))
    with network.inside("one"):
        client = socket.create_connection(server.getsockname(), WAIT_S)
    accepted, _ = server.accept()
    accepted.settimeout(WAIT_S)
    with server, client, accepted:
        yield client, accepted


def test_a_loss_has_a_direction(network: Network, ends: tuple[socket.socket, socket.socket]) -> None:
    one, other = ends
    network.lose(["other"], ["one"])
    one.sendall(b"there")
    assert other.recv(100) == b"there"
    other.sendall(b"back")
    one.settimeout(1.0)
    with pytest.raises(TimeoutError):
        one.recv(100)
    network.heal()
    one.settimeout(WAIT_S)
    assert one.recv(100) == b"back"


def test_a_delay_delays(network: Network, ends: tuple[socket.socket, socket.socket]) -> None:
    one, other = ends
    network.delay(["one"], ["other"], 0.5)
    began = time.monotonic()
    one.sendall(b"there")
    assert other.recv(100) == b"there"
    assert time.monotonic() - began >= 0.5


def test_nobody_else_is_reached(network: Network) -> None:
    with network.inside("one"), pytest.raises(OSError, match="unreachable"):
        socket.create_connection(("192.0.2.1", 9), 1.0)
