"""Writes payloads of a few plain fields by hand: for a small record the library's call costs more than its work.

Only exactly what a field is made for is written here. Whatever is unusual about a payload (a field that is left to its
default, a value of another type or out of range) is left to the library, which knows all the rules.
"""

from collections.abc import Callable
from typing import Any, Final

from neural_hive.schemas.plain_types import PLAIN_TYPES
from neural_hive.schemas.shape import full_name
from neural_hive.schemas.varint import avro_long

FIELDS_MAX: Final = 8  # of about ten on the library is as fast
Write = Callable[[dict[str, Any]], bytes]


def plain_writer(payload: Any) -> Write | None:
    """Writes one datum of a payload's schema, or raises whatever says that the library should be asked: any exception.

    None: the schema has more fields, or others. `shape.shape_problems` has allowed its shape.
    """
    if len(payload["fields"]) > FIELDS_MAX:
        return None
    named: dict[str, Any] = {}
    fields = [(field["name"], _put_of(field["type"], named)) for field in payload["fields"]]
    known = [(name, put) for name, put in fields if put is not None]
    if len(known) < len(fields):
        return None

    def write(values: dict[str, Any]) -> bytes:
        return b"".join([put(values[name]) for name, put in known])

    return write


def _put_of(node: Any, named: dict[str, Any]) -> Callable[[Any], bytes] | None:
    node = named.get(node, node) if isinstance(node, str) else node
    if isinstance(node, str):
        return PLAIN_TYPES[node].write if node in PLAIN_TYPES else None
    if isinstance(node, list):
        put = _put_of(node[1], named)
        return (lambda value: b"\0" if value is None else b"\2" + put(value)) if put else None
    if node["type"] == "enum":
        named[full_name(node)] = node
        return {symbol: avro_long(at) for at, symbol in enumerate(node["symbols"])}.__getitem__
    return _put_of(node["type"], named) if isinstance(node["type"], str) else None
