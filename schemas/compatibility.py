"""What a new version of a schema may change.

A version must be FULL_TRANSITIVE: it reads what every earlier version wrote, and every earlier version reads
what it writes. The Avro library decides that; beside it, no place may change its meaning: its type's full name
or its logical type.
"""

from collections.abc import Iterator
from typing import Any

import avro.schema
import orjson
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType

from neural_hive.schemas.shape import STEPS, full_name, joined, named_types


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
    named = named_types(schema)
    node: Any = schema
    path = ""
    steps = [step for step in location.split("/") if step]
    for at, step in enumerate(steps):
        node = named.get(node, node) if isinstance(node, str) else node
        if step.isdigit() and steps[at - 1] == "fields" and isinstance(node, dict):
            field = node["fields"][int(step)]
            path = joined(path, field["name"])
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
    elif node["type"] in STEPS:
        yield path, node["type"]
        yield from _types(node[STEPS[node["type"]]], f"{path}[]", named)
    elif node["type"] in ("record", "enum"):
        named[full_name(node)] = node
        yield path, f"{node['type']} {full_name(node)}"
        for field in node.get("fields", ()):
            yield from _types(field["type"], joined(path, field["name"]), named)
    else:
        logical = node.get("logicalType")
        yield path, f"{node['type']} ({logical})" if logical else str(node["type"])
