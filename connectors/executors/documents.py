"""JSON documents that a policy judges: read so that all readers agree, written so that the engine understands them."""

import json
from collections.abc import Iterator
from typing import Any, Final

FLOAT_MAX: Final = 1e15  # above, the engine's arithmetic with floating-point numbers is wrong


class CannotJudge(Exception):
    """Nothing can be said of the input; the text says why."""


def read_json(text: bytes, name: str) -> Any:
    """A JSON document. Raises CannotJudge: no JSON, or one that two readers may understand differently."""
    try:
        document = json.loads(text, object_pairs_hook=_object, parse_constant=_no_number, parse_float=_float)
        written(document).encode()  # halves of characters can be escaped, and are no text
        return document
    except (ValueError, RecursionError) as error:
        raise CannotJudge(f"{name} cannot be read as JSON: {error}") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"an object has a key twice; its keys: {', '.join(key for key, _ in pairs)[:200]}")
    return found


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number in JSON")


def _float(text: str) -> float:
    number = float(text)
    if abs(number) > FLOAT_MAX:
        raise ValueError(f"{text[:40]} is beyond {FLOAT_MAX:g}: write it as an integer")
    return number


def written(document: Any) -> str:
    """The document as the engine takes it: it does not know \\u escapes as the characters that they mean."""
    return json.dumps(document, ensure_ascii=False)


def canonical(text: str) -> str:
    """How `written` writes a text of the policy, which stands in a plan with its quotes or without them."""
    quoted = len(text) > 1 and text[0] == text[-1] == '"'
    try:
        as_written = written(json.loads(text if quoted else f'"{text}"'))
    except ValueError:
        return text  # no text of JSON: the engine's own words
    return as_written if quoted else as_written[1:-1]


def escaped_texts(document: Any, place: str) -> Iterator[str]:
    """The places of texts that JSON has to escape."""
    if isinstance(document, str):
        if len(written(document)) != len(document) + 2:
            yield place
    elif isinstance(document, dict):
        for key, value in document.items():
            yield from escaped_texts(key, f"a key of {place}")
            yield from escaped_texts(value, f"{place}.{key}"[:200])
    elif isinstance(document, list):
        for number, value in enumerate(document):
            yield from escaped_texts(value, f"{place}[{number}]"[:200])
