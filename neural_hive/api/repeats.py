"""Idempotency keys: the same request again publishes nothing, and is answered as the first one was.

The key makes the message's id, so that even a repeat that slips through is known to the system that reads it. Which
message a key has made is told by the log itself, through its archive, for as long as KEPT_HOURS; what is on its way
there is remembered here.
"""

import base64
import threading
from collections import OrderedDict
from collections.abc import Collection
from typing import Any, Final

import msgspec

from neural_hive.api.problems import Problem
from neural_hive.connectors.clickhouse import ClickHouseError
from neural_hive.connectors.personal import Personal
from neural_hive.schemas.catalogue import UnknownSchema
from neural_hive.schemas.codec import BadRecord, decode, encode_message
from neural_hive.schemas.envelope import Header
from neural_hive.sdk.sender import Sender, Token
from neural_hive.sdk.tables import Reader

KEPT_HOURS: Final = 24
REMEMBERED_MAX: Final = 10_000
_STRIPES: Final = 64
_NOT_THERE: Final = (60, 81)  # UNKNOWN_TABLE, UNKNOWN_DATABASE
_SQL: Final = (
    "SELECT topic, partition, offset, toUnixTimestamp64Milli(timestamp) * 1000, message_id, routing_id, "
    "base64Encode(ifNull(value, '')) FROM messages WHERE topic = {topic:String} AND message_id = {id:String} "
    f"AND timestamp > now64(3, 'UTC') - toIntervalHour({KEPT_HOURS}) ORDER BY partition, offset LIMIT 1"
)


class _Sent(msgspec.Struct, frozen=True):
    token: Token
    payload: dict[str, Any]
    message_type: str


class Repeats:
    """Publishes a message once for each id; may be used from many threads."""

    def __init__(self, sender: Sender, tables: Reader, personal: Personal) -> None:
        self._sender, self._tables, self._personal = sender, tables, personal
        self._lock = threading.Lock()
        self._stripes = [threading.Lock() for _ in range(_STRIPES)]
        self._remembered: OrderedDict[str, _Sent] = OrderedDict()

    def send(
        self,
        topic: str,
        content: msgspec.Struct,
        message_id: str,
        routing_id: str,
        is_keyed: bool,
        loose: Collection[str] = (),
    ) -> Token:
        """Publishes, or gives the place of the message that did the same before.

        `loose`: fields that may differ in a repeat, since the server has set them. Raises Problem: the key was used
        for something else; Unreachable, TooLarge, BadRecord, ClickHouseError, CircuitOpen.
        """
        if not is_keyed:
            return self._sender.send(topic, content, message_id, routing_id)
        with self._stripes[hash(message_id) % _STRIPES]:  # a repeat at the same moment waits for the first
            message_type = type(content).__name__
            payload = self._personal.hidden(message_type, _as_written(content))  # as the archive has it
            sent = self._recall(message_id) or self._archived(topic, message_id)
            if sent is None:
                token = self._sender.send(topic, content, message_id, routing_id)
                sent = _Sent(token, payload, message_type)
            elif _firm(sent.payload, loose) != _firm(payload, loose) or sent.message_type != message_type:
                raise Problem(
                    422,
                    "idempotency-key-reused",
                    "this Idempotency-Key was used before, with another request",
                )
            self._remember(message_id, sent)
            return sent.token

    def knows(self, topic: str, message_id: str) -> bool:
        """Whether the message of a key is in the log already. Raises ClickHouseError, CircuitOpen."""
        return (self._recall(message_id) or self._archived(topic, message_id)) is not None

    def _recall(self, message_id: str) -> _Sent | None:
        with self._lock:
            return self._remembered.get(message_id)

    def _remember(self, message_id: str, sent: _Sent) -> None:
        with self._lock:
            self._remembered[message_id] = sent
            self._remembered.move_to_end(message_id)
            while len(self._remembered) > REMEMBERED_MAX:
                self._remembered.popitem(last=False)

    def _archived(self, topic: str, message_id: str) -> _Sent | None:
        try:
            rows = self._tables.rows(_SQL, {"topic": topic, "id": message_id})
        except ClickHouseError as error:
            if error.code in _NOT_THERE:
                return None  # the projector has not begun
            raise
        if not rows:
            return None
        *place, value = rows[0]
        where, partition, offset, appended_at, found_id, routing_id = place
        token = Token(
            str(found_id), str(where), int(partition), int(offset), int(appended_at), str(routing_id)
        )
        try:
            decoded = decode(base64.b64decode(value), "message")
        except (BadRecord, UnknownSchema):  # nothing of ours: it is not the same
            return _Sent(token, {}, "")
        return _Sent(token, decoded.payload, decoded.schema.name)


def _as_written(content: msgspec.Struct) -> dict[str, Any]:
    """What a reader of the message finds in it: Avro fills in what is left out."""
    name = type(content).__name__
    header = Header("", name, 0, "", "", "", "", "", "")
    return decode(encode_message(header, msgspec.to_builtins(content)), "message").payload


def _firm(payload: dict[str, Any], loose: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in payload.items() if name not in loose}
