"""What an Alertmanager posts: alerts about SLOs, each noted once, and the budget that it is about looked at.

An Alertmanager asks again only if it is answered with 5xx: so nothing is answered with 200 before it is in the log. It
repeats groups, and tries again: an alert's fingerprint, beginning and status make the message's id.
"""

from collections import Counter
from collections.abc import Iterable
from hashlib import sha256
from typing import Annotated, Any, Final, Literal

import msgspec
import structlog
from fastapi import APIRouter, Header, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.responses import Response

from neural_hive.aggregates.aggregate import Rejected
from neural_hive.aggregates.alert import Note, Signal, Told, alert_id_of, decide
from neural_hive.aggregates.identity import derived_id
from neural_hive.api import metrics
from neural_hive.api.answers import answered, told
from neural_hive.api.pending import preferred_wait_s
from neural_hive.api.routers.budget_adjustments import micros
from neural_hive.api.services import IdentityOf, Services, ServicesOf
from neural_hive.api.writing import Sending, publish_each
from neural_hive.streams.sla.messages import COMMANDS, NoteAlert

router = APIRouter(tags=["alertmanager"])
LABEL: Final = "slo"
ALERTS_MAX: Final = 1_000  # of one call
_TOLD_MAX: Final = 5  # in the log, of those that are not taken
_CHARS_MAX: Final = 200
_KNOWN: Final = "SELECT slo_id FROM slos WHERE slo_id IN {ids:Array(String)}"
# All else may differ in a repeat: annotations hold numbers of the moment, and several routes may tell of an alert.
_LOOSE: Final = ("labels", "annotations", "receiver", "generator_url", "ends_at", "requested_by")
_PASSED: Final = {"PUBLISHED": "taken", "ACCEPTED": "taken", "NOTHING_NEW": "taken"}
log = structlog.get_logger()


class ToldAlert(BaseModel):
    """One alert of a call."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    annotations: dict[str, str] = {}
    startsAt: AwareDatetime  # noqa: N815 (Alertmanager's names)
    endsAt: AwareDatetime | None = None  # noqa: N815
    generatorURL: str = ""  # noqa: N815
    fingerprint: str = ""


class AlertmanagerCall(BaseModel):
    """What an Alertmanager posts to a webhook (version 4); what is not named here is not looked at."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    version: Literal["4"]
    receiver: str = ""
    alerts: Annotated[list[ToldAlert], Field(max_length=ALERTS_MAX)]


class TakenAlert(msgspec.Struct, frozen=True):
    """What became of one. PUBLISHED: it is in the log, and not known yet."""

    slo_id: str
    fingerprint: str
    signal: str  # FIRING, RESOLVED
    status: str  # PUBLISHED, ACCEPTED, NOTHING_NEW, DEAD_LETTER; NO_SLO, UNKNOWN_SLO, INVALID
    reason: str = ""


class TakenAlerts(msgspec.Struct, frozen=True):
    """What became of a call's alerts, in their order. `taken`: those in the log that are about a known SLO."""

    received: int
    taken: int
    no_slo: int
    unknown_slo: int
    invalid: int
    items: tuple[TakenAlert, ...]


@router.post("/webhooks/alertmanager", responses=told(TakenAlerts))
async def take_alerts(
    request: Request,
    asked: AlertmanagerCall,
    services: ServicesOf,
    who: IdentityOf,
    prefer: Annotated[str, Header(description="`wait=N`: for so many seconds; else not at all")] = "",
) -> Response:
    """Notes alerts by their label `slo`, each beginning and each end once, and looks at the budgets they are about."""
    notes = [_note(alert, asked.receiver, who.name) for alert in asked.alerts]
    wrong = list(map(_wrong, notes))
    sent = [note for note, found in zip(notes, wrong, strict=True) if found is None]
    known = await services.publishing.run(_known, services, {note.slo_id for note in sent})
    wait_s = preferred_wait_s(prefer) if prefer else 0.0
    messages = [Sending(note, _message_id(note), note.slo_id) for note in sent]
    became = iter(await publish_each(services, COMMANDS, messages, True, wait_s, _LOOSE))
    items = []
    for note, found in zip(notes, wrong, strict=True):
        if found is None:
            done = next(became)
            is_lost = done.status == "PUBLISHED" and note.slo_id not in known
            status = "UNKNOWN_SLO" if is_lost else done.status
            reason = f"the tables know no SLO {note.slo_id}" if is_lost else done.reason
            found = _item(note, status, reason)
        items.append(found)
    return answered(request, _counted(items))


def _note(alert: ToldAlert, receiver: str, by: str) -> NoteAlert:
    is_over = alert.status == "resolved"
    return NoteAlert(
        alert.labels.get(LABEL, ""),
        alert.fingerprint or _fingerprint(alert.labels),
        alert.labels,
        alert.annotations,
        receiver,
        alert.generatorURL,
        micros(alert.startsAt),
        signal=Signal.RESOLVED if is_over else Signal.FIRING,
        ends_at=micros(alert.endsAt) if is_over and alert.endsAt else 0,
        requested_by=by,
    )


def _fingerprint(labels: dict[str, str]) -> str:
    """Of an alert whose sender gives none: very old ones do."""
    return sha256(msgspec.json.encode(sorted(labels.items()))).hexdigest()[:16]


def _message_id(note: NoteAlert) -> str:
    """The same for an alert's beginning, and for its end, however often it is told."""
    return derived_id(alert_id_of(note.slo_id, note.fingerprint), str(note.starts_at), note.signal)


def _wrong(note: NoteAlert) -> TakenAlert | None:
    """Why it is not taken; None: it is."""
    if not note.slo_id:
        return _item(note, "NO_SLO", f"it has no label {LABEL}")
    try:
        about = msgspec.convert(note, Told, from_attributes=True)
        decide(None, Note(about, note.signal, note.ends_at, "", 0))
    except Rejected as error:
        return _item(note, "INVALID", str(error))
    return None


def _item(note: NoteAlert, status: str, reason: str) -> TakenAlert:
    about = note.slo_id[:_CHARS_MAX], note.fingerprint[:_CHARS_MAX], note.signal.value
    return TakenAlert(*about, status, reason)


def _known(services: Services, slo_ids: Iterable[str]) -> set[str]:
    rows: list[Any] = services.tables.rows(_KNOWN, {"ids": sorted(slo_ids)}) if slo_ids else []
    return {str(slo_id) for (slo_id,) in rows}


def _counted(items: list[TakenAlert]) -> TakenAlerts:
    outcomes = [_PASSED.get(item.status, item.status.lower()) for item in items]
    counts = Counter("unknown_slo" if outcome == "dead_letter" else outcome for outcome in outcomes)
    metrics.alerts_taken(counts)
    lost = [msgspec.to_builtins(item) for item in items if item.status not in _PASSED]
    if lost:
        log.warning("alerts_not_taken", count=len(lost), first=lost[:_TOLD_MAX])
    return TakenAlerts(
        len(items),
        counts["taken"],
        counts["no_slo"],
        counts["unknown_slo"],
        counts["invalid"],
        tuple(items),
    )
