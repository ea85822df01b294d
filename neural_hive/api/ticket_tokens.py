"""Tokens of tickets: JWTs that open one ticket for a short time, to do what they name, and nothing else.

They are signed with a key of this installation (Ed25519); workers check them with the public one.
"""

import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OKPKey

from neural_hive.api.auth import Grant, Identity, Unauthenticated
from neural_hive.api.jwt_heads import head_of
from neural_hive.api.private_files import PrivateFileRefused, read_private, write_private

ACTIONS: Final = ("read", "status")
TYPE: Final = "ticket+jwt"
_ISSUER: Final = "neural-hive"
_AUDIENCE: Final = "neural-hive.tickets"
_ALGORITHM: Final = "Ed25519"
_ESSENTIAL: Final = ("sub", "workflow_id", "attempt", "agent_id", "actions", "exp", "iat", "jti")


class _Claims(msgspec.Struct, frozen=True):
    sub: str
    workflow_id: str
    attempt: int
    agent_id: str
    actions: tuple[str, ...]


class TicketTokens:
    """Makes and checks tokens of tickets."""

    asks_elsewhere = False

    def __init__(self, key: OKPKey, clock: Callable[[], float] = time.time) -> None:
        self._key, self._clock = key, clock

    def make(self, grant: Grant, ttl_s: int, made_for: str) -> str:
        """A token that allows what the grant says, for so many seconds. `made_for`: who asked for it."""
        now = int(self._clock())
        claims = {
            "iss": _ISSUER,
            "aud": _AUDIENCE,
            "sub": grant.ticket_id,
            "workflow_id": grant.workflow_id,
            "attempt": grant.attempt,
            "agent_id": grant.agent_id,
            "actions": sorted(grant.actions),
            "made_for": made_for,
            "iat": now,
            "exp": now + ttl_s,
            "jti": secrets.token_hex(8),
        }
        header = {"alg": _ALGORITHM, "typ": TYPE, "kid": self._key.kid}
        return jwt.encode(header, claims, self._key, algorithms=[_ALGORITHM])

    def public(self) -> dict[str, Any]:
        """The public key, as a JWK set."""
        return dict(KeySet([self._key]).as_dict(private=False))

    def knows(self, bearer: str) -> bool:
        """Whether a text says that it is such a token."""
        return head_of(bearer).get("typ") == TYPE

    def identity(self, bearer: str) -> Identity:
        """Who holds the token. Raises Unauthenticated."""
        wanted: dict[str, Any] = {name: {"essential": True} for name in _ESSENTIAL}
        wanted |= {
            "iss": {"essential": True, "value": _ISSUER},
            "aud": {"essential": True, "value": _AUDIENCE},
        }
        try:
            token = jwt.decode(bearer, self._key, algorithms=[_ALGORITHM])
            jwt.JWTClaimsRegistry(lambda: int(self._clock()), 0, **wanted).validate(token.claims)
            claims = msgspec.convert(token.claims, _Claims)
        except (JoseError, ValueError, msgspec.ValidationError) as error:
            raise Unauthenticated(f"this token of a ticket is not good: {_why(error)}") from None
        grant = Grant(
            claims.sub, claims.workflow_id, claims.attempt, claims.agent_id, frozenset(claims.actions)
        )
        return Identity(f"agent {claims.agent_id}", key=f"ticket:{claims.sub}", grant=grant)


def held_tokens(folder: Path) -> TicketTokens:
    """Those of the key of a folder; a new one, if there is none. Raises PrivateFileRefused."""
    file = folder / "ticket.key"
    content = read_private(file)
    if content is None:
        made = OKPKey.generate_key("Ed25519", {"use": "sig"}, private=True, auto_kid=True)
        content = msgspec.json.encode(made.as_dict(private=True))
        write_private(file, content)
    try:
        key = OKPKey.import_key(msgspec.json.decode(content))
    except (JoseError, ValueError, TypeError, KeyError, msgspec.MsgspecError) as error:
        raise PrivateFileRefused(
            f"the key {file} cannot be understood: {_why(error)}. Restore it, or remove it to have a new one"
        ) from error
    if not key.is_private:
        raise PrivateFileRefused(f"the key {file} is no private one: remove it to have a new one")
    return TicketTokens(key)


def _why(error: Exception) -> str:
    return str(getattr(error, "description", "") or error)[:200]
