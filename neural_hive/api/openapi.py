"""The reference: FastAPI's, with the types of answers and what each route takes of who asks."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, Final

import msgspec
from fastapi.openapi.utils import get_openapi
from starlette.routing import BaseRoute

from neural_hive.api.answers import KINDS, problem
from neural_hive.api.permissions import PERMISSIONS

TITLE: Final = "Neural Hive"
DESCRIPTION: Final = (
    "Publish plans, watch them become done work, look back. Every error is a problem document (RFC 9457). "
    "Whoever asks sends `Authorization: Bearer` with an API key, or with a token of the identity provider."
)
_SCHEME: Final = "bearer"


def describe(routes: Sequence[BaseRoute]) -> dict[str, Any]:
    """The OpenAPI document."""
    document = get_openapi(
        title=TITLE, version=version("neural-hive"), description=DESCRIPTION, routes=routes
    )
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    _, own = msgspec.json.schema_components(KINDS.values(), ref_template="#/components/schemas/{name}")
    for name, schema in own.items():
        assert _is_same(schemas.setdefault(name, schema), schema), f"two schemas are called {name}"
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    components["securitySchemes"] = {_SCHEME: {"type": "http", "scheme": "bearer"}}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            _permit(method.upper(), path, operation)
    return document


def _is_same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether they describe the same; of an enum only its values count, which both libraries have from one class."""
    if "enum" in one and "enum" in other:
        return set(one["enum"]) == set(other["enum"])
    return one == other


def _permit(method: str, path: str, operation: dict[str, Any]) -> None:
    permission = PERMISSIONS[method, path]
    answers = operation["responses"]
    if "422" in answers:
        answers |= {str(status): told for status, told in problem(422, "The request cannot be meant").items()}
    if "requestBody" in operation:
        for status, why in ((400, "The body is no JSON"), (413, "The body is too large")):
            for told_status, told in problem(status, why).items():
                answers.setdefault(str(told_status), told)
    if permission.is_open:
        operation["security"] = []
        return
    operation["security"] = [{_SCHEME: []}]
    operation["x-roles"] = sorted(permission.roles)
    if permission.ticket_action:
        operation["x-ticket-action"] = permission.ticket_action
    for status, why in ((401, "Nobody knows who asks"), (403, "They may not"), (429, "Too often")):
        answers |= {str(status): told for status, told in problem(status, why).items()}
