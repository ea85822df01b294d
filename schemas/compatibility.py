"""What a schema may be, and what a new version of it may change.

A version must be FULL_TRANSITIVE: it reads what every earlier version wrote, and every earlier version reads
what it writes. The Avro library decides that; what is checked beside it are this system's own limits on
shapes, which keep hostile bytes harmless and every record readable by the SQL engine.
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import avro.errors
import avro.schema
import orjson
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType

SCALARS: Final = frozenset({"string", "bytes", "int", "long", "double", "boolean"})
UNKNOWN: Final = "UNKNOWN"
_STEPS: Final = {"array": "items", "map": "values"}


class Problem(NamedTuple):
    """What is wrong with a schema; unsafe if its records could do harm or not be checked, else a matter of form."""

    unsafe: bool
    text: str


def shape_problems(schema: Any) -> list[str]:
    """What this system does not allow in a schema of its own, one sentence each, with the field's path."""
    return [problem.text for problem in _checked(schema)]


def unsafe_problems(schema: Any) -> list[str]:
    """What makes a schema of others unfit to be read here."""
    return [problem.text for problem in _checked(schema) if problem.unsafe]


def _checked(schema: Any) -> list[Problem]:
    try:
        avro.schema.parse(orjson.dumps(schema).decode())
    except (avro.errors.AvroException, TypeError, KeyError, RecursionError) as error:
        return [Problem(True, f"not an Avro schema: {error}")]
    if not isinstance(schema, dict) or schema.get("type") != "record":
        return [Problem(True, "a schema of this system is a record")]
    return list(_problems(schema, "", {}, ()))


def _problems(node: Any, path: str, named: dict[str, Any], above: tuple[str, ...]) -> Iterator[Problem]:
    where = path or "the record"
    if isinstance(node, list):
        yield from _union_problems(node, path, named, above)
    elif isinstance(node, str):
        if node in above:
            yield Problem(True, f"{where}: {node} contains itself; recursive types are not allowed")
        elif node not in SCALARS and node not in named:
            yield Problem(True, f"{where}: type {node} is not allowed")
    elif not isinstance(node, dict):
        yield Problem(True, f"{where}: {node!r} is not a type")
    elif node["type"] in _STEPS:
        yield from _problems(node[_STEPS[node["type"]]], f"{path}[]", named, above)
    elif node["type"] == "enum":
        named[full_name(node)] = node
        yield from _name_problems(node, where)
        yield from _enum_problems(node, where)
    elif node["type"] == "record":
        yield from _record_problems(node, path, named, above)
    else:
        yield from _problems(node["type"], path, named, above)


def _union_problems(
    node: list[Any], path: str, named: dict[str, Any], above: tuple[str, ...]
) -> Iterator[Problem]:
    if len(node) != 2 or node[0] != "null":
        yield Problem(True, f'{path}: only unions of the form ["null", X] are allowed')
    for branch in node:
        if branch != "null":
            yield from _problems(branch, path, named, above)


def _name_problems(node: dict[str, Any], where: str) -> Iterator[Problem]:
    if not node.get("namespace"):
        text = f"{where}: {node['type']} {node['name']} needs a namespace, or its name depends on its place"
        yield Problem(False, text)


def _enum_problems(node: dict[str, Any], where: str) -> Iterator[Problem]:
    if node["symbols"][0] != UNKNOWN or node.get("default") != UNKNOWN:
        text = f"{where}: enum {node['name']} needs {UNKNOWN} as its first symbol and as its default"
        yield Problem(False, f"{text}, or no symbol can ever be added")


def _record_problems(
    node: dict[str, Any], path: str, named: dict[str, Any], above: tuple[str, ...]
) -> Iterator[Problem]:
    name, where = full_name(node), path or "the record"
    named[name] = node
    yield from _name_problems(node, where)
    if not node.get("doc"):
        text = f"{where}: record {node['name']} has no doc; say what it means to the business"
        yield Problem(False, text)
    if not node["fields"]:
        yield Problem(True, f"{where}: record {node['name']} has no fields; values of zero bytes are refused")
    for field in node["fields"]:
        yield from _problems(field["type"], _join(path, field["name"]), named, (*above, name))


def incompatibilities(new: dict[str, Any], old: dict[str, Any]) -> list[str]:
    """Why `new` is not fully compatible with `old`, either way round, with the field's path."""
    found = [
        *(f"{why} (new version reading old records)" for why in unreadable(new, old)),
        *(f"{why} (old version reading new records)" for why in unreadable(old, new)),
    ]
    return found + list(_meaning_changed(new, old))


def unreadable(reader: Any, writer: Any) -> list[str]:
    """Why `reader` cannot read all that `writer` writes, by Avro's rules; empty if it can. Both parse."""
    parsed = [avro.schema.parse(orjson.dumps(schema).decode()) for schema in (reader, writer)]
    result = ReaderWriterCompatibilityChecker().get_compatibility(*parsed)
    if result.compatibility is not SchemaCompatibilityType.incompatible:
        return []
    what = ", ".join(dict.fromkeys(kind.value.replace("_", " ") for kind in result.incompatibilities))
    places = sorted(_named_place(reader, location) for location in result.locations if location != "/")
    fields = ", ".join(dict.fromkeys(places)) or "(record)"
    return [f"field {fields}: {what}: {'; '.join(sorted(result.messages))}"]


def _named_place(schema: dict[str, Any], location: str) -> str:
    """The library's place (fields/1/type/…) with the fields' names instead of their numbers."""
    named: dict[str, Any] = {}
    for _ in _problems(schema, "", named, ()):
        pass
    node: Any = schema
    path = ""
    steps = [step for step in location.split("/") if step]
    for at, step in enumerate(steps):
        node = named.get(node, node) if isinstance(node, str) else node
        if step.isdigit() and steps[at - 1] == "fields" and isinstance(node, dict):
            field = node["fields"][int(step)]
            path = _join(path, field["name"])
            node = field["type"]
        elif step in ("items", "values") and isinstance(node, dict):
            node = node.get(step, node)
            path += "[]"
    return path


def _meaning_changed(new: dict[str, Any], old: dict[str, Any]) -> Iterator[str]:
    """Changes that Avro's rules let pass and that yet change what bytes mean."""
    before = dict(_types(old, "", {}))
    for path, now in _types(new, "", {}):
        then = before.get(path)
        if then is not None and then != now:
            yield f"field {path or '(record)'}: the type changed from {then} to {now}"


def _types(node: Any, path: str, named: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Every place of a schema with its type: full names, and logical types, which Avro's rules pass over."""
    node = named.get(node, node) if isinstance(node, str) else node
    if isinstance(node, list):
        for branch in node:
            if branch != "null":
                (_, kind), *inner = _types(branch, path, named)
                yield path, f"optional {kind}"
                yield from inner
    elif isinstance(node, str):
        yield path, node
    elif node["type"] in _STEPS:
        yield path, node["type"]
        yield from _types(node[_STEPS[node["type"]]], f"{path}[]", named)
    elif node["type"] in ("record", "enum"):
        named[full_name(node)] = node
        yield path, f"{node['type']} {full_name(node)}"
        for field in node.get("fields", ()):
            yield from _types(field["type"], _join(path, field["name"]), named)
    else:
        logical = node.get("logicalType")
        yield path, f"{node['type']} ({logical})" if logical else str(node["type"])


def full_name(node: dict[str, Any]) -> str:
    """A named type's name with its namespace."""
    namespace = node.get("namespace", "")
    return f"{namespace}.{node['name']}" if namespace else str(node["name"])


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
