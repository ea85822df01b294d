"""Answers: JSON of the SDK's own types, with an ETag; and how the reference tells of them."""

from hashlib import sha256
from typing import Any, Final
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from neural_hive.api.pending import READ_AFTER
from neural_hive.api.problems import Problem, ProblemDocument
from neural_hive.sdk.outcome import Outcome, Verdict
from neural_hive.sdk.sender import Token

MEDIA_TYPE: Final = "application/json"
_PRINTABLE: Final = "".join(map(chr, range(0x20, 0x7F)))
_OF_TOKEN: Final = _PRINTABLE.translate(str.maketrans("", "", "%?#"))  # in an address, as it is
_REFUSED: Final = {Verdict.REFUSED: "refused", Verdict.DEAD_LETTER: "dead-letter"}


class Written(msgspec.Struct, frozen=True):
    """What became of what was asked for. PUBLISHED: it is in the log, and not known yet; look at `outcome`."""

    message_id: str
    status: str  # PUBLISHED, ACCEPTED, NOTHING_NEW
    outcome: str  # path: what became of it
    resource: str  # path: what it is about
    events: tuple[str, ...] = ()  # types of events that it has caused
    event_count: int = 0


def answered(request: Request, value: Any, status: int = 200) -> Response:
    """The answer, with persons as the caller may know them; 304 without a body if the caller has it already."""
    body, etag = _encoded(request, value)
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if request.method == "GET" and known & {etag, "*"}:
        return Response(status_code=304, headers={"ETag": etag})
    return Response(body, status, {"ETag": etag}, MEDIA_TYPE)


def etag_of(request: Request, value: Any) -> str:
    """The ETag that an answer with this value would have for this caller."""
    return _encoded(request, value)[1]


def _encoded(request: Request, value: Any) -> tuple[bytes, str]:
    value = request.app.state.services.named(value, request.state.identity)
    body = msgspec.json.encode(value, enc_hook=str)
    return body, f'"{sha256(body).hexdigest()[:32]}"'


def written(token: Token, outcome: Outcome | None, resource: str, created: bool = False) -> Response:
    """The answer to a write. Raises Problem: it was refused, or became a dead letter."""
    where = f"/api/v1/outcomes/{quote(str(token), safe=_OF_TOKEN)}"
    headers = {READ_AFTER: str(token), "Location": quote(resource, safe=_PRINTABLE)}
    if outcome is None:
        told = Written(token.message_id, "PUBLISHED", where, resource)
        return _written(told, 202, headers | {"Location": where})
    names = tuple(dict.fromkeys(event.event_type for event in outcome.events))
    if not outcome.is_accepted:
        raise Problem(
            409,
            _REFUSED[outcome.verdict],
            outcome.reason or "it was refused",
            headers=headers,
            message_id=token.message_id,
            outcome=where,
            events=names,
        )
    told = Written(token.message_id, outcome.verdict.value, where, resource, names, outcome.event_count)
    return _written(told, 201 if created and outcome.verdict is Verdict.ACCEPTED else 200, headers)


def _written(told: Written, status: int, headers: dict[str, str]) -> Response:
    return Response(msgspec.json.encode(told), status, headers, MEDIA_TYPE)


KINDS: Final[dict[str, Any]] = {}
"""What the reference must describe, by name."""


def told(*kinds: Any, status: int = 200, description: str = "As asked for") -> dict[int | str, Any]:
    """What the reference says of a route's answers: `responses=told(TicketInfo)`; of several types one."""
    refs = [{"$ref": f"#/components/schemas/{_name(found)}"} for found in kinds]
    schema = refs[0] if len(refs) == 1 else {"oneOf": refs}
    return {status: {"description": description, "content": {MEDIA_TYPE: {"schema": schema}}}}


WRITTEN: Final = {
    200: "It is so now, or was so already",
    201: "It is there now",
    202: "It is in the log; what became of it is told where `Location` says",
    409: "It was refused; the reason is in `detail`",
}


def told_written(*statuses: int) -> dict[int | str, Any]:
    """What the reference says of the answers to a write."""
    found: dict[int | str, Any] = {}
    for status in (*statuses, 202):
        found |= told(Written, status=status, description=WRITTEN[status])
    return found | problem(409, WRITTEN[409])


def problem(status: int, description: str) -> dict[int | str, Any]:
    """What the reference says of an error."""
    _name(ProblemDocument)
    schema = {"$ref": "#/components/schemas/ProblemDocument"}
    return {status: {"description": description, "content": {"application/problem+json": {"schema": schema}}}}


def _name(kind: Any) -> str:
    schema, _ = msgspec.json.schema_components([kind], ref_template="{name}")
    name = str(schema[0]["$ref"])
    assert KINDS.setdefault(name, kind) == kind, f"two types are called {name}"
    return name
