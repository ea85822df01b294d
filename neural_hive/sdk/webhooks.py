"""For who is told by webhook: checks that a request comes from the hive, is fresh, and was not seen before.

verifier = Verifier(["whsec_…"])
event = verifier.verify(body, request.headers)      # raises NotVerified
if not verifier.is_repeat(event.id):
    handle(event)

`body` must be the bytes as they came: parsed and written again they may differ.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import Any, Final

import msgspec

from neural_hive.connectors.webhook_signing import (
    ID,
    PLAIN_SIGNATURE,
    SIGNATURE,
    TIMESTAMP,
    VERSION,
    BadSecret,
    is_any,
    key_of,
    new_secret,
    plain_signature,
    signature,
)

TOLERANCE_S: Final = 300  # how old a request may be, and how far ahead its clock
SEEN_MAX: Final = 100_000  # ids that are remembered
SIGNATURES_MAX: Final = 16  # of one request that are looked at
_ID_CHARS_MAX: Final = 256
_TIMESTAMP_CHARS_MAX: Final = 16


class NotVerified(Exception):
    """A request that must not be believed; the text says why, for a log: answer 401, and not the reason."""


class Webhook(msgspec.Struct, frozen=True):
    """What a request says, once it is verified."""

    id: str  # the same for every attempt; empty if only the plain signature was there
    type: str
    timestamp: str  # when it happened, ISO 8601
    data: dict[str, Any]  # the event's content
    whole: dict[str, Any]  # all of the body


def verify(
    body: bytes,
    headers: Mapping[str, str],
    secrets: Sequence[str],
    tolerance_s: int = TOLERANCE_S,
    now: float | None = None,
) -> None:
    """Checks the signature and the time of a request. Raises NotVerified; BadSecret: a secret is none.

    `secrets`: one, or both while they change. Without `webhook-signature` the plain signature alone is not enough:
    it proves no time, so who takes it must say so (`verify_plain`).
    """
    given = {name.lower(): value for name, value in headers.items()}
    message_id, timestamp = _header(given, ID, _ID_CHARS_MAX), _header(given, TIMESTAMP, _TIMESTAMP_CHARS_MAX)
    signatures = _header(given, SIGNATURE, 4_096).split()[:SIGNATURES_MAX]
    keys = _keys(secrets)
    expected = [f"{VERSION},{signature(key, message_id, timestamp, body)}" for key in keys]
    # Before the time is looked at: nobody learns anything of a request that is not ours.
    if not any(is_any(one, expected) for one in signatures):
        raise NotVerified(f"no signature in {SIGNATURE} fits: another secret, or a body that was changed")
    _check_time(timestamp, tolerance_s, time.time() if now is None else now)


def verify_plain(body: bytes, headers: Mapping[str, str], secrets: Sequence[str]) -> None:
    """Checks `X-Webhook-Signature` alone. It proves the body, and not that the request is new: whoever has one can
    send it again. Raises NotVerified; BadSecret.
    """
    given = {name.lower(): value for name, value in headers.items()}
    told = _header(given, PLAIN_SIGNATURE.lower(), 128)
    expected = [f"sha256={plain_signature(key, body)}" for key in _keys(secrets)]
    if not is_any(told, expected):
        raise NotVerified(f"{PLAIN_SIGNATURE} does not fit: another secret, or a body that was changed")


def _keys(secrets: Sequence[str]) -> list[bytes]:
    if isinstance(secrets, str):
        raise BadSecret("secrets must be a list of texts")
    if not secrets:
        raise BadSecret("there is no secret to verify with")
    return [key_of(secret) for secret in secrets]


def _header(headers: Mapping[str, str], name: str, chars_max: int) -> str:
    value = headers.get(name, "")
    if not value:
        raise NotVerified(f"the request has no {name}")
    if len(value) > chars_max:
        raise NotVerified(f"{name} has {len(value):,} characters, more than {chars_max:,}")
    return value


def _check_time(timestamp: str, tolerance_s: int, now: float) -> None:
    if not (timestamp.isascii() and timestamp.isdecimal()):
        raise NotVerified(f"{TIMESTAMP} must be seconds since 1970")
    age_s = now - int(timestamp)
    if abs(age_s) > tolerance_s:
        when = "old" if age_s > 0 else "ahead of this clock"
        raise NotVerified(f"the request is {abs(age_s):.0f} s {when}, more than {tolerance_s} s: a replay?")


class Seen:
    """The ids that were seen lately; may be used from many threads."""

    def __init__(self, ids_max: int = SEEN_MAX) -> None:
        self._ids: OrderedDict[str, None] = OrderedDict()
        self._ids_max, self._lock = ids_max, Lock()

    def add(self, message_id: str) -> bool:
        """Notes an id; False if it was noted before."""
        with self._lock:
            if message_id in self._ids:
                return False
            self._ids[message_id] = None
            if len(self._ids) > self._ids_max:
                self._ids.popitem(last=False)
            return True


class Verifier:
    """Verifies the requests of one receiver, and remembers which it has had; may be used from many threads."""

    def __init__(
        self,
        secrets: Sequence[str],
        tolerance_s: int = TOLERANCE_S,
        ids_max: int = SEEN_MAX,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Raises BadSecret."""
        _keys(secrets)
        self._secrets, self._tolerance_s, self._clock = list(secrets), tolerance_s, clock
        self._seen = Seen(ids_max)

    def verify(self, body: bytes, headers: Mapping[str, str]) -> Webhook:
        """What a request says. Raises NotVerified: answer 401."""
        verify(body, headers, self._secrets, self._tolerance_s, self._clock())
        return parse(body, {name.lower(): value for name, value in headers.items()}[ID])

    def is_repeat(self, message_id: str) -> bool:
        """Whether a webhook was had before; notes it. The hive tells each at least once: answer a repeat with 200 too.

        It remembers the last ones only, and nothing over a restart: what must not be done twice should be keyed by
        the id where it is done.
        """
        return not self._seen.add(message_id)


def parse(body: bytes, message_id: str = "") -> Webhook:
    """What a verified body says. Raises NotVerified: it is no webhook's."""
    try:
        whole = msgspec.json.decode(body, type=dict[str, Any])
        return Webhook(message_id, str(whole["type"]), str(whole["timestamp"]), dict(whole["data"]), whole)
    except (msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
        raise NotVerified(f"the body is no webhook's: {error}") from error


__all__ = [
    "BadSecret",
    "NotVerified",
    "Seen",
    "Verifier",
    "Webhook",
    "new_secret",
    "parse",
    "verify",
    "verify_plain",
]
