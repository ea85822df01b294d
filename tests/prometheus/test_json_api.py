"""Requests within a time and a size, whoever answers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from neural_hive.connectors.json_api import ApiAway, ApiError, ApiRefused, JsonApi, Login
from tests.webhooks.receiver import Receiver, drips, floods, hangs, receiving, resets, says, talks_nonsense


@pytest.fixture
def server() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def api(
    server: Receiver, login: Login | None = None, timeout_s: float = 1.0, bytes_max: int = 1_000
) -> JsonApi:
    return JsonApi("Prometheus", f"{server.url}/", login or Login(), timeout_s=timeout_s, bytes_max=bytes_max)


def test_a_path_before_the_api_is_kept(server: Receiver) -> None:
    server.answer = lambda request: says(200, body=b"{}")
    asked = api(server)
    answer = asked.ask("GET", "/api/v1/query", params={"filter": ["a", "b"]})
    asked.close()
    assert (answer.status, answer.body) == (200, b"{}")
    assert server.requests[0].path == "/hook/api/v1/query?filter=a&filter=b"


def test_who_asks(server: Receiver, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("one\n")
    asked = api(server, Login(token_file=token))
    asked.ask("GET", "/")
    token.write_text("two")
    asked.ask("GET", "/")
    asked.close()
    api(server, Login("shop", "pass:word")).ask("GET", "/")
    api(server).ask("GET", "/")
    given = [request.headers.get("authorization") for request in server.requests]
    assert given == ["Bearer one", "Bearer two", "Basic c2hvcDpwYXNzOndvcmQ=", None]


@pytest.mark.parametrize("text", ["", "a\nb", "ä"])
def test_a_bad_token_is_not_sent(server: Receiver, tmp_path: Path, text: str) -> None:
    token = tmp_path / "token"
    token.write_text(text)
    with pytest.raises(ApiAway, match="holds no token") as error:
        api(server, Login(token_file=token)).ask("GET", "/")
    assert not text or text not in str(error.value)
    with pytest.raises(ApiAway, match="cannot be read"):
        api(server, Login(token_file=tmp_path / "none")).ask("GET", "/")
    assert server.requests == []


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (hangs, "has not answered within"),
        (drips, "has not answered within"),
        (resets, "does not answer"),
        (talks_nonsense, "does not answer"),
    ],
)
def test_no_answer(server: Receiver, answer: object, why: str) -> None:
    server.answer = lambda request: answer  # type: ignore[assignment,return-value]
    with pytest.raises(ApiAway, match=why):
        api(server, bytes_max=1_000_000).ask("GET", "/")


def test_nobody_listens() -> None:
    with pytest.raises(ApiAway, match="does not answer"):
        JsonApi("Prometheus", "http://127.0.0.1:9").ask("GET", "/")


def test_too_much_is_not_read(server: Receiver) -> None:
    server.answer = lambda request: floods
    with pytest.raises(ApiRefused, match="more than 1,000 bytes"):
        api(server).ask("GET", "/")
    server.answer = lambda request: says(200, "content-encoding: gzip\r\n", b"x")
    with pytest.raises(ApiRefused, match="compressed"):
        api(server).ask("GET", "/")


def test_a_redirect_is_not_followed(server: Receiver) -> None:
    server.answer = lambda request: says(302, f"location: {server.url}/other\r\n")
    assert api(server).ask("GET", "/").status == 302
    assert len(server.requests) == 1


def test_what_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(ApiError, match="cannot be read"):
        JsonApi("Prometheus", "https://h", ca=tmp_path / "none")
    with pytest.raises(ApiError, match="cannot be asked"):
        JsonApi("Prometheus", "http://h:port")
