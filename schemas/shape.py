"""What a schema may be: shapes that keep hostile bytes harmless, and that every reader of the log understands.

The Avro library parses; it does not check names of fields, values of defaults or logical types, all of which other
readers refuse.
"""

import re
import warnings
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import avro.errors
import avro.schema
import orjson

SCALARS: Final = frozenset({"string", "bytes", "int", "long", "double", "boolean"})
UNKNOWN: Final = "UNKNOWN"
STEPS: Final = {"array": "items", "map": "values"}  # where a type of many has the type of each
LOGICAL_TYPES: Final = {"timestamp-micros": "long"}
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LIMITS: Final = {"int": 2**31, "long": 2**63}


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


def named_types(schema: Any) -> dict[str, Any]:
    """Every record and enum of a schema by its full name."""
    named: dict[str, Any] = {}
    for _ in _problems(schema, "", named, ()):
        pass
    return named


def _checked(schema: Any) -> list[Problem]:
    try:
        with warnings.catch_warnings(action="ignore"):  # it warns of logical types, which are problems below
            avro.schema.parse(orjson.dumps(schema).decode())
    except (avro.errors.AvroException, TypeError, KeyError, RecursionError) as error:
        innermost = str(error).rsplit("not a valid Avro schema: ", 1)[-1]
        return [Problem(True, f"not an Avro schema: {innermost}")]
    if not isinstance(schema, dict) or schema.get("type") != "record":
        return [Problem(True, "a schema of this system is a record")]
    try:
        return list(_problems(schema, "", {}, ()))
    except (AttributeError, LookupError, TypeError) as error:  # attributes that the library does not look at
        return [Problem(True, f"not an Avro schema: {type(error).__name__}: {error}")]


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
    elif node["type"] in STEPS:
        yield from _problems(node[STEPS[node["type"]]], f"{path}[]", named, above)
    elif node["type"] == "enum":
        named[full_name(node)] = node
        yield from _name_problems(node, where)
        yield from _enum_problems(node, where)
    elif node["type"] == "record":
        yield from _record_problems(node, path, named, above)
    else:
        if "logicalType" in node and LOGICAL_TYPES.get(node["logicalType"]) != node["type"]:
            yield Problem(
                False, f"{where}: logical type {node['logicalType']} of {node['type']} is not allowed"
            )
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
    for name in (
        node["name"],
        *node.get("symbols", ()),
        *(field["name"] for field in node.get("fields", ())),
    ):
        if not _NAME.fullmatch(name):
            yield Problem(
                True, f"{where}: {name!r} is not a name: letters, digits and _ only, no digit first"
            )
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
        place = joined(path, field["name"])
        yield from _problems(field["type"], place, named, (*above, name))
        if "default" in field and not _fits(field["default"], field["type"], named):
            yield Problem(True, f"{place}: the default {field['default']!r} is not a value of its type")


def _fits(value: Any, node: Any, named: dict[str, Any]) -> bool:
    """Whether a default, as JSON, is a value of a type: of the first branch, if that is a union."""
    node = named.get(node, node) if isinstance(node, str) else node
    match node:
        case [first, *_]:
            return _fits(value, first, named)
        case {"type": "array", "items": items}:
            return isinstance(value, list) and all(_fits(item, items, named) for item in value)
        case {"type": "map", "values": values}:
            return isinstance(value, dict) and all(_fits(item, values, named) for item in value.values())
        case {"type": "enum", "symbols": symbols}:
            return value in symbols
        case {"type": "record", "fields": fields}:
            return isinstance(value, dict) and all(
                _fits(value.get(field["name"], field.get("default")), field["type"], named)
                for field in fields
            )
        case {"type": inner}:
            return _fits(value, inner, named)
        case "int" | "long":
            limit = _LIMITS[node]
            return isinstance(value, int) and not isinstance(value, bool) and -limit <= value < limit
        case "double":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "boolean":
            return isinstance(value, bool)
        case "null":
            return value is None
    return isinstance(value, str)


def full_name(node: dict[str, Any]) -> str:
    """A named type's name with its namespace."""
    namespace = node.get("namespace", "")
    return f"{namespace}.{node['name']}" if namespace else str(node["name"])


def joined(path: str, name: str) -> str:
    """A field's path."""
    return f"{path}.{name}" if path else name
