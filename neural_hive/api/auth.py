"""Who asks: by an API key, by a token of an identity provider, or by the token of one ticket."""

from typing import Final, Protocol

import msgspec

from neural_hive.api.api_keys import PREFIX, KeyRing, KeysRefused
from neural_hive.api.lanes import Lane
from neural_hive.api.permissions import Permission, Role
from neural_hive.api.private_files import PrivateFileRefused

BEARER_CHARS_MAX: Final = 8_192
ASKING_MAX: Final = 8  # threads that may wait for an identity provider


class Unauthenticated(Exception):
    """Nobody that is known; the text says why, and is fit for the caller."""


class Unverifiable(Exception):
    """It cannot be told now who asks: what it is looked up in is away or broken. Nobody is let in."""


class Grant(msgspec.Struct, frozen=True):
    """What the token of a ticket allows."""

    ticket_id: str
    workflow_id: str
    attempt: int
    agent_id: str
    actions: frozenset[str]


class Identity(msgspec.Struct, frozen=True):
    """Who asks, and what they may do. `key` tells identities of one name apart, for rate limits."""

    name: str
    roles: frozenset[Role] = frozenset()
    key: str = ""
    grant: Grant | None = None

    def may(self, permission: Permission, ticket_id: str = "") -> bool:
        """Whether a permission lets them in; `ticket_id`: the ticket that is asked about."""
        if permission.is_open:
            return True
        if self.grant is None:
            return bool(self.roles & permission.roles)
        action = permission.ticket_action
        return bool(action) and action in self.grant.actions and self.grant.ticket_id == ticket_id


class Verifier(Protocol):
    """Knows one kind of token."""

    asks_elsewhere: bool  # it may wait for another server's answer

    def knows(self, bearer: str) -> bool:
        """Whether a text looks like one of its tokens; nothing of it is believed yet."""
        ...

    def identity(self, bearer: str) -> Identity:
        """Whose token it is. Raises Unauthenticated, Unverifiable."""
        ...


class KeyVerifier:
    """API keys."""

    asks_elsewhere = False

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys

    def knows(self, bearer: str) -> bool:
        return bearer.startswith(PREFIX)

    def identity(self, bearer: str) -> Identity:
        try:
            found = self._keys.find(bearer)
        except (KeysRefused, PrivateFileRefused) as error:
            raise Unverifiable("the API's keys cannot be read: its log says why") from error
        if found is None:
            raise Unauthenticated("this API key is not known, or was removed")
        return Identity(found.name, frozenset(found.roles), f"key:{found.key_id}")


class Authenticator:
    """Asks the verifiers in turn; who is known to none of them is nobody."""

    def __init__(self, *verifiers: Verifier) -> None:
        self._verifiers = verifiers
        self._lane = Lane(ASKING_MAX)

    async def identity(self, authorization: str) -> Identity:
        """Who an Authorization header speaks for. Raises Unauthenticated, Unverifiable."""
        scheme, _, bearer = authorization.strip().partition(" ")
        if not authorization:
            raise Unauthenticated("who are you? Send `Authorization: Bearer` with an API key or a token")
        if scheme.lower() != "bearer":
            raise Unauthenticated("only `Authorization: Bearer` is understood")
        return await self.bearer(bearer.strip())

    async def bearer(self, bearer: str) -> Identity:
        """Who a key or token speaks for. Raises Unauthenticated, Unverifiable."""
        if not bearer or len(bearer) > BEARER_CHARS_MAX or not bearer.isascii():
            raise Unauthenticated("this is no key, and no token")
        for verifier in self._verifiers:
            if verifier.knows(bearer):
                if verifier.asks_elsewhere:
                    return await self._lane.run(verifier.identity, bearer)
                return verifier.identity(bearer)
        raise Unauthenticated("this is no key of this system, and tokens of its kind are not taken here")
