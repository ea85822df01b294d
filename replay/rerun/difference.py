"""Where two events differ, field by field: envelope and payload."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from neural_hive.schemas.codec import decode

ABSENT: Final = "absent"


class Difference(msgspec.Struct, frozen=True):
    """One field that is not the same on both sides."""

    field: str  # dotted: payload.candidates.0.score
    left: Any
    right: Any


def differences(left: bytes, right: bytes) -> list[Difference]:
    """The fields in which two encoded events differ. Raises BadRecord, UnknownSchema: one cannot be read."""
    return compared(_fields(left), _fields(right))


def _fields(value: bytes) -> dict[str, Any]:
    decoded = decode(value, "event")
    return {"envelope": msgspec.structs.asdict(decoded.head), "payload": decoded.payload}


def compared(left: Any, right: Any) -> list[Difference]:
    """The fields in which two trees of mappings and sequences differ, in the order of their names."""
    one, other = dict(_leaves("", left)), dict(_leaves("", right))
    return [
        Difference(name, one.get(name, ABSENT), other.get(name, ABSENT))
        for name in sorted(one.keys() | other.keys())
        if one.get(name, ABSENT) != other.get(name, ABSENT)
    ]


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, held in value.items():
            yield from _leaves(f"{name}.{key}" if name else str(key), held)
    elif isinstance(value, list | tuple) and value:
        for index, held in enumerate(value):
            yield from _leaves(f"{name}.{index}", held)
    else:
        yield name, value
