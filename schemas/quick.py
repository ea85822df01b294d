"""Reads and checks Avro data in one pass, with a function that is written for each schema: a quarter of the time that
check (`strict`) and decoder take together.

It reads what is usual: what it gives, these two would have given, and tests hold them together. Of anything else (bytes
that are no datum, blocks of arrays that tell their size, very large data) it says nothing, and leaves it to these two.
"""

from collections.abc import Callable
from typing import Any

from neural_hive.schemas.plain_types import FIRST, NUMBER, PLAIN_TYPES, READS
from neural_hive.schemas.shape import full_name
from neural_hive.schemas.source import Source, name_of
from neural_hive.schemas.strict import VALUES_MAX

QuickReader = Callable[
    [bytes, int], tuple[Any, int]
]  # data and a place; gives the value and the place behind it


def quick_reader(schema: Any) -> QuickReader:
    """What reads one datum. `shape.shape_problems` has allowed the schema's shape.

    It raises IndexError, ValueError or struct.error where the bytes are not as usual, and may give a place behind the
    end of data that is cut: see `read_to_end`.
    """
    source = _Reading()
    result = source.value(schema)
    source.line(f"return {result}, at")
    read: QuickReader = source.function("read(data, at)", f"reader of {name_of(schema)}", READS)
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


class _Reading(Source):
    """The lines of a reader."""

    def value(self, node: Any) -> str:
        """Adds what reads a value; gives the expression that has it then."""
        node = self.node(node)
        if isinstance(node, list):
            return self._optional(node[1])
        if isinstance(node, str):
            return self._plain(node)
        match node["type"]:
            case "record":
                self.named[full_name(node)] = node
                fields = [(field["name"], self.value(field["type"])) for field in node["fields"]]
                return "{" + ", ".join(f"{name!r}: {value}" for name, value in fields) + "}"
            case "enum":
                self.named[full_name(node)] = node
                return self._enum(node["symbols"])
            case "array":
                return self._blocks("[]", node["items"])
            case "map":
                return self._blocks("{}", node["values"])
        return self.value(node["type"])

    def _plain(self, kind: str) -> str:
        name = self.new()
        self.line(*(text.format(name=name) for text in PLAIN_TYPES[kind].read))
        return name

    def _enum(self, symbols: list[str]) -> str:
        name = self.new()
        self.constants[f"symbols_{name}"] = tuple(symbols)
        self.line(*NUMBER)
        self.line("if n & 1: raise Unusual")
        self.line(f"{name} = symbols_{name}[n >> 1]")
        return name

    def _optional(self, node: Any) -> str:
        name = self.new()
        self.line(*FIRST, f"if n == 0: {name} = None")
        self.line("elif n != 2: raise Unusual")
        self.line("else:")
        self.depth += 1
        self.line(f"{name} = {self.value(node)}")
        self.depth -= 1
        return name

    def _blocks(self, empty: str, node: Any) -> str:
        name, left = self.new(), self.new()
        self.line(f"{name} = {empty}")
        self.line("while True:")
        self.depth += 1
        self.line(*NUMBER)
        self.line("if n == 0: break")
        self.line(
            "if n & 1 or n > 2 * len(data): raise Unusual"
        )  # a block that tells its size; or there is no end
        self.line(f"for {left} in range(n >> 1):")
        self.depth += 1
        if empty == "{}":
            key = self._plain("string")
            self.line(f"{name}[{key}] = {self.value(node)}")
        else:
            self.line(f"{name}.append({self.value(node)})")
        self.depth -= 2
        return name
