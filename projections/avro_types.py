"""What ClickHouse makes of an Avro schema: the column type, and the expression that gives a value as JSON.

Only the types that the wire uses are known; another one is refused when it is first met, not read wrongly.
"""

from typing import Any, Final

_SCALARS: Final = {
    "string": "String",
    "bytes": "String",
    "int": "Int32",
    "long": "Int64",
    "float": "Float32",
    "double": "Float64",
    "boolean": "Bool",
}
_LOGICAL: Final = {"timestamp-micros": "DateTime64(6, 'UTC')", "timestamp-millis": "DateTime64(3, 'UTC')"}
Named = dict[str, dict[str, Any]]


class UnsupportedType(ValueError):
    """An Avro type that has no column type here; the text names it."""


def column_type(schema: Any, named: Named | None = None) -> str:
    """The ClickHouse type of an Avro schema; `named` collects records and enums that later parts refer to.

    Raises UnsupportedType: a union of more than null and one type, or a type that the wire does not use.
    """
    named = {} if named is None else named
    if isinstance(schema, list):
        inner = column_type(_not_null(schema), named)
        return inner if inner.startswith(("Array(", "Map(", "Tuple(")) else f"Nullable({inner})"
    if isinstance(schema, str):
        return _SCALARS.get(schema) or column_type(_look_up(schema, named), named)
    return _complex_type(schema, named)


def _complex_type(schema: dict[str, Any], named: Named) -> str:
    kind = schema["type"]
    if kind == "record":
        _remember(schema, named)
        fields = (f"`{f['name']}` {column_type(f['type'], named)}" for f in schema["fields"])
        return f"Tuple({', '.join(fields)})"
    if kind == "enum":
        _remember(schema, named)
        return "String"
    if kind == "array":
        return f"Array({column_type(schema['items'], named)})"
    if kind == "map":
        return f"Map(String, {column_type(schema['values'], named)})"
    return _LOGICAL.get(schema.get("logicalType", "")) or column_type(kind, named)


def json_ready(schema: Any, sql: str, named: Named | None = None) -> str:
    """The expression `sql` of that schema's type with bytes as Base64, since JSON has no bytes.

    The expression itself where there are no bytes in it.
    """
    named = {} if named is None else named
    if isinstance(schema, list):
        return json_ready(_not_null(schema), sql, named)
    if schema == "bytes":
        return f"base64Encode({sql})"
    if isinstance(schema, str):
        return sql if schema in _SCALARS else json_ready(_look_up(schema, named), sql, named)
    return _complex_json(schema, sql, named)


def _complex_json(schema: dict[str, Any], sql: str, named: Named) -> str:
    kind = schema["type"]
    if kind == "record":
        _remember(schema, named)
        return _record_json(schema, sql, named)
    if kind == "enum":
        _remember(schema, named)
        return sql
    if kind == "array":
        item = json_ready(schema["items"], "x", named)
        return sql if item == "x" else f"arrayMap(x -> {item}, {sql})"
    if kind == "map":
        value = json_ready(schema["values"], "v", named)
        return sql if value == "v" else f"mapApply((k, v) -> (k, {value}), {sql})"
    return sql if kind in _SCALARS else json_ready(kind, sql, named)


def _record_json(schema: dict[str, Any], sql: str, named: Named) -> str:
    plain = [f"{sql}.`{field['name']}`" for field in schema["fields"]]
    ready = [json_ready(f["type"], p, named) for f, p in zip(schema["fields"], plain, strict=True)]
    return (
        sql
        if ready == plain
        else f"CAST(tuple({', '.join(ready)}), {quoted(column_type(schema, dict(named)))})"
    )


def _remember(schema: dict[str, Any], named: Named) -> None:
    named[schema["name"]] = schema
    if "namespace" in schema:
        named[f"{schema['namespace']}.{schema['name']}"] = schema


def _look_up(name: str, named: Named) -> dict[str, Any]:
    if name not in named:
        raise UnsupportedType(f"the Avro type {name} has no column type")
    return named[name]


def _not_null(union: list[Any]) -> Any:
    rest = [branch for branch in union if branch != "null"]
    if len(rest) != 1 or len(union) != 2:
        raise UnsupportedType(f"a union must be of null and one type: {union}")
    return rest[0]


def quoted(text: str) -> str:
    """A string literal of ClickHouse's SQL."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def renamed(schema: Any, suffix: str, seen: dict[str, str] | None = None) -> Any:
    """The schema with every named type's name unique by `suffix`, so that versions stand beside each other.

    Docs and defaults are left out: a reader of the container does not need them.
    """
    seen = {} if seen is None else seen
    if isinstance(schema, list):
        return [renamed(branch, suffix, seen) for branch in schema]
    if isinstance(schema, str):
        return seen.get(schema, schema)
    name = schema.get("name")
    if schema.get("type") in ("record", "enum", "fixed"):
        full = f"{schema['namespace']}.{name}" if "namespace" in schema else str(name)
        seen[full] = full.replace(".", "_") + suffix
        seen.setdefault(str(name), seen[full])
        name = seen[full]
    inner = {
        k: renamed(v, suffix, seen) if k in ("type", "fields", "items", "values") else v
        for k, v in schema.items()
        if k not in ("doc", "default", "namespace", "name")
    }
    return {"name": name, **inner} if name is not None else inner
