"""Reads and checks Avro data in one pass, with a function that is written for each schema: a quarter of the time that
check (`strict`) and decoder take together.

It reads what is usual: what it gives, these two would have given, and tests hold them together. Of anything else (bytes
that are no datum, blocks of arrays that tell their size, very large data) it says nothing, and leaves it to these two.
"""

from collections.abc import Callable
from struct import Struct
from typing import Any, Final

from neural_hive.schemas.shape import full_name
from neural_hive.schemas.strict import VALUES_MAX, varint

QuickReader = Callable[
    [bytes, int], tuple[Any, int]
]  # data and a place; gives the value and the place behind it
_INTS: Final = 1 << 32
_DOUBLE: Final = Struct("<d")
_DOUBLE_BYTES: Final = 8
_INDENT: Final = "    "
_LONG_OR_ODD: Final = 0x81  # of the first byte of a length: it has more than one, or it is negative
_EIGHT: Final = 8  # bytes that a time of these days takes, µs
_LAST_OF_EIGHT: Final = 0x0080_8080_8080_8080
_MORE: Final = 0x8080_8080_8080_8080


class Unusual(ValueError):
    """Bytes that are to be read otherwise."""


def quick_reader(schema: Any) -> QuickReader:
    """What reads one datum. `shape.shape_problems` has allowed the schema's shape.

    It raises IndexError, ValueError or struct.error where the bytes are not as usual, and may give a place behind the
    end of data that is cut: see `read_to_end`.
    """
    source = _Source()
    result = source.value(schema)
    source.line(f"return {result}, at")
    text = "\n".join(["def read(data, at):", *source.lines])
    found: dict[str, Any] = {
        "Unusual": Unusual,
        "length": _length,
        "number": _number,
        "double": _DOUBLE.unpack_from,
        **source.constants,
    }
    exec(compile(text, f"<reader of {_name(schema)}>", "exec"), found)
    read: QuickReader = found["read"]
    return read


def read_to_end(read: QuickReader, data: bytes, at: int) -> Any:
    """The datum that goes from a place exactly to the end; None: it is to be read otherwise."""
    if len(data) - at > VALUES_MAX:  # each value has a byte at least: so fewer bytes cannot hold too many
        return None
    try:
        value, end = read(data, at)
    except (IndexError, ValueError, ArithmeticError):
        return None
    return value if end == len(data) else None


def _number(data: bytes, at: int) -> tuple[int, int]:
    """See varint; numbers of eight bytes at half of its time: their groups of seven bits are moved together in three
    steps instead of one by one.
    """
    word = int.from_bytes(data[at : at + _EIGHT], "little")
    if word & _MORE != _LAST_OF_EIGHT:
        return varint(data, at)
    word = word & 0x007F_007F_007F_007F | (word & 0x7F00_7F00_7F00_7F00) >> 1
    word = word & 0x0000_3FFF_0000_3FFF | (word & 0x3FFF_0000_3FFF_0000) >> 2
    return word & 0x0FFF_FFFF | (word & 0x0FFF_FFFF_0000_0000) >> 4, at + _EIGHT


def _length(data: bytes, at: int) -> tuple[int, int]:
    """A length of several bytes. Raises Unusual: it is negative."""
    n, at = varint(data, at)
    if n & 1:
        raise Unusual
    return n, at


def _name(schema: Any) -> str:
    return str(schema.get("name", schema["type"])) if isinstance(schema, dict) else str(schema)


class _Source:
    """The lines of a function, and what they name."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.constants: dict[str, Any] = {}
        self._depth, self._count = 1, 0
        self._named: dict[str, Any] = {}

    def line(self, text: str) -> None:
        """Adds one."""
        self.lines.append(_INDENT * self._depth + text)

    def value(self, node: Any) -> str:
        """Adds what reads a value; gives the expression that has it then."""
        node = self._named.get(node, node) if isinstance(node, str) else node
        if isinstance(node, list):
            return self._optional(node[1])
        if isinstance(node, str):
            return self._plain(node)
        match node["type"]:
            case "record":
                self._named[full_name(node)] = node
                fields = [(field["name"], self.value(field["type"])) for field in node["fields"]]
                return "{" + ", ".join(f"{name!r}: {value}" for name, value in fields) + "}"
            case "enum":
                self._named[full_name(node)] = node
                return self._enum(node["symbols"])
            case "array":
                return self._blocks("[]", node["items"])
            case "map":
                return self._blocks("{}", node["values"])
        return self.value(node["type"])

    def _new(self) -> str:
        self._count += 1
        return f"v{self._count}"

    def _number(self) -> None:
        self.line("n = data[at]")
        self.line("at += 1")
        self.line("if n > 127: n, at = number(data, at - 1)")

    def _plain(self, kind: str) -> str:
        name = self._new()
        match kind:
            case "string" | "bytes":
                self.line("n = data[at]")
                self.line("at += 1")
                self.line(f"if n & {_LONG_OR_ODD}: n, at = length(data, at - 1)")
                decoded = ".decode()" if kind == "string" else ""
                self.line(f"{name} = data[at : (at := at + (n >> 1))]{decoded}")
            case "long":
                self._number()
                self.line(f"{name} = n >> 1 ^ -(n & 1)")
            case "int":
                self._number()
                self.line(f"if n >= {_INTS}: raise Unusual")
                self.line(f"{name} = n >> 1 ^ -(n & 1)")
            case "boolean":
                self.line("n = data[at]")
                self.line("at += 1")
                self.line("if n > 1: raise Unusual")
                self.line(f"{name} = n == 1")
            case "double":
                self.line(f"if at + {_DOUBLE_BYTES} > len(data): raise Unusual")
                self.line(f"{name} = double(data, at)[0]")
                self.line(f"at += {_DOUBLE_BYTES}")
            case _:
                raise ValueError(f"no reader for {kind}")
        return name

    def _enum(self, symbols: list[str]) -> str:
        name = self._new()
        self.constants[f"symbols_{name}"] = tuple(symbols)
        self._number()
        self.line("if n & 1: raise Unusual")
        self.line(f"{name} = symbols_{name}[n >> 1]")
        return name

    def _optional(self, node: Any) -> str:
        name = self._new()
        self.line("n = data[at]")
        self.line("at += 1")
        self.line(f"if n == 0: {name} = None")
        self.line("elif n != 2: raise Unusual")
        self.line("else:")
        self._depth += 1
        self.line(f"{name} = {self.value(node)}")
        self._depth -= 1
        return name

    def _blocks(self, empty: str, node: Any) -> str:
        name, left = self._new(), self._new()
        self.line(f"{name} = {empty}")
        self.line("while True:")
        self._depth += 1
        self._number()
        self.line("if n == 0: break")
        self.line(
            "if n & 1 or n > 2 * len(data): raise Unusual"
        )  # a block that tells its size; or there is no end
        self.line(f"for {left} in range(n >> 1):")
        self._depth += 1
        if empty == "{}":
            key = self._plain("string")
            self.line(f"{name}[{key}] = {self.value(node)}")
        else:
            self.line(f"{name}.append({self.value(node)})")
        self._depth -= 2
        return name
