"""Whether the ints of a payload fit into 32 bits, decided on the values before they are written.

The encoder writes longer ones without a word, and other readers of the log refuse them. To look at the few ints of a
payload takes a tenth of a walk over its bytes.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from neural_hive.schemas.shape import full_name
from neural_hive.schemas.strict import NotADatum

_END: Final = 1 << 31
Check = Callable[[Any], None]  # raises NotADatum


def int_check(schema: Any) -> Check | None:
    """What looks at the ints of one value of a schema; None: it has none. `shape.shape_problems` has allowed the
    schema's shape.
    """
    return _check_of(schema, "", {})


def _check_of(node: Any, path: str, named: dict[str, Any]) -> Check | None:
    node = named.get(node, node) if isinstance(node, str) else node
    if isinstance(node, list):
        return _wrapped(_optional, _check_of(node[1], path, named))
    if isinstance(node, str):
        return partial(_int, path) if node == "int" else None
    match node["type"]:
        case "array":
            return _wrapped(_items, _check_of(node["items"], f"{path}[]", named))
        case "map":
            return _wrapped(_values, _check_of(node["values"], f"{path}[]", named))
        case "record":
            named[full_name(node)] = node
            checks = [(f["name"], _check_of(f["type"], f"{path}.{f['name']}", named)) for f in node["fields"]]
            found = tuple((name, check) for name, check in checks if check is not None)
            return partial(_fields, found) if found else None
        case "enum":
            named[full_name(node)] = node
            return None
    return _check_of(node["type"], path, named)


def _wrapped(around: Callable[[Check, Any], None], check: Check | None) -> Check | None:
    return partial(around, check) if check is not None else None


def _int(path: str, value: int) -> None:
    if not -_END <= value < _END:
        raise NotADatum(f"{path.lstrip('.')} is an int of more than 32 bits")


def _optional(check: Check, value: Any) -> None:
    if value is not None:
        check(value)


def _items(check: Check, values: Any) -> None:
    for value in values:
        check(value)


def _values(check: Check, values: Any) -> None:
    for value in values.values():
        check(value)


def _fields(checks: tuple[tuple[str, Check], ...], record: Any) -> None:
    for name, check in checks:
        if name in record:  # else the encoder writes its default, which fits
            check(record[name])
