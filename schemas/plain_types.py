"""The simple types of Avro, each with how it is written and how it is read, by hand: see `plain_fields` and `quick`.

Both take what is usual, and leave all else to the libraries, which know all the rules: what one of the two here raises
is an Unusual, or whatever Python raises of such a value.
"""

from collections.abc import Callable
from struct import Struct
from typing import Any, Final, NamedTuple

from neural_hive.schemas.strict import varint
from neural_hive.schemas.varint import SHORT, avro_long

_INT_END: Final = 1 << 31
_LONG_END: Final = 1 << 63
_INTS: Final = 1 << 32
_BOOLEANS: Final = {True: b"\1", False: b"\0"}
_DOUBLE: Final = Struct("<d")
_DOUBLE_BYTES: Final = 8
_LONG_OR_ODD: Final = 0x81  # of the first byte of a length: it has more than one, or it is negative
_EIGHT: Final = 8  # bytes that a time of these days takes, µs
_LAST_OF_EIGHT: Final = 0x0080_8080_8080_8080
_MORE: Final = 0x8080_8080_8080_8080
Write = Callable[[Any], bytes]


class Unusual(ValueError):
    """What is left to the libraries."""


class PlainType(NamedTuple):
    """One of them."""

    write: Write | None
    """The bytes of a value; None: values of this type are left to the library."""
    read: tuple[str, ...]
    """Lines of Python that read a value of `data` from `at` on into `{name}`, and move `at` behind it."""


def _text(value: Any) -> bytes:
    if type(value) is not str:
        raise Unusual
    return _bytes(value.encode())


def _bytes(value: Any) -> bytes:
    if type(value) is not bytes:
        raise Unusual
    length = len(value)
    return (SHORT[length] if length < len(SHORT) else avro_long(length)) + value


def _int(value: Any) -> bytes:
    if type(value) is not int or not 0 <= value < _INT_END:
        raise Unusual
    return avro_long(value)


def _long(value: Any) -> bytes:
    if type(value) is not int or not 0 <= value < _LONG_END:
        raise Unusual
    return avro_long(value)


def _boolean(value: Any) -> bytes:
    if type(value) is not bool:
        raise Unusual
    return _BOOLEANS[value]


def number(data: bytes, at: int) -> tuple[int, int]:
    """See varint; numbers of eight bytes at half of its time: their groups of seven bits are moved together in three
    steps instead of one by one.
    """
    word = int.from_bytes(data[at : at + _EIGHT], "little")
    if word & _MORE != _LAST_OF_EIGHT:
        return varint(data, at)
    word = word & 0x007F_007F_007F_007F | (word & 0x7F00_7F00_7F00_7F00) >> 1
    word = word & 0x0000_3FFF_0000_3FFF | (word & 0x3FFF_0000_3FFF_0000) >> 2
    return word & 0x0FFF_FFFF | (word & 0x0FFF_FFFF_0000_0000) >> 4, at + _EIGHT


def length(data: bytes, at: int) -> tuple[int, int]:
    """A length of several bytes. Raises Unusual: it is negative."""
    n, at = varint(data, at)
    if n & 1:
        raise Unusual
    return n, at


READS: Final[dict[str, Any]] = {
    "Unusual": Unusual,
    "length": length,
    "number": number,
    "double": _DOUBLE.unpack_from,
}
"""What the lines that read call by name."""

FIRST: Final = ("n = data[at]", "at += 1")
NUMBER: Final = (*FIRST, "if n > 127: n, at = number(data, at - 1)")
"""The lines that read a number as it lies there into `n`: its sign is its last bit."""
_LENGTH: Final = (*FIRST, f"if n & {_LONG_OR_ODD}: n, at = length(data, at - 1)")
_SIGNED: Final = "{name} = n >> 1 ^ -(n & 1)"
_BYTES: Final = "{name} = data[at : (at := at + (n >> 1))]"

PLAIN_TYPES: Final[dict[str, PlainType]] = {
    "string": PlainType(_text, (*_LENGTH, f"{_BYTES}.decode()")),
    "bytes": PlainType(_bytes, (*_LENGTH, _BYTES)),
    "int": PlainType(_int, (*NUMBER, f"if n >= {_INTS}: raise Unusual", _SIGNED)),
    "long": PlainType(_long, (*NUMBER, _SIGNED)),
    "boolean": PlainType(_boolean, (*FIRST, "if n > 1: raise Unusual", "{name} = n == 1")),
    "double": PlainType(
        None,
        (
            f"if at + {_DOUBLE_BYTES} > len(data): raise Unusual",
            "{name} = double(data, at)[0]",
            f"at += {_DOUBLE_BYTES}",
        ),
    ),
}
