"""The id of the message that a request makes: of its Idempotency-Key, or a new one."""

import uuid
from typing import Annotated, Final

import msgspec
from fastapi import Depends, Header, Request

from neural_hive.aggregates.identity import derived_id
from neural_hive.api.repeats import KEPT_HOURS
from neural_hive.api.services import IdentityOf

KEY_CHARS_MAX: Final = 255


class MessageKey(msgspec.Struct, frozen=True):
    """The id of the message that a request makes."""

    message_id: str
    is_keyed: bool  # the caller has named it, and may ask again

    def derived(self, what: str) -> str:
        """An id that belongs to the message, the same in a repeat."""
        return derived_id(self.message_id, what)


def _message_key(
    request: Request,
    identity: IdentityOf,
    key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            min_length=1,
            max_length=KEY_CHARS_MAX,
            description=f"Any text: within {KEPT_HOURS} hours the same request with the same key is done once",
        ),
    ] = None,
) -> MessageKey:
    if key is None:
        return MessageKey(str(uuid.uuid4()), False)
    return MessageKey(derived_id("api", identity.key, request.method, request.url.path, key), True)


MessageKeyOf = Annotated[MessageKey, Depends(_message_key)]
