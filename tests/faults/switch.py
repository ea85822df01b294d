"""Hands the packets of tun devices to one another, as it is told on standard input. `python -m … DEVICE…`

Devices are descriptors; the n-th has the address 10.99.0.n. A line of input is a JSON list of (source, target, delay
in seconds, or null for what is lost), which takes the place of the one before; it is answered by "done". Ends with its
input.
"""

import heapq
import json
import os
import selectors
import socket
import sys
import time
from typing import Final

PACKET_BYTES_MAX: Final = 65_535
AT_ONCE: Final = 64  # packets of one device before others have their turn
_SOURCE, _TARGET = slice(12, 16), slice(16, 20)  # in an IPv4 header
Way = tuple[bytes, bytes]  # addresses


class Switch:
    """The devices, the rules, and what is on its way."""

    def __init__(self, devices: list[int]) -> None:
        self._devices = {socket.inet_aton(f"10.99.0.{n}"): device for n, device in enumerate(devices, 1)}
        self._rules: dict[Way, float | None] = {}
        self._late: list[tuple[float, int, bytes]] = []  # when it arrives, in which order, the packet
        self._count = 0

    def run(self) -> None:
        """Until the input ends."""
        with selectors.DefaultSelector() as selector:
            for device in (*self._devices.values(), sys.stdin.fileno()):
                selector.register(device, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select(self._wait_s()):
                    if key.fd == sys.stdin.fileno():
                        if not self._listen():
                            return
                    else:
                        self._read(key.fd)
                self._deliver_late()

    def _wait_s(self) -> float | None:
        return max(self._late[0][0] - time.monotonic(), 0) if self._late else None

    def _listen(self) -> bool:
        line = sys.stdin.buffer.readline()
        if not line:
            return False
        aton = socket.inet_aton
        self._rules = {(aton(source), aton(target)): delay_s for source, target, delay_s in json.loads(line)}
        print("done", flush=True)
        return True

    def _read(self, device: int) -> None:
        for _ in range(AT_ONCE):
            try:
                packet = os.read(device, PACKET_BYTES_MAX)
            except BlockingIOError:
                return
            if packet[0] >> 4 == 4:
                self._take(packet)

    def _take(self, packet: bytes) -> None:
        delay_s = self._rules.get((packet[_SOURCE], packet[_TARGET]), 0.0)
        if delay_s:
            self._count += 1
            heapq.heappush(self._late, (time.monotonic() + delay_s, self._count, packet))
        elif delay_s is not None:
            self._deliver(packet)

    def _deliver(self, packet: bytes) -> None:
        device = self._devices.get(packet[_TARGET])
        if device is not None:
            try:
                os.write(device, packet)
            except OSError:
                return  # its queue is full or it is gone: lost, as on any network

    def _deliver_late(self) -> None:
        while self._late and self._late[0][0] <= time.monotonic():
            self._deliver(heapq.heappop(self._late)[2])


if __name__ == "__main__":
    Switch([int(device) for device in sys.argv[1:]]).run()
