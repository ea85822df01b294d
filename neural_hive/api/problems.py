"""Problem documents (RFC 9457): every error of the API is one, and none holds a traceback."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec
from starlette.responses import Response

MEDIA_TYPE: Final = "application/problem+json"
DETAIL_CHARS_MAX: Final = 4_000
ERRORS_MAX: Final = 50
_TYPE: Final = "urn:neural-hive:problem:"


class FieldProblem(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is wrong with one part of a request."""

    detail: str
    pointer: str = ""  # where: a JSON pointer into the body, or the parameter's name


class Problem(Exception):
    """An error as its caller is told of it. `kind` is the last word of the document's `type`."""

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        errors: Sequence[FieldProblem] = (),
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        """`members`: further ones of the document."""
        super().__init__(detail)
        self.status, self.kind, self.detail = status, kind, detail
        self.errors, self.headers, self.members = errors, dict(headers or {}), members

    def document(self, request_id: str = "") -> dict[str, Any]:
        """What stands in the body."""
        found: dict[str, Any] = {
            "type": f"{_TYPE}{self.kind}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail[:DETAIL_CHARS_MAX],
        }
        if request_id:
            found["instance"] = f"urn:neural-hive:request:{request_id}"
        if self.errors:
            found["errors"] = [msgspec.to_builtins(error) for error in self.errors[:ERRORS_MAX]]
        return found | self.members

    def response(self, request_id: str = "") -> Response:
        """The whole answer."""
        body = msgspec.json.encode(self.document(request_id), enc_hook=str)
        return Response(body, self.status, self.headers, MEDIA_TYPE)


class ProblemDocument(msgspec.Struct, frozen=True):
    """A problem document, as the reference describes it."""

    type: str
    title: str
    status: int
    detail: str
    instance: str = ""
    errors: tuple[FieldProblem, ...] = ()


def unprocessable(detail: str, errors: Sequence[FieldProblem] = ()) -> Problem:
    """The request has the form of one, and cannot be meant."""
    return Problem(422, "invalid", detail, errors=errors)


def not_found(what: str) -> Problem:
    """There is no such thing, or not yet: the tables follow the log."""
    return Problem(404, "not-found", f"there is no {what}, or the tables do not have it yet")


def unavailable(detail: str, retry_in_s: float = 2.0) -> Problem:
    """Something that the answer needs is away; the same request may succeed later."""
    return Problem(503, "unavailable", detail, headers={"Retry-After": str(max(round(retry_in_s), 1))})
