"""Inputs as somebody careless or hostile would send them: bytes, messages, plan files.

Everything is drawn from a `random.Random`, so that a seed, or Hypothesis, decides it.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any, Final

import fastavro

from neural_hive.schemas import catalogue
from neural_hive.schemas.catalogue import Registered
from neural_hive.schemas.shape import full_name

NOW: Final = 1_700_000_000_000_000  # µs
LONGS: Final = (0, 1, -1, 2, 7, 1_000, NOW, 2**31, 2**53 + 1, 2**62, 2**63 - 1, -(2**63))
INTS: Final = (0, 1, 2, -1, 100, 2**31 - 1, -(2**31))
DOUBLES: Final = (0.0, -0.0, 0.5, 1.0, -1.0, 1.5, 5e-324, 1e308, float("nan"), float("inf"), float("-inf"))
TEXTS: Final = (
    "",
    " ",
    "\0",
    "a\0b",
    "\x1f",
    "../../etc/passwd",
    "${tasks.a.outputs.x}",
    "${tasks.",
    "a:b",
    ".",
    "-",
    "\n",
    "\ufeff",
    "\U0010ffff" * 9,
    "Grüße",
    "'; DROP TABLE events; --",
    "x" * 129,
    "y" * 201,
    "z" * 5_000,
    "{{7*7}}",
    "%s%n",
    "NaN",
)
MUTATIONS_MAX: Final = 6

Name = Callable[[str], Sequence[str]]  # the field's name → texts that mean something there


def written(row: Registered, record: dict[str, Any]) -> bytes:
    """A record's bytes, whatever its values mean."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, catalogue.parsed(row.id), record)
    return b"\0" + row.id.to_bytes(4, "big") + out.getvalue()


def named_types(node: Any) -> Iterator[tuple[str, Any]]:
    """The types that a schema declares: further on they are called by their names alone."""
    if isinstance(node, dict):
        if node["type"] in ("enum", "record"):
            yield full_name(node), node
        for field in node.get("fields", ()):
            yield from named_types(field["type"])
        for part in ("items", "values"):
            yield from named_types(node.get(part))
        yield from named_types(node["type"])
    for branch in node if isinstance(node, list) else ():
        yield from named_types(branch)


def value_of(node: Any, chance: Random, known: Name, field: str = "", named: Any = None) -> Any:
    """A value that fits a schema and need not make sense."""
    named = dict(named_types(node)) if named is None else named
    node = named.get(node, node) if isinstance(node, str) else node
    match node:
        case "string":
            names = known(field)
            return chance.choice(names) if names and chance.random() < 0.7 else chance.choice(TEXTS)
        case "bytes":
            return chance.randbytes(chance.choice((0, 1, 32, 300)))
        case "long":
            return chance.choice(LONGS)
        case "int":
            return chance.choice(INTS)
        case "double":
            return chance.choice(DOUBLES)
        case "boolean":
            return chance.random() < 0.5
        case list():
            return None if chance.random() < 0.3 else value_of(node[1], chance, known, field, named)
        case {"type": "array"}:
            items = [
                value_of(node["items"], chance, known, field, named) for _ in range(chance.randint(0, 3))
            ]
            return items * chance.choice((1, 1, 1, 2, 30))
        case {"type": "map"}:
            keys = {value_of("string", chance, known, field) for _ in range(chance.randint(0, 3))}
            return {key: value_of(node["values"], chance, known, field, named) for key in sorted(keys)}
        case {"type": "enum"}:
            return chance.choice(node["symbols"])
        case {"type": "record"}:
            return {f["name"]: value_of(f["type"], chance, known, f["name"], named) for f in node["fields"]}
    return value_of(node["type"], chance, known, field, named)


def twisted(record: dict[str, Any], wild: dict[str, Any], chance: Random) -> dict[str, Any]:
    """A record that makes sense, with some of its fields replaced by those of one that does not."""
    changed = dict(record)
    for name in chance.sample(sorted(changed), chance.randint(0, min(3, len(changed)))):
        mine, other = changed[name], wild[name]
        if isinstance(mine, list) and mine and isinstance(mine[0], dict) and other and chance.random() < 0.8:
            at = chance.randrange(len(mine))
            changed[name] = [*mine[:at], twisted(mine[at], other[0], chance), *mine[at + 1 :]]
        else:
            changed[name] = other
    return changed


def mutated(value: bytes, chance: Random) -> bytes:
    """Bytes with bits flipped, pieces cut out, put in, doubled, or replaced by lengths that cannot be."""
    data = bytearray(value)
    for _ in range(chance.randint(1, MUTATIONS_MAX)):
        at = chance.randint(0, len(data))
        match chance.randrange(6):
            case 0 if at < len(data):
                data[at] ^= 1 << chance.randrange(8)
            case 1:
                del data[at:]
            case 2:
                del data[at : at + chance.randint(1, 9)]
            case 3:
                data[at:at] = chance.randbytes(chance.randint(1, 12))
            case 4:
                data[at : at + 1] = chance.choice((b"\xfe\xff\xff\xff\x0f", b"\xff" * 9 + b"\x01", b"\x01"))
            case _:
                data += data[at : at + 40]
    return bytes(data)
