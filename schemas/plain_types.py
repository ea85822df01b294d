"""The simple types of Avro, each with how it is written and how it is read, by hand: see `quick_writer` and `quick`.

Both take what is usual, and leave all else to the libraries, which know all the rules: what one of the two here raises
is an Unusual, or whatever Python raises of such a value.
"""

from struct import Struct
from typing import Any, Final, NamedTuple

from neural_hive.schemas.strict import varint
from neural_hive.schemas.varint import SHORT, avro_long

_INT_END: Final = 1 << 31
_LONG_END: Final = 1 << 63
_INTS: Final = 1 << 32
_DOUBLE: Final = Struct("<d")
_DOUBLE_BYTES: Final = 8
_LONG_OR_ODD: Final = 0x81  # of the first byte of a length: it has more than one, or it is negative
_EIGHT: Final = 8  # bytes that a time of these days takes, µs
_LAST_OF_EIGHT: Final = 0x0080_8080_8080_8080
_MORE: Final = 0x8080_8080_8080_8080


class Unusual(ValueError):
    """What is left to the libraries."""


class PlainType(NamedTuple):
    """One of them."""

    write: tuple[str, ...]
    """Lines of Python that take a value `{value}` into `{name}`, and raise if it is not as usual."""
    written: tuple[str, ...]
    """What gives its bytes then, one after the other."""
    read: tuple[str, ...]
    """Lines of Python that read a value of `data` from `at` on into `{name}`, and move `at` behind it."""


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

WRITES: Final[dict[str, Any]] = {
    "Unusual": Unusual,
    "SHORT": SHORT,
    "long": avro_long,
    "double": _DOUBLE.pack,
    "text": str.encode,  # of a text only: it raises if it is given anything else
}
"""What the lines that write call by name."""

COUNT: Final = f"SHORT[{{n}}] if {{n}} < {len(SHORT)} else long({{n}})"
"""What gives the bytes of a number that is not negative."""
_TAKEN: Final = "{name} = {value}"
_NUMBER: Final = COUNT.format(n="{name}")
_WITH_LENGTH: Final = (COUNT.format(n="{name}_n"), "{name}")


def _only(kind: str, more: str = "") -> str:
    return f"if type({{name}}) is not {kind}{more}: raise Unusual"


PLAIN_TYPES: Final[dict[str, PlainType]] = {
    "string": PlainType(
        ("{name} = text({value})", "{name}_n = len({name})"),
        _WITH_LENGTH,
        (*_LENGTH, f"{_BYTES}.decode()"),
    ),
    "bytes": PlainType(
        (_TAKEN, _only("bytes"), "{name}_n = len({name})"),
        _WITH_LENGTH,
        (*_LENGTH, _BYTES),
    ),
    "int": PlainType(
        (_TAKEN, _only("int", f" or not 0 <= {{name}} < {_INT_END}")),
        (_NUMBER,),
        (*NUMBER, f"if n >= {_INTS}: raise Unusual", _SIGNED),
    ),
    "long": PlainType(
        (_TAKEN, _only("int", f" or not 0 <= {{name}} < {_LONG_END}")),
        (_NUMBER,),
        (*NUMBER, _SIGNED),
    ),
    "boolean": PlainType(
        (_TAKEN, _only("bool")),
        ("b'\\1' if {name} else b'\\0'",),
        (*FIRST, "if n > 1: raise Unusual", "{name} = n == 1"),
    ),
    "double": PlainType(
        (_TAKEN, _only("float")),
        ("double({name})",),
        (
            f"if at + {_DOUBLE_BYTES} > len(data): raise Unusual",
            "{name} = double(data, at)[0]",
            f"at += {_DOUBLE_BYTES}",
        ),
    ),
}
