"""Reads YAML and JSON documents and keeps where each value stands, so that errors can name line and column.

Nothing is guessed: every scalar stays the text it was written as (`no` is "no", 1.10 is "1.10"), apart from null;
whoever validates decides what it means. Refused: anchors and aliases (bombs), tags, duplicate keys, deep nesting.
"""

import json
import re
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

DEPTH_MAX: Final = 32
_NULLS: Final = ("", "~", "null", "Null", "NULL")
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}:,]|[^\s\[\]{}:,"]+')
_NO_KEY: Final[Any] = object()  # stands in a path until the key is read; no key is equal to it
_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

DocumentPath = tuple[str | int, ...]


class Place(msgspec.Struct, frozen=True):
    """Line and column, from 1."""

    line: int
    column: int


class BadDocument(ValueError):
    """Text that is no document; with its place if that is known."""

    def __init__(self, text: str, place: Place | None = None) -> None:
        super().__init__(text)
        self.place = place


class Document(msgspec.Struct, frozen=True):
    """The value of a document, and its text to find places in."""

    value: Any
    text: str
    is_json: bool

    def place(self, path: DocumentPath) -> Place | None:
        """Where the value at a path stands, or the nearest value around it that is there."""
        places = dict(_json_places(self.text) if self.is_json else _YamlReader().places(self.text))
        while path and path not in places:
            path = path[:-1]
        return places.get(path)


def read_document(file: Path, size_bytes_max: int) -> Document:
    """Reads a file: JSON if its name or its first character says so, else YAML.

    Raises BadDocument: too large, no UTF-8, or not well formed. OSError: it cannot be read.
    """
    size_bytes = file.stat().st_size
    if size_bytes > size_bytes_max:
        raise BadDocument(f"it has {size_bytes:,} bytes; at most {size_bytes_max:,} are read")
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadDocument(f"it is not UTF-8 text: byte {error.start:,} cannot be read") from error
    is_json = file.suffix.lower() == ".json" or text.lstrip()[:1] == "{"
    return Document(_read_json(text) if is_json else _YamlReader().value(text), text, is_json)


class Placed(msgspec.Struct, frozen=True):
    """The value of one of a file's documents, and where each part of it stands."""

    value: Any
    places: dict[DocumentPath, Place]

    def place(self, path: DocumentPath) -> Place:
        """Where the value at a path stands, or the nearest value around it that is there."""
        while path not in self.places:
            path = path[:-1]
        return self.places[path]


def read_documents(text: str, size_bytes_max: int, values_max: int) -> list[Placed]:
    """All documents of a text, apart from empty ones: one of JSON if its first character says so, else YAML.

    Raises BadDocument: too large, more values than are read, or not well formed.
    """
    try:
        size_bytes = len(text.encode())
    except UnicodeEncodeError as error:
        raise BadDocument(
            f"character {error.start:,} is half of one, which nobody could write down"
        ) from None
    if size_bytes > size_bytes_max:
        raise BadDocument(f"it has {size_bytes:,} bytes; at most {size_bytes_max:,} are read")
    text = text.removeprefix("\ufeff")
    if text.lstrip()[:1] == "{":
        value, places = _as_written(_read_json(text)), dict(islice(_json_places(text), values_max + 1))
        if len(places) > values_max:
            raise _too_many(values_max)
        return [Placed(value, places)]
    return [placed for placed in _YamlReader(values_max).all(text) if placed.value is not None]


def _too_many(values_max: int) -> BadDocument:
    return BadDocument(f"it has more than {values_max:,} values: divide it")


def _read_json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_int=str, parse_float=str)
    except json.JSONDecodeError as error:
        raise BadDocument(f"it is not JSON: {error.msg}", Place(error.lineno, error.colno)) from error
    except RecursionError as error:
        raise BadDocument("it is nested too deeply") from error


def _as_written(value: Any, depth: int = 0) -> Any:
    """JSON's true and false as the texts that YAML's are."""
    if depth > DEPTH_MAX:
        raise BadDocument("it is nested too deeply")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return {name: _as_written(part, depth + 1) for name, part in value.items()}
    return [_as_written(part, depth + 1) for part in value] if isinstance(value, list) else value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadDocument(f"the key {twice[:80]!r} stands twice in one mapping")
    return found


class _YamlReader:
    """Builds a value from the parser's events, without recursion and without constructors."""

    def __init__(self, values_max: int = sys.maxsize) -> None:
        self._values_max = values_max

    def value(self, text: str) -> Any:
        """The only document's value."""
        return self._only(text).value

    def places(self, text: str) -> dict[DocumentPath, Place]:
        """Every path of the only document and where it stands."""
        return self._only(text).places

    def _only(self, text: str) -> Placed:
        found = self.all(text)
        if len(found) != 1:
            raise BadDocument("it is empty" if not found else "it holds more than one document")
        return found[0]

    def all(self, text: str) -> list[Placed]:
        """Every document."""
        root: list[Any] = []
        all_places: list[dict[DocumentPath, Place]] = []
        count = 0
        stack: list[tuple[Any, DocumentPath]] = [(root, ())]
        key: list[str | None] = [None]  # per open collection: the mapping's key that waits for its value
        for event in self._events(text):
            place = Place(event.start_mark.line + 1, event.start_mark.column + 1)
            if isinstance(event, yaml.CollectionEndEvent):
                stack.pop()
                key.pop()
                continue
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise BadDocument("anchors and aliases are not read: write the value out", place)
            if not isinstance(event, yaml.NodeEvent):
                continue
            holder, path = stack[-1]
            if isinstance(holder, dict) and key[-1] is None:
                key[-1] = self._key(event, holder, place)
                continue
            if len(stack) > 1:
                path = (*path, len(holder) if key[-1] is None else key[-1])
            value = self._node(event, place)
            count += 1
            if count > self._values_max:
                raise _too_many(self._values_max)
            if isinstance(holder, dict):
                holder[key[-1]], key[-1] = value, None
            else:
                holder.append(value)
            if holder is root:
                all_places.append({})
            all_places[-1][path] = place
            if isinstance(value, dict | list):
                stack.append((value, path))
                key.append(None)
                if len(stack) > DEPTH_MAX:
                    raise BadDocument("it is nested too deeply", place)
        return [Placed(value, places) for value, places in zip(root, all_places, strict=True)]

    def _events(self, text: str) -> Iterator[Any]:
        try:
            yield from yaml.parse(text, Loader=_LOADER)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = Place(mark.line + 1, mark.column + 1) if mark else None
            raise BadDocument(f"it is not YAML: {error.problem or error.context}", place) from error
        except yaml.reader.ReaderError as error:
            raise BadDocument(f"it is not YAML: {error.reason} at character {error.position:,}") from error

    def _key(self, event: Any, holder: dict[str, Any], place: Place) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            raise BadDocument("a key must be plain text", place)
        if event.value in holder:
            raise BadDocument(f"the key {event.value[:80]!r} stands twice in one mapping", place)
        return str(event.value)

    def _node(self, event: Any, place: Place) -> Any:
        if event.tag is not None and event.tag != "!":
            raise BadDocument(f"tags are not read: {event.tag[:80]}", place)
        if isinstance(event, yaml.MappingStartEvent):
            return {}
        if isinstance(event, yaml.SequenceStartEvent):
            return []
        is_plain = not event.style  # None, and an empty text if libyaml has read it
        return None if is_plain and event.value in _NULLS else event.value


def _json_places(text: str) -> Iterator[tuple[DocumentPath, Place]]:
    """Every path of a JSON text, known to be well formed, and where it stands."""
    line, line_start, read_to = 1, 0, 0
    path: list[str | int] = []
    key = ""
    for token in _TOKEN.finditer(text):
        new_lines = text.count("\n", read_to, token.start())
        if new_lines:
            line, line_start = line + new_lines, text.rindex("\n", read_to, token.start()) + 1
        read_to, word = token.start(), token.group()
        if word == ":":
            path[-1] = json.loads(key)
        elif word == ",":
            path[-1] = path[-1] + 1 if isinstance(path[-1], int) else _NO_KEY
        elif word in "]}":
            path.pop()
        elif path and path[-1] is _NO_KEY:
            key = word
        else:
            yield tuple(path), Place(line, token.start() - line_start + 1)
            if word in "[{":
                path.append(0 if word == "[" else _NO_KEY)
