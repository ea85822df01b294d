"""Free TCP ports of this machine."""

import contextlib
import random
import socket
import urllib.request
from typing import Final

import psutil

HOST: Final = "127.0.0.1"
# Below the ports that the kernel hands to outgoing connections: a port stays free while its server restarts.
_RANGE: Final = range(20_000, 32_000)


class NoFreePort(RuntimeError):
    """Every port that was tried is in use."""


def is_free(port: int) -> bool:
    """True if a server could listen on the port now."""
    with contextlib.closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def answers(port: int, timeout_s: float = 0.5) -> bool:
    """True if something accepts connections on the port."""
    try:
        socket.create_connection((HOST, port), timeout_s).close()
    except OSError:
        return False
    return True


def answers_ok(url: str, timeout_s: float = 2.0) -> bool:
    """True if a GET of the URL is answered with 200."""
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def listens(pid: int, port: int) -> bool:
    """True if this very process is the server on the port: another one may have taken it a moment before."""
    try:
        connections = psutil.Process(pid).net_connections("tcp")
    except psutil.Error:
        return False
    return any(found.status == psutil.CONN_LISTEN and found.laddr.port == port for found in connections)


def free_port(wanted: int | None = None, taken: frozenset[int] = frozenset()) -> int:
    """`wanted` if it is free and not in `taken`, else another that is.

    Raises NoFreePort when there is none.
    """
    if wanted is not None and wanted not in taken and is_free(wanted):
        return wanted
    for port in random.SystemRandom().sample(_RANGE, 200):
        if port not in taken and is_free(port):
            return port
    raise NoFreePort("found no free TCP port between 20000 and 32000: stop some servers and try again")


def free_ports(count: int) -> list[int]:
    """So many different free ports."""
    ports: list[int] = []
    while len(ports) < count:
        ports.append(free_port(taken=frozenset(ports)))
    return ports
