"""The REST API of Confluent's Schema Registry, for Avro, over the topic `_schemas`.

For one machine: clients, serialisers and tools that speak to a real registry speak to this one. What it does not
have: schema references, JSON Schema and Protobuf, contexts, rules, and deleting for ever (records may carry the
schema; a soft delete hides it). Each is refused with the API's error form.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import orjson
from confluent_kafka import KafkaException
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from neural_hive.connectors.schema_log import SchemaLog, SchemaTopicWrong, WriterFenced
from neural_hive.connectors.schema_subjects import (
    LEVELS,
    MODES,
    SCHEMA_BYTES_MAX,
    Record,
    Refused,
    Subjects,
    Version,
    canonical,
    config_record,
    mode_record,
)

BODY_BYTES_MAX: Final = 2 * SCHEMA_BYTES_MAX
MEDIA_TYPE: Final = "application/vnd.schemaregistry.v1+json"
PAGE_MAX: Final = 1_000

Answer = Callable[["Registry", Request], Awaitable[Any]]


class Registry:
    """State, store and lock: one change at a time, written before it is known."""

    def __init__(self, log: SchemaLog, on_fenced: Callable[[], None]) -> None:
        self._log, self._on_fenced = log, on_fenced
        self.changing = asyncio.Lock()
        self.state = self._folded()
        self.ready = True
        self._fenced = False

    def _folded(self) -> Subjects:
        state = Subjects()
        for key, value in self._log.records():
            try:
                state.apply(key, value)
            except (KeyError, TypeError, ValueError) as error:
                raise SchemaTopicWrong(
                    f"record {key} of the schema topic is not a registry's: {error!r}"
                ) from error
        return state

    async def write(self, *records: Record) -> None:
        """Commits records and applies them. Call with the lock held. Raises Refused: not stored."""
        await self.recover()
        try:
            await asyncio.to_thread(self._log.append, list(records))
        except WriterFenced as error:
            self.ready = False
            self._fenced = True
            self._on_fenced()
            raise Refused(500, 50003, f"Not the writer any more: {error}") from error
        except KafkaException as error:
            self.ready = False
            raise Refused(500, 50001, f"Error in the backend data store: {error}") from error
        for key, value in records:
            self.state.apply(key, value)

    async def recover(self) -> None:
        """After a failed write: a new writer, and the state as the topic says. Call with the lock held."""
        if self._fenced:
            raise Refused(500, 50003, "Another schema registry writes to the topic now")
        if not self.ready:
            await asyncio.to_thread(self._recover)

    def _recover(self) -> None:
        try:
            self._log.reopen()
            self.state = self._folded()
        except (KafkaException, RuntimeError) as error:
            raise Refused(500, 50001, f"Error in the backend data store: {error}") from error
        self.ready = True


def application(registry: Registry) -> Starlette:
    """The API as an ASGI application."""

    def handler(answer: Answer) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            try:
                return _json(await answer(registry, request))
            except Refused as refused:
                return _json({"error_code": refused.code, "message": refused.text}, refused.status)

        return handle

    routes = [
        Route(path, handler(answer), methods=[method])
        for path, methods in _ROUTES.items()
        for method, answer in methods.items()
    ]
    return Starlette(routes=routes, exception_handlers={HTTPException: _http_error, Exception: _http_error})


def _json(content: Any, status: int = 200) -> Response:
    if isinstance(content, Response):
        return content
    return Response(orjson.dumps(content), status, media_type=MEDIA_TYPE)


async def _http_error(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    text = error.detail if isinstance(error, HTTPException) else "Internal Server Error"
    return _json({"error_code": status, "message": f"HTTP {status} {text}"}, status)


async def _body(request: Request) -> dict[str, Any]:
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > BODY_BYTES_MAX:
            raise Refused(413, 413, f"The request has more than {BODY_BYTES_MAX} bytes")
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise Refused(400, 400, f"The request is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise Refused(400, 400, "The request must be a JSON object")
    return body


async def _schema(request: Request) -> tuple[str, dict[str, Any]]:
    body = await _body(request)
    if body.get("schemaType") not in (None, "", "AVRO"):
        raise Refused(422, 42201, f"Invalid schema: type {body['schemaType']} is not supported, only AVRO")
    if body.get("references"):
        raise Refused(422, 42201, "Invalid schema: references are not supported; write the types out")
    return canonical(body.get("schema")), body


def _flag(request: Request, name: str) -> bool:
    return request.query_params.get(name, "").lower() == "true"


def _number(body: dict[str, Any], name: str) -> int | None:
    value = body.get(name)
    if value in (None, -1, 0):
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**31:
        raise Refused(422, 42202, f"{name} must be a number from 1 to {2**31 - 1}")
    return value


def _id(request: Request) -> int:
    text = request.path_params["id"]
    if not text.isdecimal() or int(text) >= 2**31:
        raise Refused(404, 40403, f"Schema {text} not found")
    return int(text)


def _told(version: Version) -> dict[str, Any]:
    return {
        "subject": version.subject,
        "version": version.version,
        "id": version.id,
        "schema": version.schema,
    }


async def _root(_registry: Registry, _request: Request) -> Any:
    return {}


async def _ready(registry: Registry, _request: Request) -> Any:
    if registry.ready:
        return {"ready": True}
    try:
        async with registry.changing:
            await registry.recover()
    except Refused as refused:
        return _json({"ready": False, "reason": refused.text}, 503)
    return {"ready": True}


async def _types(_registry: Registry, _request: Request) -> Any:
    return ["AVRO"]


async def _contexts(_registry: Registry, _request: Request) -> Any:
    return ["."]


async def _subjects(registry: Registry, request: Request) -> Any:
    prefix = request.query_params.get("subjectPrefix", "").removeprefix(":*:")
    names = registry.state.names(deleted=_flag(request, "deleted"))
    return [name for name in names if name.startswith(prefix)]


async def _schemas(registry: Registry, request: Request) -> Any:
    """All versions of all subjects, in pages."""
    prefix, deleted = (
        request.query_params.get("subjectPrefix", "").removeprefix(":*:"),
        _flag(request, "deleted"),
    )
    found: list[Version] = []
    for name in registry.state.names(deleted=deleted):
        if name.startswith(prefix):
            own = registry.state.versions(name, deleted=deleted)
            found += own[-1:] if _flag(request, "latestOnly") else own
    first, limit = (request.query_params.get(name, "-1") for name in ("offset", "limit"))
    start = int(first) if first.isdecimal() else 0
    count = min(int(limit), PAGE_MAX) if limit.isdecimal() else PAGE_MAX
    return [_told(version) for version in found[start : start + count]]


async def _by_id(registry: Registry, request: Request) -> Any:
    answer: dict[str, Any] = {"schema": registry.state.schema(_id(request))}
    if _flag(request, "fetchMaxId"):
        answer["maxId"] = registry.state.id_max()
    return answer


async def _text_by_id(registry: Registry, request: Request) -> Any:
    return Response(registry.state.schema(_id(request)), media_type=MEDIA_TYPE)


async def _subjects_of_id(registry: Registry, request: Request) -> Any:
    uses = registry.state.uses(_id(request), deleted=_flag(request, "deleted"))
    return list(dict.fromkeys(version.subject for version in uses))


async def _versions_of_id(registry: Registry, request: Request) -> Any:
    uses = registry.state.uses(_id(request), deleted=_flag(request, "deleted"))
    return [{"subject": version.subject, "version": version.version} for version in uses]


async def _versions(registry: Registry, request: Request) -> Any:
    found = registry.state.existing(request.path_params["subject"], deleted=_flag(request, "deleted"))
    return [version.version for version in found]


def _asked(registry: Registry, request: Request) -> Version:
    subject, number = request.path_params["subject"], request.path_params["version"]
    return registry.state.version(subject, number, deleted=_flag(request, "deleted"))


async def _version(registry: Registry, request: Request) -> Any:
    return _told(_asked(registry, request))


async def _text_of_version(registry: Registry, request: Request) -> Any:
    return Response(_asked(registry, request).schema, media_type=MEDIA_TYPE)


async def _referenced_by(registry: Registry, request: Request) -> Any:
    _asked(registry, request)
    return []


async def _lookup(registry: Registry, request: Request) -> Any:
    text, _ = await _schema(request)
    return _told(
        registry.state.lookup(request.path_params["subject"], text, deleted=_flag(request, "deleted"))
    )


async def _register(registry: Registry, request: Request) -> Any:
    text, body = await _schema(request)
    subject = request.path_params["subject"]
    schema_id, number = _number(body, "id"), _number(body, "version")
    async with registry.changing:
        version = registry.state.registration(subject, text, schema_id, number)
        if version is None:
            return {"id": registry.state.lookup(subject, text).id}
        await registry.write(version.record())
    return {"id": version.id}


def _no_hard_delete(request: Request) -> None:
    if _flag(request, "permanent"):
        raise Refused(422, 42205, "Schemas are not deleted for ever: written records may carry them")


async def _delete_version(registry: Registry, request: Request) -> Any:
    _no_hard_delete(request)
    async with registry.changing:
        version = _asked(registry, request)
        key, value = version.record()
        await registry.write((key, (value or {}) | {"deleted": True}))
    return version.version


async def _delete_subject(registry: Registry, request: Request) -> Any:
    _no_hard_delete(request)
    subject = request.path_params["subject"]
    async with registry.changing:
        found = registry.state.existing(subject)
        key = {"keytype": "DELETE_SUBJECT", "subject": subject, "magic": 0}
        await registry.write((key, {"subject": subject, "version": found[-1].version}))
    return [version.version for version in found]


async def _compatible(registry: Registry, request: Request) -> Any:
    text, _ = await _schema(request)
    subject = request.path_params["subject"]
    one = [_asked(registry, request)] if "version" in request.path_params else None
    why = registry.state.breaks(subject, text, one)
    return {"is_compatible": not why} | ({"messages": why} if _flag(request, "verbose") else {})


async def _level(registry: Registry, request: Request) -> Any:
    subject = request.path_params.get("subject")
    return {"compatibilityLevel": registry.state.level(subject, default=_flag(request, "defaultToGlobal"))}


async def _set_level(registry: Registry, request: Request) -> Any:
    body = await _body(request)
    level = str(body.get("compatibility", "")).upper()
    if level not in LEVELS:
        raise Refused(
            422, 42203, f"Invalid compatibility level. Valid values are {', '.join(sorted(LEVELS))}"
        )
    async with registry.changing:
        await registry.write(config_record(request.path_params.get("subject"), level))
    return {"compatibility": level}


async def _delete_level(registry: Registry, request: Request) -> Any:
    subject = request.path_params.get("subject")
    async with registry.changing:
        before = registry.state.level(subject, default=False)
        await registry.write(config_record(subject, None))
    return {"compatibilityLevel": before}


async def _mode(registry: Registry, request: Request) -> Any:
    subject = request.path_params.get("subject")
    return {"mode": registry.state.mode(subject, default=_flag(request, "defaultToGlobal"))}


async def _set_mode(registry: Registry, request: Request) -> Any:
    mode = str((await _body(request)).get("mode", "")).upper()
    subject = request.path_params.get("subject")
    if mode not in MODES:
        raise Refused(422, 42204, f"Invalid mode. Valid values are {', '.join(sorted(MODES))}")
    async with registry.changing:
        names = registry.state.names() if subject is None else [subject]
        used = any(registry.state.versions(name) for name in names)
        if mode == "IMPORT" and used and not _flag(request, "force"):
            raise Refused(
                422, 42205, "Cannot import since found existing subjects; force=true does it anyway"
            )
        await registry.write(mode_record(subject, mode))
    return {"mode": mode}


async def _delete_mode(registry: Registry, request: Request) -> Any:
    subject = request.path_params.get("subject")
    async with registry.changing:
        before = registry.state.mode(subject, default=False)
        await registry.write(mode_record(subject, None))
    return {"mode": before}


_SUBJECT: Final = "/subjects/{subject}"
_VERSION: Final = _SUBJECT + "/versions/{version}"
_ROUTES: Final[dict[str, dict[str, Answer]]] = {
    "/": {"GET": _root},
    "/ready": {"GET": _ready},
    "/contexts": {"GET": _contexts},
    "/schemas": {"GET": _schemas},
    "/schemas/types": {"GET": _types},
    "/schemas/ids/{id}": {"GET": _by_id},
    "/schemas/ids/{id}/schema": {"GET": _text_by_id},
    "/schemas/ids/{id}/subjects": {"GET": _subjects_of_id},
    "/schemas/ids/{id}/versions": {"GET": _versions_of_id},
    "/subjects": {"GET": _subjects},
    _SUBJECT: {"POST": _lookup, "DELETE": _delete_subject},
    _SUBJECT + "/versions": {"GET": _versions, "POST": _register},
    _VERSION: {"GET": _version, "DELETE": _delete_version},
    _VERSION + "/schema": {"GET": _text_of_version},
    _VERSION + "/referencedby": {"GET": _referenced_by},
    "/compatibility" + _VERSION: {"POST": _compatible},
    "/compatibility" + _SUBJECT + "/versions": {"POST": _compatible},
    "/config": {"GET": _level, "PUT": _set_level, "DELETE": _delete_level},
    "/config/{subject}": {"GET": _level, "PUT": _set_level, "DELETE": _delete_level},
    "/mode": {"GET": _mode, "PUT": _set_mode, "DELETE": _delete_mode},
    "/mode/{subject}": {"GET": _mode, "PUT": _set_mode, "DELETE": _delete_mode},
}
