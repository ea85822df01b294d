"""One request, against a real server that misbehaves: it ends in time, follows nobody, and says what happened."""

import asyncio
import http.server
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from neural_hive.connectors.webhook_address import RefusedAddress, rules_of
from neural_hive.connectors.webhook_post import Answer, Poster
from tests.webhooks import receiver as receivers
from tests.webhooks.receiver import Receiver, receiving, says

RULES = rules_of(("127.0.0.0/8", "::1/128"), ("1-65535",), True)
TIMEOUT_S = 1.5


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


def post(*urls: str, body: bytes = b"{}", **more: object) -> list[Answer]:
    async def go() -> list[Answer]:
        poster = Poster(more.get("rules", RULES), TIMEOUT_S, more.get("ca"))  # type: ignore[arg-type]
        try:
            return [
                await poster.post(url, {"content-type": "application/json", "x-a": "b"}, body) for url in urls
            ]
        finally:
            await poster.close()

    return asyncio.run(go())


def test_it_posts_and_keeps_the_connection(receiver: Receiver) -> None:
    answers = post(receiver.url + "?a=1", receiver.url, body=b'{"a":1}')
    assert [answer.status_code for answer in answers] == [204, 204] and answers[0].is_taken
    first, second = receiver.requests
    assert (first.path, first.body, first.headers["x-a"]) == ("/hook?a=1", b'{"a":1}', "b")
    assert first.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert first.connection == second.connection


def test_the_name_stays_in_the_request_though_an_address_is_called(receiver: Receiver) -> None:
    (answer,) = post(f"http://localhost:{receiver.port}/")
    assert answer.is_taken and receiver.requests[0].headers["host"] == f"localhost:{receiver.port}"


def test_redirects_are_not_followed(receiver: Receiver) -> None:
    with receiving() as other:
        receiver.answer = lambda request: says(307, f"location: {other.url}\r\n")
        (answer,) = post(receiver.url)
        assert (answer.status_code, answer.is_taken) == (307, False) and "redirect" in answer.reason
        assert other.requests == []


@pytest.mark.parametrize("how", ["hangs", "drips"])
def test_who_is_too_slow_is_left(receiver: Receiver, how: str) -> None:
    receiver.answer = lambda request: getattr(receivers, how)
    began = time.monotonic()
    (answer,) = post(receiver.url)
    assert time.monotonic() - began < 10 * TIMEOUT_S
    assert answer.status_code == 0 and "within 1.5 s" in answer.reason and answer.duration_ms >= 1_400


@pytest.mark.parametrize("how", ["resets", "talks_nonsense"])
def test_what_is_no_answer_is_none(receiver: Receiver, how: str) -> None:
    receiver.answer = lambda request: getattr(receivers, how)
    (answer,) = post(receiver.url)
    assert answer.status_code == 0 and answer.reason and not answer.is_taken


def test_a_huge_answer_is_not_read(receiver: Receiver) -> None:
    receiver.answer = lambda request: receivers.floods
    (answer,) = post(receiver.url)
    assert answer.is_taken and answer.duration_ms < TIMEOUT_S * 1_000
    receiver.answer = lambda request: says(200, body=b"x" * 10_000_000)
    first, second = post(receiver.url, receiver.url)
    assert first.is_taken and second.is_taken


def test_huge_headers_are_refused(receiver: Receiver) -> None:
    receiver.answer = lambda request: says(200, "x: " + "y" * 1_000_000 + "\r\n")
    (answer,) = post(receiver.url)
    assert answer.status_code == 0


def test_nobody_listens() -> None:
    (answer,) = post("http://127.0.0.1:9/")
    assert answer.status_code == 0 and "ConnectError" in answer.reason


@pytest.mark.parametrize(
    ("asked", "low_ms", "high_ms"),
    [("7", 7_000, 7_000), ("0", 0, 0), ("-5", 0, 0), ("soon", 0, 0), ("9" * 50, 10**9, 10**9), ("", 0, 0)],
)
def test_how_long_it_shall_wait(receiver: Receiver, asked: str, low_ms: int, high_ms: int) -> None:
    receiver.answer = lambda request: says(503, f"retry-after: {asked}\r\n")
    (answer,) = post(receiver.url)
    assert low_ms <= answer.retry_after_ms <= high_ms


def test_until_when_it_shall_wait(receiver: Receiver) -> None:
    receiver.answer = lambda request: says(
        429, f"retry-after: {formatdate(time.time() + 60, usegmt=True)}\r\n"
    )
    (answer,) = post(receiver.url)
    assert 50_000 < answer.retry_after_ms < 70_000


def test_proxies_of_the_environment_are_not_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert post(receiver.url)[0].is_taken


def test_a_private_address_is_not_called(receiver: Receiver) -> None:
    with pytest.raises(RefusedAddress, match="no public address"):
        post(f"http://localhost:{receiver.port}/", rules=rules_of((), ("1-65535",), True))
    assert receiver.requests == []


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A folder with a certificate of localhost that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]), datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now - timedelta(days=1)).add_extension(names, False)
    made = builder.not_valid_after(now + timedelta(days=1)).sign(key, hashes.SHA256())
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    (tmp_path / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))
    (tmp_path / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return tmp_path


def test_tls_is_checked_against_the_name_and_not_the_address(certificate: Path) -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        named, bare = (f"https://{host}:{server.server_port}/" for host in ("localhost", "127.0.0.1"))
        trusted = post(named, bare, ca=certificate / "cert.pem")
        assert trusted[0].status_code == 200
        assert trusted[1].status_code == 0 and "certificate" in trusted[1].reason
        (stranger,) = post(named)
        assert stranger.status_code == 0 and "certificate" in stranger.reason
    finally:
        server.shutdown()
        server.server_close()
