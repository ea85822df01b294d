"""Public keys of an identity provider: from a file, from a URL, or where its OpenID configuration says."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import msgspec
import structlog
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from neural_hive.api.auth import Unverifiable

FRESH_S: Final = 300.0  # so long keys are taken as they are
KEPT_S: Final = 3_600.0  # so long they are used while the provider does not answer
AGAIN_S: Final = 10.0  # an unknown key's id makes us ask again, and not more often than this
KEYS_MAX: Final = 100
_BYTES_MAX: Final = 1 << 20
_TIMEOUT_S: Final = 5.0
_CONFIGURATION: Final = "/.well-known/openid-configuration"
_LOCAL: Final = ("127.0.0.1", "localhost", "::1")
log = structlog.get_logger()


class _Unread(Exception):
    """The keys could not be read now."""


class JwksSource:
    """The keys, asked for anew from time to time. May be used from many threads."""

    def __init__(
        self,
        where: str,
        issuer: str,
        clock: Callable[[], float] = time.monotonic,
        client: httpx.Client | None = None,
    ) -> None:
        """`where`: a file or a URL; "": the issuer's OpenID configuration tells it."""
        self._where, self._issuer, self._clock = where, issuer, clock
        self._client = client or httpx.Client(timeout=_TIMEOUT_S, follow_redirects=False)
        self._lock = threading.Lock()
        self._keys: KeySet | None = None
        self._read_at = self._tried_at = float("-inf")

    def keys(self, kid: str) -> KeySet:
        """The keys, one with this id among them if there is one now. Raises Unverifiable: nobody tells them."""
        with self._lock:
            now = self._clock()
            if self._is_due(now, kid):
                self._tried_at = now
                self._refresh(now)
            if self._keys is None or now - self._read_at > KEPT_S:
                raise Unverifiable("the identity provider's keys cannot be read now")
            return self._keys

    def _is_due(self, now: float, kid: str) -> bool:
        if now - self._tried_at < AGAIN_S:
            return False
        if self._keys is None or now - self._read_at > FRESH_S:
            return True
        return bool(kid) and all(key.kid != kid for key in self._keys.keys)

    def _refresh(self, now: float) -> None:
        try:
            self._keys, self._read_at = _public(self._read()), now
        except _Unread as error:
            log.warning("identity_keys_unread", why=str(error))

    def _read(self) -> bytes:
        where = self._where or self._told()
        if where.startswith(("http://", "https://")):
            return self._get(where)
        try:
            content = Path(where).read_bytes()
        except OSError as error:
            raise _Unread(f"{where} cannot be read: {error.strerror}") from error
        return content

    def _told(self) -> str:
        found = _json(self._get(self._issuer.rstrip("/") + _CONFIGURATION))
        if found.get("issuer") != self._issuer or not isinstance(found.get("jwks_uri"), str):
            raise _Unread(f"the OpenID configuration of {self._issuer} names another issuer, or no jwks_uri")
        return str(found["jwks_uri"])

    def _get(self, url: str) -> bytes:
        if not is_safe(url):
            raise _Unread(f"{url} is not asked: keys must come by https, or from this machine")
        try:
            with self._client.stream("GET", url) as answer:
                if answer.status_code != 200:
                    raise _Unread(f"{url} answered {answer.status_code}")
                content = b""
                for piece in answer.iter_bytes():
                    content += piece
                    if len(content) > _BYTES_MAX:
                        raise _Unread(f"{url} gives more than {_BYTES_MAX:,} bytes")
                return content
        except httpx.HTTPError as error:
            raise _Unread(f"{url} does not answer: {error}") from error


def is_safe(url: str) -> bool:
    """Whether nobody on the way can change what a URL gives."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOCAL)


def _public(content: bytes) -> KeySet:
    """The keys that sign; a symmetric one could be anybody's, and is left out."""
    found = _json(content).get("keys")
    if not isinstance(found, list) or len(found) > KEYS_MAX:
        raise _Unread(f"there is no list of at most {KEYS_MAX} keys")
    wanted = [
        key
        for key in found
        if isinstance(key, dict) and key.get("kty") in ("RSA", "EC", "OKP") and key.get("use", "sig") == "sig"
    ]
    try:
        return KeySet.import_key_set({"keys": wanted})
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise _Unread(f"a key cannot be understood: {error}") from error


def _json(content: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _Unread(f"what was read is no JSON: {error}") from error
    return found if isinstance(found, dict) else {}
