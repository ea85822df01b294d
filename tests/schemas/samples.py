"""Values of any schema: one that never changes, and Hypothesis strategies of all that fit."""

from typing import Any, Final

from hypothesis import strategies as st

from neural_hive.schemas.shape import full_name

_FIXED: Final[dict[str, Any]] = {
    "string": "Grüße → 蜂",
    "bytes": bytes(range(32)),
    "long": 1_700_000_000_123_456,
    "int": 7,
    "double": 0.625,
    "boolean": True,
}
_ANY: Final[dict[str, st.SearchStrategy[Any]]] = {
    "string": st.text(st.characters(exclude_categories=["Cs"]), max_size=80),
    "bytes": st.binary(max_size=80),
    "long": st.integers(-(2**63), 2**63 - 1),
    "int": st.integers(-(2**31), 2**31 - 1),
    "double": st.floats(allow_nan=False),
    "boolean": st.booleans(),
}


def fixed(node: Any, named: dict[str, Any] | None = None) -> Any:
    """One value of a schema, always the same: two items in arrays and maps, the last symbol of enums."""
    named = {} if named is None else named
    node = named.get(node, node) if isinstance(node, str) else node
    match node:
        case str():
            return _FIXED[node]
        case list():
            return fixed(node[1], named)
        case {"type": "array"}:
            return [fixed(node["items"], named) for _ in range(2)]
        case {"type": "map"}:
            return {key: fixed(node["values"], named) for key in ("first", "second")}
        case {"type": "enum"}:
            named[full_name(node)] = node
            return node["symbols"][-1]
        case {"type": "record"}:
            named[full_name(node)] = node
            return {field["name"]: fixed(field["type"], named) for field in node["fields"]}
    return fixed(node["type"], named)


def values(node: Any, named: dict[str, Any] | None = None) -> st.SearchStrategy[Any]:
    """All values of a schema, small ones first."""
    named = {} if named is None else named
    node = named.get(node, node) if isinstance(node, str) else node
    match node:
        case str():
            return _ANY[node]
        case list():
            return st.none() | values(node[1], named)
        case {"type": "array"}:
            return st.lists(values(node["items"], named), max_size=4)
        case {"type": "map"}:
            return st.dictionaries(_ANY["string"], values(node["values"], named), max_size=4)
        case {"type": "enum"}:
            named[full_name(node)] = node
            return st.sampled_from(node["symbols"])
        case {"type": "record"}:
            named[full_name(node)] = node
            return st.fixed_dictionaries({f["name"]: values(f["type"], named) for f in node["fields"]})
    return values(node["type"], named)
