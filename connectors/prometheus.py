"""Prometheus' HTTP API, as far as it is asked here: the value of an expression at a time.

Servers that speak the same (Thanos, Mimir, VictoriaMetrics) are asked in the same way.
"""

from typing import Any, Final

import msgspec

from neural_hive.connectors.json_api import ApiAway, ApiRefused, JsonApi, told

_QUERY: Final = "/api/v1/query"
_OK: Final = 200
_REFUSED: Final = (400, 422)  # the expression cannot be read; it cannot be carried out


class Sample(msgspec.Struct, frozen=True):
    """One series at a time."""

    labels: dict[str, str]
    value: float  # may be NaN or infinite


class _Series(msgspec.Struct, frozen=True):
    metric: dict[str, str] = {}
    value: tuple[float, str] | None = None  # None: it is a histogram


class _Data(msgspec.Struct, frozen=True):
    resultType: str  # noqa: N815 (as the server calls it)
    result: msgspec.Raw


class _Answer(msgspec.Struct, frozen=True):
    status: str
    data: _Data | None = None
    errorType: str = ""  # noqa: N815 (as the server calls it)
    error: str = ""
    warnings: list[str] = []


class Prometheus:
    """One server; many threads may ask at once."""

    def __init__(self, api: JsonApi) -> None:
        self._api = api

    def query(self, promql: str, at: int) -> list[Sample]:
        """The value of an expression at a time, µs since 1970 UTC, of each series that it has one for.

        Raises ApiAway: no answer; ApiRefused: the expression is wrong, or its value is no number of each series, or the
        server warns that it may not be whole.
        """
        form = {
            "query": promql,
            "time": f"{at // 1_000_000}.{at % 1_000_000:06}",
            "timeout": f"{max(int(self._api.timeout_s * 1_000), 1)}ms",
        }
        answer = self._api.ask("POST", _QUERY, form=form)
        try:
            found = msgspec.json.decode(answer.body, type=_Answer)
        except (msgspec.DecodeError, RecursionError) as error:
            raise ApiAway(
                f"{self._api.name} answers {answer.status} and not as Prometheus does: {told(answer.body)}"
            ) from error
        if answer.status in _REFUSED:
            raise ApiRefused(f"{self._api.name} refuses {_short(promql)}: {told(found.error.encode())}")
        if answer.status != _OK or found.status != "success" or found.data is None:
            said = told((found.error or found.errorType).encode())
            raise ApiAway(f"{self._api.name} answers {answer.status} to {_short(promql)}: {said}")
        if found.warnings:
            warning = told(found.warnings[0].encode())
            raise ApiRefused(f"{self._api.name} warns that {_short(promql)} may not be whole: {warning}")
        try:
            return _samples(found.data)
        except (msgspec.DecodeError, ValueError) as error:
            raise ApiRefused(f"{_short(promql)} has no value that counts: {error}") from error

    def close(self) -> None:
        """Ends its connections."""
        self._api.close()


def _samples(data: _Data) -> list[Sample]:
    match data.resultType:
        case "vector":
            return [_sample(series) for series in msgspec.json.decode(data.result, type=list[_Series])]
        case "scalar":
            _, value = msgspec.json.decode(data.result, type=tuple[float, str])
            return [Sample({}, float(value))]
        case other:
            raise ValueError(f"it is a {other[:40]}, and must be one number for each series")


def _sample(series: _Series) -> Sample:
    if series.value is None:
        raise ValueError("it is a histogram: ask for its count, as in histogram_count(…)")
    return Sample(series.metric, float(series.value[1]))


def _short(promql: Any) -> str:
    return told(str(promql).encode())
