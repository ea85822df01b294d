"""Dead letters: what could not be processed, and what it says."""

import base64
from typing import Annotated, Any, Final

import msgspec
from fastapi import Path, Query, Request
from starlette.responses import Response

from neural_hive.api.answers import answered, problem, told
from neural_hive.api.problems import not_found
from neural_hive.api.reading import ID_CHARS_MAX, Cursor, Limit, reading_router
from neural_hive.api.services import ServicesOf
from neural_hive.api.views import DeadLetterInfo
from neural_hive.listing.pages import one, page
from neural_hive.listing.things import DEAD_LETTERS
from neural_hive.schemas.catalogue import UnknownSchema
from neural_hive.schemas.codec import BadRecord, decode
from neural_hive.sdk.views import Page

router = reading_router("dead letters")
Filter = Annotated[str, Query(max_length=ID_CHARS_MAX)]
VALUE_BYTES_MAX: Final = 1 << 20  # of a letter's bytes, in an answer
_VALUE: Final = (
    "SELECT base64Encode(ifNull(key, '')), base64Encode(substring(ifNull(value, ''), 1, {max:UInt32})), "
    "length(ifNull(value, '')) FROM dead_letters WHERE message_id = {id:String} LIMIT 1"
)


class DeadLetterContent(msgspec.Struct, frozen=True):
    """A dead letter with its bytes, and what they say if they can be read."""

    letter: DeadLetterInfo
    key: str  # base64
    value: str  # base64, at most the first MiB
    size_bytes: int  # of the value
    message_type: str = ""  # "": it cannot be read
    payload: Any = None
    unreadable: str = ""  # why it cannot


@router.get("/api/v1/dead-letters", responses=told(Page[DeadLetterInfo]))
def list_dead_letters(
    request: Request,
    services: ServicesOf,
    source_topic: Filter = "",
    processor: Filter = "",
    error_type: Filter = "",
    limit: Limit = 100,
    cursor: Cursor = "",
) -> Response:
    """Dead letters, the newest first; all filters must hold."""
    filters = {"source_topic": source_topic, "processor": processor, "error_type": error_type}
    return answered(request, page(services.tables, DEAD_LETTERS, DeadLetterInfo, filters, limit, cursor))


@router.get(
    "/api/v1/dead-letters/{message_id}",
    responses=told(DeadLetterContent) | problem(404, "There is no such dead letter"),
)
def get_dead_letter(
    request: Request, message_id: Annotated[str, Path(max_length=ID_CHARS_MAX)], services: ServicesOf
) -> Response:
    """A dead letter with its bytes, and what they say."""
    letter = one(services.tables, DEAD_LETTERS, DeadLetterInfo, message_id)
    rows = services.tables.rows(_VALUE, {"id": message_id, "max": VALUE_BYTES_MAX}) if letter else []
    if letter is None or not rows:
        raise not_found(f"dead letter {message_id}")
    key, value, size_bytes = rows[0]
    said = _said(base64.b64decode(value), size_bytes)
    return answered(request, DeadLetterContent(letter, key, value, size_bytes, *said))


def _said(value: bytes, size_bytes: int) -> tuple[str, Any, str]:
    """The message's type and payload; or why it cannot be read."""
    if size_bytes > len(value):
        return "", None, f"it has {size_bytes:,} bytes, more than are read here"
    try:
        found = decode(value, "message")
    except (BadRecord, UnknownSchema) as error:
        return "", None, str(error)
    return found.schema.name, found.payload, ""
