"""One request of a webhook: to an address that was looked at, within a time and a size, and never further.

No redirect is followed, no proxy of the environment is used, and of the answer hardly more than the status is read.
"""

import asyncio
import contextlib
import ssl
import time
from datetime import UTC
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

import httpx
import msgspec

from neural_hive.connectors.webhook_address import Endpoint, RefusedAddress, Resolver, Rules, endpoint_of

ANSWER_BYTES_MAX: Final = 16_384  # more of an answer is not read, and its connection not used again
TRANSPORTS_MAX: Final = 256
ADDRESSES_MAX: Final = 4  # of a host that are tried
KEEP_ALIVE_S: Final = 15.0
AGENT: Final = "neural-hive-webhooks"
_SUCCESS: Final = range(200, 300)
_REDIRECTS: Final = range(300, 400)


class Answer(msgspec.Struct, frozen=True):
    """What a receiver said; status 0: nothing, and the reason says why."""

    status_code: int
    reason: str
    duration_ms: int
    retry_after_ms: int = 0

    @property
    def is_taken(self) -> bool:
        """Whether the receiver has it."""
        return self.status_code in _SUCCESS


class _Lane(msgspec.Struct):
    transport: httpx.AsyncHTTPTransport
    users: int = 0


class Poster:
    """Posts webhooks; for one event loop."""

    def __init__(self, rules: Rules, timeout_s: float, ca: Path | None = None) -> None:
        """`timeout_s`: for all of a request. Raises OSError, ssl.SSLError: `ca` cannot be used."""
        self._rules, self._timeout_s = rules, timeout_s
        self._resolver = Resolver(rules)
        self._tls = ssl.create_default_context()
        if ca is not None:
            self._tls.load_verify_locations(ca)
        self._lanes: dict[Endpoint, _Lane] = {}

    async def post(self, url: str, headers: dict[str, str], body: bytes) -> Answer:
        """Posts once, and never raises for what the receiver does. Raises RefusedAddress: it may not be called."""
        endpoint, began = endpoint_of(url, self._rules), time.monotonic()
        try:
            async with asyncio.timeout(self._timeout_s):
                addresses = await self._resolver.addresses_of(endpoint)
                status_code, retry_after = await self._ask_one(endpoint, addresses, url, headers, body)
        except TimeoutError:
            return Answer(0, f"no answer within {self._timeout_s:g} s", _ms_since(began))
        except RefusedAddress:
            raise
        except (OSError, httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as error:
            return Answer(0, f"{type(error).__name__}: {error}"[:500], _ms_since(began))
        reason = f"HTTP {status_code}"
        if status_code in _REDIRECTS:
            reason += ": redirects are not followed"
        return Answer(status_code, reason, _ms_since(began), _wait_ms(retry_after))

    async def close(self) -> None:
        """Ends all connections."""
        for lane in self._lanes.values():
            await lane.transport.aclose()
        self._lanes.clear()
        self._resolver.close()

    async def _ask_one(
        self, endpoint: Endpoint, addresses: list[str], url: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, str]:
        """Asks at the first address that lets itself be connected to."""
        *others, last = addresses[:ADDRESSES_MAX]
        for address in others:
            with contextlib.suppress(httpx.ConnectError):
                return await self._ask(endpoint, address, url, headers, body)
        return await self._ask(endpoint, last, url, headers, body)

    async def _ask(
        self, endpoint: Endpoint, address: str, url: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, str]:
        request = httpx.Request(
            "POST",
            url,
            headers={**headers, "user-agent": AGENT, "accept-encoding": "identity"},
            content=body,
            extensions={"timeout": dict.fromkeys(("connect", "read", "write", "pool"), self._timeout_s)},
        )
        # The name stays in the Host header and for TLS; the connection goes to the address.
        request.url = request.url.copy_with(host=address)
        request.extensions["sni_hostname"] = endpoint.host
        lane = await self._lane(endpoint)
        lane.users += 1
        try:
            response = await lane.transport.handle_async_request(request)
            try:
                await _read_some(response)
            finally:
                await response.aclose()
        finally:
            lane.users -= 1
        return response.status_code, response.headers.get("retry-after", "")

    async def _lane(self, endpoint: Endpoint) -> _Lane:
        """Connections for one endpoint alone: one that was made for a host must not serve another at its address."""
        lane = self._lanes.pop(endpoint, None) or _Lane(self._transport())
        self._lanes[endpoint] = lane  # the one that was used last
        if len(self._lanes) > TRANSPORTS_MAX:
            idle = next(
                (e for e, other in self._lanes.items() if not other.users and other is not lane), None
            )
            if idle is not None:
                await self._lanes.pop(idle).transport.aclose()
        return lane

    def _transport(self) -> httpx.AsyncHTTPTransport:
        limits = httpx.Limits(
            max_connections=None, max_keepalive_connections=4, keepalive_expiry=KEEP_ALIVE_S
        )
        return httpx.AsyncHTTPTransport(verify=self._tls, trust_env=False, limits=limits)


async def _read_some(response: httpx.Response) -> None:
    """Reads an answer to its end, if that is near: then its connection can be used again."""
    assert isinstance(response.stream, httpx.AsyncByteStream)
    left = ANSWER_BYTES_MAX
    async for chunk in response.stream:
        left -= len(chunk)
        if left < 0:
            return


def _ms_since(began: float) -> int:
    return round((time.monotonic() - began) * 1_000)


def _wait_ms(retry_after: str) -> int:
    """What a Retry-After header asks for: seconds, or a date; 0: nothing that can be understood."""
    text = retry_after.strip()
    if text.isascii() and text.isdecimal():
        return min(int(text[:9]), 10**6) * 1_000
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return 0
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(round((at.timestamp() - time.time()) * 1_000), 0)
