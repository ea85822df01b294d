"""Which problem an error is: those that were foreseen say what to do, all others only that they happened."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from neural_hive.api.problems import FieldProblem, Problem, unavailable, unprocessable
from neural_hive.connectors.clickhouse import ClickHouseError
from neural_hive.connectors.kafka_offsets import UnreadableLog
from neural_hive.connectors.publisher import TooLarge
from neural_hive.connectors.subject_keys import SubjectKeysUnusable
from neural_hive.explain import explained
from neural_hive.following import Unreachable
from neural_hive.plans import BadPlan
from neural_hive.schemas.codec import BadRecord
from neural_hive.sdk.breaker import CircuitOpen
from neural_hive.sdk.outcome import NoAnswerYet
from neural_hive.sdk.sender import BadToken
from neural_hive.sdk.views import BadCursor

_NOT_THERE: Final = (60, 81)  # UNKNOWN_TABLE, UNKNOWN_DATABASE
_INPUT_CHARS_MAX: Final = 200
log = structlog.get_logger()


def install(app: FastAPI) -> None:
    """Makes every error of the app's handlers a problem document."""
    app.add_exception_handler(Problem, _answer)
    app.add_exception_handler(HTTPException, _answer)
    app.add_exception_handler(RequestValidationError, _answer)  # what else is raised, edge.py answers


async def _answer(request: Request, error: Exception) -> Response:
    return problem_of(error).response(request_id_of(request.scope))


def request_id_of(scope: Any) -> str:
    """The id of a request, which stands in its answer and in the log."""
    return str(scope.get("state", {}).get("request_id", ""))


def problem_of(error: Exception) -> Problem:
    """The problem that an error is."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, RequestValidationError):
        return unprocessable("the request is not as it must be", _fields(error.errors()))
    if isinstance(error, HTTPException):
        return _of_http(error)
    for kind, make in _FORESEEN.items():
        if isinstance(error, kind):
            return make(error)
    if explained(error) is not None:  # a Kafka client's
        return unavailable(str(explained(error)))
    return Problem(500, "internal", "something went wrong that was not foreseen; the log of the API has more")


def _fields(errors: Sequence[Any]) -> list[FieldProblem]:
    return [FieldProblem(str(found["msg"]), _pointer(found["loc"])) for found in errors]


def _pointer(location: tuple[int | str, ...]) -> str:
    where, *path = (str(part).replace("~", "~0").replace("/", "~1") for part in location)
    text = "".join(f"/{part}" for part in path)
    return (text if where == "body" else text.lstrip("/"))[:_INPUT_CHARS_MAX]


def _of_http(error: HTTPException) -> Problem:
    headers = dict(error.headers or {})
    kinds = {404: "no-such-path", 405: "method-not-allowed", 413: "too-large"}
    detail = str(error.detail)
    if error.status_code == 404:
        detail = "there is no such path; /openapi.json names them all"
    elif error.status_code == 405:
        detail = f"this path takes {headers.get('Allow', headers.get('allow', 'other methods'))}"
    return Problem(error.status_code, kinds.get(error.status_code, "bad-request"), detail, headers=headers)


def _of_clickhouse(error: Exception) -> Problem:
    assert isinstance(error, ClickHouseError)
    if error.is_passing:
        return unavailable(str(error))
    if error.code in _NOT_THERE:
        return unavailable("the tables are not there yet: does the projector run?")
    log.error("clickhouse_refused", code=error.code, why=str(error)[:1_000])
    return Problem(500, "internal", f"ClickHouse refused a query of the API (code {error.code})")


def _of_open_circuit(error: Exception) -> Problem:
    assert isinstance(error, CircuitOpen)
    return unavailable(str(error), error.retry_in_s)


def _of_plan(error: Exception) -> Problem:
    assert isinstance(error, BadPlan)
    return unprocessable("the plan cannot be carried out", [FieldProblem(line) for line in error.errors])


_FORESEEN: Final[dict[type[Exception], Callable[[Exception], Problem]]] = {
    CircuitOpen: _of_open_circuit,
    Unreachable: lambda error: unavailable(str(error)),
    UnreadableLog: lambda error: unavailable(str(error)),
    NoAnswerYet: lambda error: unavailable(str(error), 1),
    SubjectKeysUnusable: lambda error: unavailable(str(error)),
    ClickHouseError: _of_clickhouse,
    BadPlan: _of_plan,
    TooLarge: lambda error: Problem(413, "too-large", str(error)),
    BadRecord: lambda error: unprocessable(str(error)),
    BadToken: lambda error: unprocessable(str(error)),
    BadCursor: lambda error: unprocessable(str(error)),
}
