"""HTTP servers that answer in JSON, as Prometheus and Alertmanager do: one request within a time and a size.

No redirect is followed and no proxy of the environment is used; what is compressed is not taken.
"""

import ssl
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec

ANSWER_BYTES_MAX: Final = 4 * 1024 * 1024
TIMEOUT_S: Final = 10.0
AGENT: Final = "neural-hive"
_TOLD_CHARS_MAX: Final = 300  # of what a server says


class ApiError(Exception):
    """A server was asked and gave nothing that can be used; the text says which, and why."""


class ApiAway(ApiError):
    """No answer to what was asked: nobody is there, it is busy, or it refuses who asks. Later it may answer."""


class ApiRefused(ApiError):
    """The server does not take what was asked: the same again is refused again."""


class Login(msgspec.Struct, frozen=True):
    """Who asks: nobody, somebody with a password, or whose token stands in a file."""

    username: str = ""
    password: str = ""
    token_file: Path | None = None  # read for each request: tokens are renewed


class Answer(msgspec.Struct, frozen=True):
    """What a server has said."""

    status: int
    body: bytes


NOBODY: Final = Login()


class JsonApi:
    """One server; many threads may ask at once, as many as there are connections."""

    def __init__(
        self,
        name: str,
        url: str,
        login: Login = NOBODY,
        *,
        timeout_s: float = TIMEOUT_S,
        bytes_max: int = ANSWER_BYTES_MAX,
        ca: Path | None = None,
        connections: int = 1,
    ) -> None:
        """`url`: where its API begins, with a path if a proxy has put it there. `timeout_s`: for a connection, for each
        piece of an answer, and for all of it. `ca`: who vouches for it beside the usual authorities.

        Raises ApiError: url or `ca` cannot be used.
        """
        self.name = f"{name} at {url}"
        self.timeout_s = timeout_s
        self._url, self._login, self._bytes_max = url.rstrip("/"), login, bytes_max
        try:
            tls = ssl.create_default_context()
            if ca is not None:
                tls.load_verify_locations(ca)
            limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
            self._client = httpx.Client(
                verify=tls, trust_env=False, follow_redirects=False, timeout=timeout_s, limits=limits
            )
            httpx.URL(self._url)
        except OSError as error:  # ssl.SSLError too
            raise ApiError(f"who vouches for {self.name} cannot be read from {ca}: {error}") from error
        except httpx.InvalidURL as error:
            raise ApiError(f"{name} cannot be asked at {url!r}: {error}") from error

    def ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        form: Mapping[str, str] | None = None,
        json: Any = None,
    ) -> Answer:
        """One request, and the answer whatever its status is. Raises ApiAway; ApiRefused: the answer is too large."""
        headers = {"accept": "application/json", "accept-encoding": "identity", "user-agent": AGENT}
        content = None
        if json is not None:
            content, headers["content-type"] = msgspec.json.encode(json), "application/json"
        auth = self._auth(headers)
        until = time.monotonic() + self.timeout_s
        try:
            with self._client.stream(
                method,
                f"{self._url}{path}",
                params=params,
                data=form,
                content=content,
                headers=headers,
                auth=auth,
            ) as response:
                return Answer(response.status_code, self._body(response, until))
        except httpx.TimeoutException as error:
            raise ApiAway(f"{self.name} has not answered within {self.timeout_s:g} s") from error
        except (httpx.HTTPError, OSError) as error:
            raise ApiAway(f"{self.name} does not answer: {error}") from error

    def close(self) -> None:
        """Ends its connections."""
        self._client.close()

    def _auth(self, headers: dict[str, str]) -> httpx.BasicAuth | None:
        login = self._login
        if login.token_file is not None:
            try:
                token = login.token_file.read_text().strip()
            except (OSError, UnicodeDecodeError) as error:
                raise ApiAway(f"the token for {self.name} cannot be read: {error}") from error
            if not token or not token.isascii() or not token.isprintable():
                raise ApiAway(f"{login.token_file} holds no token for {self.name}: one line of text")
            headers["authorization"] = f"Bearer {token}"
            return None
        return httpx.BasicAuth(login.username, login.password) if login.username else None

    def _body(self, response: httpx.Response, until: float) -> bytes:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise ApiRefused(f"{self.name} answers compressed, which it was not asked for")
        body = bytearray()
        for piece in response.iter_raw():
            body += piece
            if len(body) > self._bytes_max:
                raise ApiRefused(f"{self.name} answers with more than {self._bytes_max:,} bytes")
            if time.monotonic() > until:
                raise ApiAway(f"{self.name} has not answered within {self.timeout_s:g} s")
        return bytes(body)


def told(body: bytes) -> str:
    """What a server says, as a part of a sentence."""
    text = " ".join(body[: 4 * _TOLD_CHARS_MAX].decode(errors="replace").split())
    return "".join(c if c.isprintable() else "\ufffd" for c in text)[:_TOLD_CHARS_MAX]
