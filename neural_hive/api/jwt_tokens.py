"""Tokens of an identity provider: JWTs whose signature, issuer, audience and times are checked, with roles."""

import time
import warnings
from collections.abc import Callable, Collection
from typing import Any, Final

from joserfc import jwt
from joserfc.errors import JoseError, SecurityWarning

from neural_hive.api.auth import Identity, Unauthenticated
from neural_hive.api.jwks import JwksSource
from neural_hive.api.jwt_heads import head_of
from neural_hive.api.permissions import Role
from neural_hive.api.ticket_tokens import TYPE as TICKET_TYPE

NAME_CHARS_MAX: Final = 256
_PLAIN_TYPES: Final = ("", "jwt", "at+jwt", "application/at+jwt")


class JwtVerifier:
    """Knows the tokens of one issuer for one audience."""

    asks_elsewhere = True

    def __init__(
        self,
        source: JwksSource,
        issuer: str,
        audience: str,
        algorithms: Collection[str],
        roles_claim: str,
        clock_skew_s: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`roles_claim`: where the roles stand, dots for nesting; other words there are nothing to us."""
        self._source, self._issuer, self._audience = source, issuer, audience
        self._algorithms, self._roles_claim = list(algorithms), roles_claim
        self._clock_skew_s, self._clock = clock_skew_s, clock

    def knows(self, bearer: str) -> bool:
        head = head_of(bearer)
        return bearer.count(".") == 2 and bool(head) and head.get("typ") != TICKET_TYPE

    def identity(self, bearer: str) -> Identity:
        """Whose token it is. Raises Unauthenticated, Unverifiable."""
        head = head_of(bearer)
        if head.get("alg") not in self._algorithms:
            raise Unauthenticated(f"tokens must be signed by one of {', '.join(self._algorithms)}")
        if str(head.get("typ", "")).lower() not in _PLAIN_TYPES:
            raise Unauthenticated("this is a token of another type")
        claims = self._claims(bearer, self._source.keys(str(head.get("kid", ""))))
        subject = claims.get("sub")
        if not isinstance(subject, str) or not subject or len(subject) > NAME_CHARS_MAX:
            raise Unauthenticated("the token does not say whose it is (sub)")
        return Identity(subject, _roles(claims, self._roles_claim), f"jwt:{subject}")

    def _claims(self, bearer: str, keys: Any) -> dict[str, Any]:
        wanted: dict[str, Any] = {
            "iss": {"essential": True, "value": self._issuer},
            "aud": {"essential": True, "value": self._audience},
            "exp": {"essential": True},
        }
        registry = jwt.JWTClaimsRegistry(lambda: int(self._clock()), self._clock_skew_s, **wanted)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore", SecurityWarning
                )  # of the name EdDSA, which providers still use
                token = jwt.decode(bearer, keys, algorithms=self._algorithms)
            registry.validate(token.claims)
        except (JoseError, ValueError, TypeError) as error:
            why = str(getattr(error, "description", "") or error)[:200]
            raise Unauthenticated(f"this token is not good: {why}") from None
        return token.claims


def _roles(claims: dict[str, Any], path: str) -> frozenset[Role]:
    found: Any = claims
    for part in path.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    words = found.split() if isinstance(found, str) else found if isinstance(found, list) else ()
    return frozenset(Role(word) for word in words if word in list(Role))
