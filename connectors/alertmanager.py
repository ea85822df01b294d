"""Alertmanager's HTTP API, version 2: which alerts there are, what shall be one, and silences, which let some of them
not be told.

alertmanager = Alertmanager(JsonApi("Alertmanager", "http://127.0.0.1:9093"))
alertmanager.alerts(['slo="checkout"'], silenced=False)
alertmanager.silence([Matcher("slo", "checkout")], starts_at, ends_at, "sla", "deploys are frozen")
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, TypeVar
from uuid import UUID

import msgspec

from neural_hive.connectors.json_api import Answer, ApiAway, ApiRefused, JsonApi, told

_API: Final = "/api/v2"
_OK: Final = 200
_REFUSED: Final = (400, 404, 422)
_NO_SILENCE: Final = b"silence not found"  # said with 404; until 0.25 with 500; later with nothing but 404
_Found = TypeVar("_Found")


class NoSuchSilence(ApiRefused):
    """There is no silence with this id."""


class _FromApi(msgspec.Struct, frozen=True, rename="camel"):
    pass


class Matcher(_FromApi, frozen=True):
    """Which alerts: those whose label has a value."""

    name: str
    value: str
    is_regex: bool = False
    is_equal: bool = True  # False: those whose label has another value


class AlertStatus(_FromApi, frozen=True):
    """Whether an alert is told to anybody, and by which silences and other alerts it is not."""

    state: str  # active, suppressed or unprocessed
    silenced_by: tuple[str, ...] = ()
    inhibited_by: tuple[str, ...] = ()


class Alert(_FromApi, frozen=True):
    """An alert as Alertmanager has it."""

    labels: dict[str, str]
    annotations: dict[str, str]
    fingerprint: str
    starts_at: datetime
    ends_at: datetime
    updated_at: datetime
    status: AlertStatus
    generator_url: str = msgspec.field(default="", name="generatorURL")


class FiringAlert(_FromApi, frozen=True):
    """An alert that Alertmanager is told of. What its labels say together is which alert it is."""

    labels: dict[str, str]  # among them alertname
    annotations: dict[str, str]
    starts_at: datetime
    ends_at: datetime  # when it takes it for over if it is not told again; in the past: it is over
    generator_url: str = msgspec.field(default="", name="generatorURL")


class SilenceStatus(_FromApi, frozen=True):
    """Whether a silence holds."""

    state: str  # active, pending or expired


class Silence(_FromApi, frozen=True):
    """A time in which some alerts are not told."""

    id: str
    matchers: tuple[Matcher, ...]
    starts_at: datetime
    ends_at: datetime
    created_by: str
    comment: str
    status: SilenceStatus


class _Made(msgspec.Struct, frozen=True):
    silenceID: str  # noqa: N815 (as the server calls it)


class Alertmanager:
    """One server; many threads may ask at once. All methods raise ApiAway: no answer; ApiRefused: it takes it not."""

    def __init__(self, api: JsonApi) -> None:
        self._api = api

    def alerts(
        self,
        filters: Sequence[str] = (),
        *,
        active: bool = True,
        silenced: bool = True,
        inhibited: bool = True,
        receiver: str = "",
    ) -> list[Alert]:
        """The alerts that fit all filters, such as `slo="shop"` and `severity=~"page|ticket"`.

        `receiver`: a regular expression of who is told; the others say which alerts are among them.
        """
        params: dict[str, Any] = {"filter": list(filters)}
        params |= {"active": _word(active), "silenced": _word(silenced), "inhibited": _word(inhibited)}
        params |= {"receiver": receiver} if receiver else {}
        return self._read(self._api.ask("GET", f"{_API}/alerts", params=params), list[Alert])

    def tell(self, alerts: Sequence[FiringAlert]) -> None:
        """Tells of alerts. One that is known is told again; of several, those go in that make sense.

        Times must have a time zone.
        """
        if not all(alert.starts_at.tzinfo and alert.ends_at.tzinfo for alert in alerts):
            raise ValueError("times of an alert need a time zone")
        self._check(self._api.ask("POST", f"{_API}/alerts", json=alerts))

    def silences(self, filters: Sequence[str] = ()) -> list[Silence]:
        """The silences whose matchers fit all filters; those that are over too, for a while."""
        answer = self._api.ask("GET", f"{_API}/silences", params={"filter": list(filters)})
        return self._read(answer, list[Silence])

    def silence(
        self,
        matchers: Sequence[Matcher],
        starts_at: datetime,
        ends_at: datetime,
        created_by: str,
        comment: str,
        silence_id: str = "",
    ) -> str:
        """Lets alerts that fit all matchers not be told for a time; the id of the silence.

        `silence_id`: one that is there is changed; one that cannot be changed so is ended, and another one made. Times
        must have a time zone.
        """
        if not starts_at.tzinfo or not ends_at.tzinfo:
            raise ValueError("times of a silence need a time zone")
        wanted = {
            "matchers": list(matchers),
            "startsAt": starts_at,
            "endsAt": ends_at,
            "createdBy": created_by,
            "comment": comment,
        }
        wanted |= {"id": silence_id} if silence_id else {}
        answer = self._api.ask("POST", f"{_API}/silences", json=wanted)
        return self._read(answer, _Made).silenceID

    def end_silence(self, silence_id: str) -> None:
        """Ends a silence now; one that is over stays so. Raises NoSuchSilence."""
        try:
            path = f"{_API}/silence/{UUID(silence_id)}"
        except ValueError:  # it would be another path
            raise self._none(silence_id) from None
        answer = self._api.ask("DELETE", path)
        if _NO_SILENCE in answer.body or (answer.status == 404 and not answer.body):
            raise self._none(silence_id)
        self._check(answer)

    def close(self) -> None:
        """Ends its connections."""
        self._api.close()

    def _read(self, answer: Answer, kind: type[_Found]) -> _Found:
        self._check(answer)
        try:
            return msgspec.json.decode(answer.body, type=kind)
        except (msgspec.DecodeError, RecursionError) as error:
            raise ApiAway(
                f"{self._api.name} answers not as Alertmanager does: {told(answer.body)}"
            ) from error

    def _none(self, silence_id: str) -> NoSuchSilence:
        return NoSuchSilence(f"there is no silence {silence_id[:80]!r} in {self._api.name}")

    def _check(self, answer: Answer) -> None:
        if answer.status == _OK:
            return
        said = f"{self._api.name} answers {answer.status}: {told(answer.body)}"
        raise ApiRefused(said) if answer.status in _REFUSED else ApiAway(said)


def _word(wanted: bool) -> str:
    return "true" if wanted else "false"
