"""Composes the sources with envelope and header, and keeps every version for ever under a fixed id.

`python -m neural_hive.schemas.freeze` registers what is new or changed; `--check` only says what would be.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import msgspec
import orjson

from neural_hive.schemas import catalogue
from neural_hive.schemas.catalogue import RecordKind, Registered
from neural_hive.schemas.envelope import ENVELOPE_SCHEMA, HEADER_SCHEMA, NAMESPACE


class BadSource(ValueError):
    """A source file that cannot become a schema; the text says why."""


def compose(source: dict[str, Any], kind: RecordKind, types: dict[str, Any]) -> dict[str, Any]:
    """The whole record of a payload source: envelope or header first, shared types written out where first used."""
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


def sources(folder: Path) -> dict[str, tuple[RecordKind, tuple[str, ...], dict[str, Any]]]:
    """Every record that the folder's sources describe: name → kind, topics, whole schema."""
    types = {f"{NAMESPACE}.{t['name']}": t for t in map(_load, sorted((folder / "types").glob("*.avsc")))}
    found: dict[str, tuple[RecordKind, tuple[str, ...], dict[str, Any]]] = {}
    kinds: tuple[RecordKind, RecordKind] = ("event", "message")
    for kind in kinds:
        for path in sorted((folder / f"{kind}s").glob("*.avsc")):
            source = _load(path)
            if source.get("name") != path.stem:
                raise BadSource(f"{path.name} must hold a record named {path.stem}")
            if not source.get("topics"):
                raise BadSource(f"{path.name} must name the topics it may be written to")
            found[path.stem] = (kind, tuple(source["topics"]), compose(source, kind, types))
    return found


def _load(path: Path) -> dict[str, Any]:
    try:
        loaded: dict[str, Any] = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise BadSource(f"{path} is not JSON: {error}") from error
    return loaded


def changes(folder: Path) -> list[tuple[Registered, dict[str, Any]]]:
    """What the sources say and the registered versions do not: the rows and schemas to add, in order."""
    ids = folder / "ids.json"
    rows = msgspec.json.decode(ids.read_bytes(), type=list[Registered]) if ids.exists() else []
    newest = {row.name: row for row in sorted(rows, key=lambda row: row.version)}
    next_id = max((row.id for row in rows), default=_first_id(folder) - 1) + 1
    added: list[tuple[Registered, dict[str, Any]]] = []
    for name, (kind, topics, schema) in sources(folder).items():
        last = newest.get(name)
        if last and orjson.loads((folder / "registered" / f"{last.id}.avsc").read_bytes()) == schema:
            continue
        added.append((Registered(next_id, name, kind, last.version + 1 if last else 1, topics), schema))
        next_id += 1
    return added


def _first_id(folder: Path) -> int:
    first = folder / "first-id"
    return int(first.read_text()) if first.exists() else 1


def main() -> None:
    """The command line: freeze, or --check."""
    parser = argparse.ArgumentParser(prog="python -m neural_hive.schemas.freeze", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="change nothing; exit 1 if something would change"
    )
    parser.add_argument("--folder", type=Path, default=Path(catalogue.__file__).parent)
    options = parser.parse_args()
    folder: Path = options.folder
    added = changes(folder)
    for row, _ in added:
        sys.stdout.write(f"{row.name} version {row.version} → id {row.id}\n")
    if options.check:
        sys.exit(1 if added else 0)
    (folder / "registered").mkdir(exist_ok=True)
    ids = folder / "ids.json"
    rows = msgspec.json.decode(ids.read_bytes(), type=list[Registered]) if ids.exists() else []
    for row, schema in added:
        text = orjson.dumps(schema, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        (folder / "registered" / f"{row.id}.avsc").write_bytes(text)
    lines = ",\n".join(msgspec.json.encode(row).decode() for row in (*rows, *(row for row, _ in added)))
    ids.write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
