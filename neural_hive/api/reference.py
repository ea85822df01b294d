"""The reference as a page: made from the OpenAPI document, without scripts and without anything from elsewhere."""

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
    who = "open to all" if operation.is_open else "roles: " + ", ".join(operation.roles)
    head = f"<h2><code>{operation.method} {escape(operation.path)}</code></h2>"
    return f"{head}<p>{escape(operation.text)}</p><p>{escape(who)}</p><table>{table}</table>"


def _parameter(found: dict[str, Any]) -> tuple[str, str, str, str]:
    return found["name"], found["in"], type_text(found.get("schema", {})), found.get("description", "")


def _type_of_content(found: dict[str, Any]) -> str:
    kinds = [type_text(content.get("schema", {})) for content in found.get("content", {}).values()]
    return " or ".join(dict.fromkeys(kinds))
