"""Composes the sources with envelope and header, and keeps every version for ever under a fixed id.

`python -m neural_hive.schemas.freeze` registers what is new or changed; `--check` changes nothing and fails
if something would change, or if what is registered was edited, lost or given an id twice.
"""

import argparse
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import orjson

from neural_hive.schemas import catalogue
from neural_hive.schemas.catalogue import RecordKind, Registered
from neural_hive.schemas.compatibility import incompatibilities
from neural_hive.schemas.envelope import ENVELOPE_SCHEMA, HEADER_SCHEMA, NAMESPACE
from neural_hive.schemas.personal import mark_problems
from neural_hive.schemas.shape import shape_problems

Source = tuple[RecordKind, tuple[str, ...], dict[str, Any]]


class BadSource(ValueError):
    """A source file that cannot become a schema, or a registered one that changed; the text says why."""


def compose(source: dict[str, Any], kind: RecordKind, types: dict[str, Any]) -> dict[str, Any]:
    """The whole record of a payload source: envelope or header first, shared types where first used."""
    name = source["name"]
    payload = {
        "type": "record",
        "name": name,
        "namespace": f"{NAMESPACE}.payload",
        "doc": source["doc"],
        "fields": _inlined(source["fields"], types, set()),
    }
    head = (
        {"name": "envelope", "type": ENVELOPE_SCHEMA}
        if kind == "event"
        else {"name": "header", "type": HEADER_SCHEMA}
    )
    return {
        "type": "record",
        "name": name,
        "namespace": NAMESPACE,
        "doc": source["doc"],
        "fields": [head, {"name": "payload", "type": payload}],
    }


def _inlined(node: Any, types: dict[str, Any], seen: set[str]) -> Any:
    if isinstance(node, str) and node in types:
        if node in seen:
            return node
        seen.add(node)
        return _inlined(types[node], types, seen)
    if isinstance(node, dict):
        return {
            key: value if key in ("name", "doc", "default", "symbols") else _inlined(value, types, seen)
            for key, value in node.items()
        }
    if isinstance(node, list):
        return [_inlined(item, types, seen) for item in node]
    return node


def sources(folder: Path) -> dict[str, Source]:
    """Every record that the folder's sources describe: name → kind, topics, whole schema.

    Raises BadSource: a source is not JSON, is incomplete, or has a shape that is not allowed.
    """
    types = {f"{NAMESPACE}.{t['name']}": t for t in map(_load, sorted((folder / "types").glob("*.avsc")))}
    found: dict[str, Source] = {}
    kinds: tuple[RecordKind, RecordKind] = ("event", "message")
    for kind in kinds:
        for path in sorted((folder / f"{kind}s").glob("*.avsc")):
            if path.stem in found:
                raise BadSource(f"{path.stem} is both an event and a message; one name means one record")
            found[path.stem] = _source(path, kind, types)
    return found


def _source(path: Path, kind: RecordKind, types: dict[str, Any]) -> Source:
    source = _load(path)
    if source["name"] != path.stem:
        raise BadSource(f"{path.name} must hold a record named {path.stem}")
    for needed, meaning in (
        ("topics", "the topics it may be written to"),
        ("doc", "what it means to the business"),
        ("fields", "its payload's fields"),
    ):
        if not source.get(needed):
            raise BadSource(f'{path.name} must say {meaning}, in "{needed}"')
    schema = compose(source, kind, types)
    if problems := shape_problems(schema) or list(mark_problems(schema["fields"][1]["type"])):
        raise BadSource("\n".join(f"{path.name}: {problem}" for problem in problems))
    return kind, tuple(source["topics"]), schema


def _load(path: Path) -> dict[str, Any]:
    try:
        loaded = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise BadSource(f"{path} is not JSON: {error}") from error
    if not isinstance(loaded, dict) or not isinstance(loaded.get("name"), str):
        raise BadSource(f'{path} must hold one JSON object with a "name"')
    return loaded


def registered_rows(folder: Path) -> list[Registered]:
    """The rows of the folder's `ids.json`, none before the first freeze. Raises BadSource: not readable."""
    ids = folder / "ids.json"
    try:
        return msgspec.json.decode(ids.read_bytes(), type=list[Registered]) if ids.exists() else []
    except msgspec.DecodeError as error:
        raise BadSource(f"{ids} cannot be read ({error}); take it back from version control") from error


def kept_problems(folder: Path) -> list[str]:
    """What is wrong with what is registered: edited or lost files, ids given twice, broken versions."""
    rows = registered_rows(folder)
    problems = list(_id_problems(folder, rows))
    return problems or [*_version_problems(rows), *_history_problems(folder, rows)]


def _id_problems(folder: Path, rows: list[Registered]) -> Iterator[str]:
    names: dict[int, str] = {}
    for row in rows:
        if row.id in names:
            yield f"id {row.id} is given to {names[row.id]} and to {row.name}; an id is never used twice"
        names[row.id] = row.name
        path = _kept(folder, row.id)
        if not path.exists():
            yield f"{path} is missing; records with id {row.id} ({row.name}) could not be read any more"
        elif sha256(path.read_bytes()).hexdigest() != row.sha256:
            yield f"{path} was edited; restore it, and change the source of {row.name} instead"
    for path in sorted((folder / "registered").glob("*.avsc")):
        if not path.stem.isdigit() or int(path.stem) not in names:
            yield f"{path} has no row in ids.json; restore the row: its id may stand in written records"


def _version_problems(rows: list[Registered]) -> Iterator[str]:
    for name in dict.fromkeys(row.name for row in rows):
        own = sorted((row for row in rows if row.name == name), key=lambda row: row.id)
        if [row.version for row in own] != list(range(1, len(own) + 1)):
            versions = [row.version for row in own]
            yield f"{name}: versions {versions} do not count 1, 2, 3 … in the order of their ids"
        if len({row.kind for row in own}) > 1:
            yield f"{name}: an event cannot become a message, nor the other way round"


def _history_problems(folder: Path, rows: list[Registered]) -> Iterator[str]:
    for name in dict.fromkeys(row.name for row in rows):
        own = sorted((row for row in rows if row.name == name), key=lambda row: row.version)
        for at, row in enumerate(own):
            schema = _read(folder, row.id)
            yield from (f"{name} version {row.version}: {problem}" for problem in shape_problems(schema))
            yield from _breaks(folder, row, schema, own[:at])


def _breaks(
    folder: Path, row: Registered, schema: dict[str, Any], earlier: list[Registered]
) -> Iterator[str]:
    for old in earlier:
        for why in incompatibilities(schema, _read(folder, old.id)):
            yield f"{row.name} version {row.version} does not fit version {old.version} (id {old.id}): {why}"


def changes(folder: Path) -> list[tuple[Registered, dict[str, Any]]]:
    """What the sources say and the registered versions do not: the rows and schemas to keep, in order.

    A row whose id is registered already only gains topics. Raises BadSource: a change that would make records
    unreadable, in either direction, for any version; the text names record, field and version.
    """
    rows = registered_rows(folder)
    next_id = max((row.id for row in rows), default=_first_id(folder) - 1) + 1
    changed: list[tuple[Registered, dict[str, Any]]] = []
    for name, (kind, topics, schema) in sources(folder).items():
        earlier = sorted((row for row in rows if row.name == name), key=lambda row: row.version)
        row = _next_row(folder, earlier, next_id, (kind, topics, schema), name)
        if row is None:
            continue
        if row.id == next_id:
            _refuse_breaks(folder, row, schema, earlier)
            next_id += 1
        changed.append((row, schema))
    return changed


def _next_row(
    folder: Path, earlier: list[Registered], next_id: int, source: Source, name: str
) -> Registered | None:
    kind, topics, schema = source
    last = earlier[-1] if earlier else None
    if last and (gone := set(last.topics) - set(topics)):
        raise BadSource(
            f"{name} was written to {', '.join(sorted(gone))}: a topic can be added, not taken away"
        )
    if last and _read(folder, last.id) == schema:
        return msgspec.structs.replace(last, topics=topics) if last.topics != topics else None
    digest = sha256(_text(schema)).hexdigest()
    return Registered(next_id, name, kind, last.version + 1 if last else 1, topics, digest)


def _refuse_breaks(folder: Path, row: Registered, schema: dict[str, Any], earlier: list[Registered]) -> None:
    if earlier and earlier[-1].kind != row.kind:
        raise BadSource(f"{row.name} is registered as {earlier[-1].kind}; it cannot become a {row.kind}")
    if breaks := list(_breaks(folder, row, schema, earlier)):
        raise BadSource("\n".join(breaks))


def freeze(folder: Path) -> list[Registered]:
    """Registers what is new or changed, and gives the rows written. Raises BadSource: nothing was changed."""
    if problems := kept_problems(folder):
        raise BadSource("\n".join(problems))
    changed = changes(folder)
    rows = {row.id: row for row in registered_rows(folder)} | {row.id: row for row, _ in changed}
    (folder / "registered").mkdir(exist_ok=True)
    for row, schema in changed:
        if not _kept(folder, row.id).exists():
            _kept(folder, row.id).write_bytes(_text(schema))
    lines = ",\n".join(msgspec.json.encode(row).decode() for row in rows.values())
    (folder / "ids.json").write_text(f"[\n{lines}\n]\n")
    return [row for row, _ in changed]


def _first_id(folder: Path) -> int:
    first = folder / "first-id"
    return int(first.read_text()) if first.exists() else 1


def _kept(folder: Path, schema_id: int) -> Path:
    return folder / "registered" / f"{schema_id}.avsc"


def _read(folder: Path, schema_id: int) -> dict[str, Any]:
    schema: dict[str, Any] = orjson.loads(_kept(folder, schema_id).read_bytes())
    return schema


def _text(schema: dict[str, Any]) -> bytes:
    return orjson.dumps(schema, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def main() -> None:
    """The command line: freeze, or --check."""
    parser = argparse.ArgumentParser(prog="python -m neural_hive.schemas.freeze", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="change nothing; exit 1 if something would change or is broken"
    )
    parser.add_argument("--folder", type=Path, default=Path(catalogue.__file__).parent)
    options = parser.parse_args()
    try:
        sys.exit(_checked(options.folder) if options.check else _frozen(options.folder))
    except BadSource as error:
        sys.exit(f"schemas: {error}")


def _frozen(folder: Path) -> int:
    for row in freeze(folder):
        sys.stdout.write(f"{row.name} version {row.version} → id {row.id}, topics {', '.join(row.topics)}\n")
    return 0


def _checked(folder: Path) -> int:
    if problems := kept_problems(folder):
        raise BadSource("\n".join(problems))
    changed = changes(folder)
    for row, _ in changed:
        sys.stderr.write(f"{row.name} differs from what is registered; it would be version {row.version}\n")
    if changed:
        sys.stderr.write("schemas: run python -m neural_hive.schemas.freeze, and commit what it writes\n")
    return 1 if changed else 0


if __name__ == "__main__":
    main()
