"""A network of this test alone: a namespace for each role, joined by a switch that loses and delays what it is told to.

Linux, root and /dev/net/tun are needed, and nothing else: no bridge, no netem, no packet filter. Each namespace has one
tun device; what is sent there is read by the switch (switch.py), which hands it to the device of the one it is for. A
loss has a direction, which is what makes partitions asymmetric. Nothing has a name in the machine's own network, and
all of it is gone with the processes that hold it, however they end.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
MTU_BYTES: Final = 32_000  # few packets: each one passes through Python
_TUN: Final = Path("/dev/net/tun")
_CLONE_NEWNET: Final = 0x40000000
_TUNSETIFF, _IFF_TUN_WITHOUT_HEADER = 0x400454CA, 0x1001
_SIOCSIFADDR, _SIOCSIFNETMASK, _SIOCSIFMTU, _SIOCSIFFLAGS = 0x8916, 0x891C, 0x8922, 0x8914
_UP_AND_RUNNING: Final = 0x41
_libc: Final = ctypes.CDLL(None, use_errno=True)


def why_not() -> str:
    """Why this machine can have no such network; empty if it can."""
    if sys.platform != "linux":
        return "network namespaces are Linux's"
    if os.geteuid() != 0:
        return "network namespaces need root"
    try:
        os.close(_new_namespace())
        os.close(os.open(_TUN, os.O_RDWR))
    except OSError as error:
        return f"no network of its own: {error}"
    return ""


class Network:
    """The namespaces of some roles; each has an address. Leave it with `close`."""

    def __init__(self, roles: Sequence[str]) -> None:
        self._addresses = {role: f"10.99.0.{number}" for number, role in enumerate(roles, 1)}
        self._rules: dict[tuple[str, str], float | None] = {}
        self._namespaces: dict[str, int] = {}
        self._home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        devices = []
        for role, address in self._addresses.items():
            self._namespaces[role] = _new_namespace()
            with self.inside(role):
                devices.append(_new_device(address))
        self._switch = _start_switch(devices)

    def address(self, role: str) -> str:
        """Of a role, as all others reach it."""
        return self._addresses[role]

    @contextlib.contextmanager
    def inside(self, role: str) -> Iterator[None]:
        """This thread, and all processes and threads that it starts meanwhile, are in a role's namespace."""
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        _enter(self._namespaces[role])
        try:
            yield
        finally:
            _enter(before)
            os.close(before)

    def command(self, role: str, command: Sequence[str]) -> list[str]:
        """A command that runs in a role's namespace, whoever starts it while this process lives."""
        return ["nsenter", f"--net=/proc/{os.getpid()}/fd/{self._namespaces[role]}", *command]

    def lose(self, sources: Iterable[str], targets: Iterable[str]) -> None:
        """Nothing arrives any more that one of `sources` sends to one of `targets`; the way back stays as it is."""
        self._rule(sources, targets, None)

    def cut(self, some: Iterable[str], others: Iterable[str]) -> None:
        """Nothing passes between them, in neither direction."""
        some, others = list(some), list(others)
        self.lose(some, others)
        self.lose(others, some)

    def delay(self, sources: Iterable[str], targets: Iterable[str], seconds: float) -> None:
        """What one of `sources` sends to one of `targets` arrives that much later."""
        self._rule(sources, targets, seconds)

    def heal(self) -> None:
        """Everything arrives again, and at once."""
        self._rules.clear()
        self._tell()

    def _rule(self, sources: Iterable[str], targets: Iterable[str], delay_s: float | None) -> None:
        targets = list(targets)
        self._rules |= {(source, target): delay_s for source in sources for target in targets}
        self._tell()

    def _tell(self) -> None:
        """Returns when the switch keeps to the rules."""
        address = self._addresses
        rules = [
            (address[source], address[target], delay_s) for (source, target), delay_s in self._rules.items()
        ]
        assert self._switch.stdin and self._switch.stdout
        self._switch.stdin.write(json.dumps(rules).encode() + b"\n")
        self._switch.stdin.flush()
        assert self._switch.stdout.readline() == b"done\n", "the switch has ended"

    def close(self) -> None:
        """Ends the switch; the namespaces end with the last process in them."""
        self._switch.kill()
        self._switch.communicate()
        for namespace in (*self._namespaces.values(), self._home):
            os.close(namespace)


def _new_namespace() -> int:
    """A descriptor that keeps a new network namespace alive. Raises OSError."""
    made: list[int | OSError] = []

    def make() -> None:  # in a thread, which is all that leaves this process's own namespace
        try:
            _check(_libc.unshare(_CLONE_NEWNET))
            made.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            made.append(error)

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    if isinstance(made[0], OSError):
        raise made[0]
    return made[0]


def _enter(namespace: int) -> None:
    _check(_libc.setns(namespace, _CLONE_NEWNET))


def _check(result: int) -> None:
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def _new_device(address: str) -> int:
    """A tun device in this thread's namespace, by which all of 10.99.0.0/24 is reached."""
    device = os.open(_TUN, os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", b"tun0", _IFF_TUN_WITHOUT_HEADER))
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as asking:
        for name, request, value in (
            (b"tun0", _SIOCSIFADDR, _inet(address)),
            (b"tun0", _SIOCSIFNETMASK, _inet("255.255.255.0")),
            (b"tun0", _SIOCSIFMTU, struct.pack("i", MTU_BYTES)),
            (b"tun0", _SIOCSIFFLAGS, struct.pack("h", _UP_AND_RUNNING)),
            (b"lo", _SIOCSIFFLAGS, struct.pack("h", _UP_AND_RUNNING)),
        ):
            fcntl.ioctl(asking, request, struct.pack("16s24s", name, value))
    return device


def _inet(address: str) -> bytes:
    return struct.pack("=HH4s", socket.AF_INET, 0, socket.inet_aton(address))


def _start_switch(devices: list[int]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.faults.switch", *map(str, devices)]
    switch = subprocess.Popen(
        command, cwd=ROOT, pass_fds=devices, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    for device in devices:
        os.close(device)
    return switch
