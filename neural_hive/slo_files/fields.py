"""Makes a struct of what people wrote: every field that is wrong is told, with its path and what would be right."""

import difflib
from enum import Enum
from typing import Any, Final, get_args, get_origin

import msgspec

from neural_hive.documents import DocumentPath

ERRORS_MAX: Final = 20  # of one document
_SHOWN_CHARS_MAX: Final = 80

Problem = tuple[DocumentPath, str]


def build(kind: type[Any], value: Any, at: DocumentPath, problems: list[Problem]) -> Any:
    """The struct, or None after a problem was added."""
    if not isinstance(value, dict):
        problems.append((at, f"must be a mapping with {', '.join(_names(kind)[:4])} …{_not(value)}"))
        return None
    before = len(problems)
    problems += [((*at, name), _unknown(name, _names(kind))) for name in value if name not in _names(kind)]
    made = {}
    for field in msgspec.structs.fields(kind):
        given = value.get(field.encode_name)
        if given is not None:
            made[field.name] = _value(field.type, given, (*at, field.encode_name), problems)
        elif field.required:
            problems.append(((*at, field.encode_name), "is missing"))
    return kind(**made) if len(problems) == before else None


def _value(kind: Any, value: Any, at: DocumentPath, problems: list[Problem]) -> Any:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return build(kind, value, at, problems)
    items = get_args(kind)[:1] if get_origin(kind) is tuple else ()
    if items and isinstance(value, list):
        return tuple(_value(items[0], item, (*at, n), problems) for n, item in enumerate(value))
    try:
        made = msgspec.convert(value, kind, strict=False)
        msgspec.json.encode(made)  # whether all its texts are texts
    except msgspec.ValidationError:
        problems.append((at, f"must be {_wanted(kind)}{_not(value)}"))
    except UnicodeEncodeError:
        problems.append((at, "holds half a character: nobody could write it down"))
    else:
        return made
    return None


def _wanted(kind: Any) -> str:
    if isinstance(kind, type) and issubclass(kind, Enum):
        return " or ".join(_listed([str(member.value) for member in kind if member.name != "UNKNOWN"]))
    if get_origin(kind) is dict:
        return "a mapping of texts"
    if get_origin(kind) is tuple:
        return "a list"
    return {float: "a number", int: "a whole number", bool: "true or false"}.get(kind, "a text")


def _listed(names: list[str]) -> list[str]:
    return [", ".join(names[:-1]), names[-1]] if len(names) > 1 else names


def _not(value: Any) -> str:
    if isinstance(value, dict | list):
        return ", not " + ("a mapping" if isinstance(value, dict) else "a list")
    return f", not {str(value)[:_SHOWN_CHARS_MAX]!r}"


def _names(kind: type[Any]) -> list[str]:
    return [field.encode_name for field in msgspec.structs.fields(kind)]


def _unknown(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name[:_SHOWN_CHARS_MAX], names, 1)
    return "there is no such field" + (f", did you mean {near[0]!r}?" if near else f": {', '.join(names)}")
