"""The reference as a page, made from the OpenAPI document: in HTML without scripts, and in Markdown.

`python -m neural_hive.api.reference > docs/api-reference.md` makes the one of the documentation anew.
"""

import itertools
import sys
from collections.abc import Iterator
from html import escape
from typing import Any, Final

import msgspec

_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}"
    "code{font-family:ui-monospace,monospace}table{border-collapse:collapse;width:100%}"
    "td,th{text-align:left;padding:.2rem .6rem;border-bottom:1px solid #8884;vertical-align:top}"
)


class Operation(msgspec.Struct, frozen=True):
    """One route, as the reference tells of it."""

    method: str
    path: str
    tag: str
    text: str
    roles: tuple[str, ...]
    is_open: bool
    ticket_action: str
    parameters: tuple[tuple[str, str, str, str], ...]  # name, where, type, description
    body: str  # "" if it takes none
    answers: tuple[tuple[str, str, str], ...]  # status, type, description


def operations(document: dict[str, Any]) -> Iterator[Operation]:
    """The routes of an OpenAPI document, in its order."""
    for path, methods in document["paths"].items():
        for method, found in methods.items():
            yield Operation(
                method.upper(),
                path,
                (found.get("tags") or ["other"])[0],
                " ".join(found.get("description", found.get("summary", "")).split()),
                tuple(found.get("x-roles", ())),
                not found.get("security"),
                found.get("x-ticket-action", ""),
                tuple(_parameter(parameter) for parameter in found.get("parameters", ())),
                _type_of_content(found.get("requestBody", {})),
                tuple(
                    (status, _type_of_content(answer), " ".join(answer.get("description", "").split()))
                    for status, answer in sorted(found["responses"].items())
                ),
            )


def type_text(schema: dict[str, Any]) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return " or ".join(dict.fromkeys(type_text(option) for option in schema[word]))
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    if schema.get("type") == "array":
        return f"list of {type_text(schema.get('items', {}))}"
    extra = schema.get("additionalProperties")
    if schema.get("type") == "object" and isinstance(extra, dict):
        return f"object of {type_text(extra)}"
    return str(schema.get("format") or schema.get("type") or "any")


def markdown(document: dict[str, Any]) -> str:
    """The whole reference in Markdown."""
    parts = [
        "# The API's reference",
        f"Generated from the code by `python -m neural_hive.api.reference`. {document['info']['description']} "
        "How to begin: [api.md](api.md).",
    ]
    for tag, found in itertools.groupby(operations(document), lambda operation: operation.tag):
        parts.append(f"## {tag[0].upper()}{tag[1:]}")
        parts += [_markdown_of(operation) for operation in found]
    parts.append("## Types")
    parts += [
        _markdown_of_type(name, found) for name, found in sorted(document["components"]["schemas"].items())
    ]
    return "\n\n".join(parts) + "\n"


def _markdown_of(operation: Operation) -> str:
    rows = [f"| `{name}` | {where}: {kind} | {text} |" for name, where, kind, text in operation.parameters]
    rows += [f"| body | {operation.body} | |"] if operation.body else []
    rows += [f"| {status} | {kind} | {text} |" for status, kind, text in operation.answers]
    return (
        f"### `{operation.method} {operation.path}`\n\n{operation.text} {_who(operation)}\n\n"
        "| | | |\n|---|---|---|\n" + "\n".join(rows)
    )


def _markdown_of_type(name: str, schema: dict[str, Any]) -> str:
    rows = []
    for field, found in schema.get("properties", {}).items():
        needed = "" if field in schema.get("required", ()) else "may be left out"
        rows.append(
            f"| `{field}` | {type_text(found)} | {' '.join((found.get('description') or needed).split())} |"
        )
    table = "\n\n| | | |\n|---|---|---|\n" + "\n".join(rows) if rows else f"\n\n{type_text(schema)}"
    return f"### {name}\n\n{' '.join(schema.get('description', '').split())}{table}"


def _who(operation: Operation) -> str:
    if operation.is_open:
        return "Open to all."
    ticket = f"; the ticket's token for `{operation.ticket_action}`" if operation.ticket_action else ""
    return f"For: {', '.join(operation.roles)}{ticket}."


def page(document: dict[str, Any]) -> str:
    """The whole reference in HTML."""
    info = document["info"]
    parts = [
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{escape(info['description'])}</p>"
    ]
    parts.append('<p>For machines: <a href="openapi.json">openapi.json</a></p>')
    parts += [_section(operation) for operation in operations(document)]
    head = f"<meta charset=utf-8><title>{escape(info['title'])}: API</title><style>{_STYLE}</style>"
    return f"<!doctype html><html lang=en><head>{head}</head><body>{''.join(parts)}</body></html>"


def _section(operation: Operation) -> str:
    rows = [("takes", name, kind, text) for name, _, kind, text in operation.parameters]
    rows += [("body", "", operation.body, "")] if operation.body else []
    rows += [("answers", status, kind, text) for status, kind, text in operation.answers]
    table = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    head = f"<h2><code>{operation.method} {escape(operation.path)}</code></h2>"
    return f"{head}<p>{escape(operation.text)}</p><p>{escape(_who(operation))}</p><table>{table}</table>"


def _parameter(found: dict[str, Any]) -> tuple[str, str, str, str]:
    return found["name"], found["in"], type_text(found.get("schema", {})), found.get("description", "")


def _type_of_content(found: dict[str, Any]) -> str:
    kinds = [type_text(content.get("schema", {})) for content in found.get("content", {}).values()]
    return " or ".join(dict.fromkeys(kinds))


if __name__ == "__main__":
    from neural_hive.api.openapi import describe
    from neural_hive.api.routes import ROUTES

    sys.stdout.write(markdown(describe(ROUTES)))
