"""Writes Avro data with a function that is written for each schema: half to a fifth of the library's time.

Only exactly what a field is made for is written here. Whatever is unusual about a value (a field that is left to its
default, a value of another type or out of range) is left to the library, which knows all the rules; tests hold the two
together.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from neural_hive.schemas.plain_types import COUNT, PLAIN_TYPES, WRITES
from neural_hive.schemas.shape import full_name
from neural_hive.schemas.source import Source, name_of
from neural_hive.schemas.varint import avro_long

QuickWriter = Callable[[Any], bytes]
_PRESENT: Final = 'b"\\2"'  # of ["null", X]: the branch of X


def quick_writer(schema: Any) -> QuickWriter:
    """Writes one datum, or raises whatever says that the library should be asked: any exception.

    `shape.shape_problems` has allowed the schema's shape. How many values there are is not looked at.
    """
    source = _Writing()
    source.line(f"return {_joined(source.value(schema, 'value'))}")
    write: QuickWriter = source.function("write(value)", f"writer of {name_of(schema)}", WRITES)
    return write


def _joined(parts: Sequence[str]) -> str:
    """What gives all parts as one; conditions as parts may stand in there."""
    return f"({parts[0]})" if len(parts) == 1 else f'b"".join(({", ".join(parts)},))'


class _Writing(Source):
    """The lines of a writer."""

    def value(self, node: Any, value: str) -> list[str]:
        """Adds what takes a value; gives the expressions of its bytes."""
        node = self.node(node)
        if isinstance(node, list):
            return self._optional(node[1], value)
        if isinstance(node, str):
            return self._plain(node, value)
        match node["type"]:
            case "record":
                return self._record(node, value)
            case "enum":
                return self._enum(node, value)
            case "array":
                return self._items(node["items"], value)
            case "map":
                return self._entries(node["values"], value)
        return self.value(node["type"], value)

    def _plain(self, kind: str, value: str) -> list[str]:
        name, plain = self.new(), PLAIN_TYPES[kind]
        self.line(*(text.format(name=name, value=value) for text in plain.write))
        return [text.format(name=name) for text in plain.written]

    def _record(self, node: Any, value: str) -> list[str]:
        self.named[full_name(node)] = node
        name = self.new()
        self.line(f"{name} = {value}", f"if type({name}) is not dict: raise Unusual")
        return [
            part
            for field in node["fields"]
            for part in self.value(field["type"], f"{name}[{field['name']!r}]")
        ] or ['b""']

    def _enum(self, node: Any, value: str) -> list[str]:
        self.named[full_name(node)] = node
        name = self.new()
        self.constants[f"symbols_{name}"] = {
            symbol: avro_long(at) for at, symbol in enumerate(node["symbols"])
        }
        self.line(f"{name} = symbols_{name}[{value}]")
        return [name]

    def _optional(self, node: Any, value: str) -> list[str]:
        name = self.new()
        self.line(f"{name} = {value}", f'if {name} is None: {name} = b"\\0"')
        self.line(f"elif type({name}) is tuple: raise Unusual")  # the library takes it for a type and a value
        self.line("else:")
        self.depth += 1
        parts = self.value(node, name)
        self.line(f"{name} = {_joined([_PRESENT, *parts])}")
        self.depth -= 1
        return [name]

    def _items(self, node: Any, value: str) -> list[str]:
        name, item, found = self.new(), self.new(), self.new()
        self.line(f"{name} = {value}", f"if type({name}) not in (list, tuple): raise Unusual")
        self._begin(name, found)
        self.line(f"for {item} in {name}:")
        self.depth += 1
        self._add(found, self.value(node, item))
        return self._end(found)

    def _entries(self, node: Any, value: str) -> list[str]:
        name, key, item, found = self.new(), self.new(), self.new(), self.new()
        self.line(f"{name} = {value}", f"if type({name}) is not dict: raise Unusual")
        self._begin(name, found)
        self.line(f"for {key}, {item} in {name}.items():")
        self.depth += 1
        self._add(found, [*self._plain("string", key), *self.value(node, item)])
        return self._end(found)

    def _begin(self, name: str, found: str) -> None:
        """One block with all; the library writes none if there is nothing."""
        self.line(f'{found} = b"\\0"', f"if {name}:")
        self.depth += 1
        self.line(f"{name}_n = len({name})", f"{found} = [{COUNT.format(n=f'{name}_n')}]")

    def _add(self, found: str, parts: list[str]) -> None:
        self.line(f"{found} += ({', '.join(parts)},)")

    def _end(self, found: str) -> list[str]:
        self.depth -= 1
        self.line(f'{found}.append(b"\\0")', f'{found} = b"".join({found})')
        self.depth -= 1
        return [found]
