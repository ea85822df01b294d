"""Reads and checks Avro data in one pass, with a function that is written for each schema: a quarter of the time that
check (`strict`) and decoder take together.

It reads what is usual: what it gives, these two would have given, and tests hold them together. Of anything else (bytes
that are no datum, blocks of arrays that tell their size, very large data) it says nothing, and leaves it to these two.
"""

from collections.abc import Callable
from typing import Any, Final

from neural_hive.schemas.plain_types import FIRST, NUMBER, PLAIN_TYPES, READS
from neural_hive.schemas.shape import full_name
from neural_hive.schemas.strict import VALUES_MAX

QuickReader = Callable[
    [bytes, int], tuple[Any, int]
]  # data and a place; gives the value and the place behind it
_INDENT: Final = "    "


def quick_reader(schema: Any) -> QuickReader:
    """What reads one datum. `shape.shape_problems` has allowed the schema's shape.

    It raises IndexError, ValueError or struct.error where the bytes are not as usual, and may give a place behind the
    end of data that is cut: see `read_to_end`.
    """
    source = _Source()
    result = source.value(schema)
    source.line(f"return {result}, at")
    text = "\n".join(["def read(data, at):", *source.lines])
    found: dict[str, Any] = {**READS, **source.constants}
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

    def _lines(self, *texts: str) -> None:
        for text in texts:
            self.line(text)

    def _new(self) -> str:
        self._count += 1
        return f"v{self._count}"

    def _plain(self, kind: str) -> str:
        name = self._new()
        self._lines(*(text.format(name=name) for text in PLAIN_TYPES[kind].read))
        return name

    def _enum(self, symbols: list[str]) -> str:
        name = self._new()
        self.constants[f"symbols_{name}"] = tuple(symbols)
        self._lines(*NUMBER)
        self.line("if n & 1: raise Unusual")
        self.line(f"{name} = symbols_{name}[n >> 1]")
        return name

    def _optional(self, node: Any) -> str:
        name = self._new()
        self._lines(*FIRST, f"if n == 0: {name} = None")
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
        self._lines(*NUMBER)
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
