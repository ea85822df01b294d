"""A receiver of webhooks on this machine, which can misbehave in every way that a test asks for."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from socketserver import BaseRequestHandler, TCPServer, ThreadingMixIn
from typing import Any

import msgspec

Answer = Callable[[socket.socket], None]


class Request(msgspec.Struct, frozen=True):
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes
    connection: int  # the sender's port


def says(status: int, headers: str = "", body: bytes = b"") -> Answer:
    """An answer as it should be."""
    text = f"HTTP/1.1 {status} x\r\n{headers}content-length: {len(body)}\r\n\r\n"
    return lambda connection: connection.sendall(text.encode() + body)


def resets(connection: socket.socket) -> None:
    """Ends the connection with an RST instead of an answer."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise ConnectionAbortedError


def hangs(connection: socket.socket) -> None:
    """Never answers."""
    with contextlib.suppress(OSError):
        connection.settimeout(30)
        connection.recv(1)
    raise ConnectionAbortedError


def drips(connection: socket.socket) -> None:
    """Answers one byte at a time: each comes before a read would time out, and all of them never do."""
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
    for _ in range(600):
        connection.sendall(b".")
        time.sleep(0.05)


def floods(connection: socket.socket) -> None:
    """Answers without an end."""
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b"x" * 65_536)


def talks_nonsense(connection: socket.socket) -> None:
    """Is no HTTP server."""
    connection.sendall(b"220 mail.example ESMTP\r\n")
    raise ConnectionAbortedError


class _Server(ThreadingMixIn, TCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: Any) -> None:
        """Senders that go away are no news."""


class Receiver:
    """Takes requests, keeps them, and answers as `answer` says; it may be changed at any time."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.answer: Callable[[Request], Answer] = lambda request: says(204)
        receiver = self

        class Handler(BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    while request := _read(self.request, self.client_address[1]):
                        receiver.requests.append(request)
                        receiver.answer(request)(self.request)

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _read(connection: socket.socket, port: int) -> Request | None:
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = connection.recv(65_536)
        if not chunk:
            return None
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", 0)):
        body += connection.recv(65_536)
    return Request(first.split()[1], headers, body, port)


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver for as long as this lasts."""
    receiver = Receiver()
    try:
        yield receiver
    finally:
        receiver.close()
