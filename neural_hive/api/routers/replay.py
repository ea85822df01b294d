"""Replay: what was it then, what changed, what caused it, and the proof that it is in the log."""

from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from neural_hive.api.answers import answered, problem, told
from neural_hive.api.past import Past
from neural_hive.api.problems import unprocessable
from neural_hive.api.reading import ID_CHARS_MAX
from neural_hive.api.services import ServicesOf
from neural_hive.replay.causes.node import Topics
from neural_hive.replay.causes.tree import Causes, causes
from neural_hive.replay.changes import Change, plain
from neural_hive.replay.difference import Difference, difference
from neural_hive.replay.explained.sentence import Sentence
from neural_hive.replay.explained.story import story
from neural_hive.replay.history import Happening, history
from neural_hive.replay.history import state as fold
from neural_hive.replay.moment import FORMS, NOW, moment_of
from neural_hive.replay.timeline import Reason, timeline

HAPPENINGS_MAX: Final = 10_000
router = APIRouter(
    tags=["replay"],
    responses={
        **problem(404, "Nothing in the log has this id"),
        **problem(409, "A part that the answer needs is missing, or a newer build wrote it"),
        **problem(503, "Kafka does not answer"),
    },
)
AggregateId = Annotated[str, Path(max_length=ID_CHARS_MAX)]
Kind = Annotated[
    str, Query(alias="type", max_length=128, description="If aggregates of several types have the id")
]
Moment = Annotated[str, Query(max_length=512, description=f"`now`, or {FORMS}")]


class PastState(msgspec.Struct, frozen=True):
    """What an aggregate was: the fold of its events up to a moment."""

    aggregate_type: str
    aggregate_id: str
    version: int
    occurred_at: int  # µs since 1970 UTC
    hash: str  # SHA-256 of the last event
    state: Any


class HistoryLine(msgspec.Struct, frozen=True):
    """One event, what it changed, and why it came."""

    happening: Happening
    since_us: int | None  # since the one before
    changes: list[Change]
    reason: Reason


class PastHistory(msgspec.Struct, frozen=True):
    """Events in their order, from a version on. `next`: the `after` that follows; null: that was all."""

    items: list[HistoryLine]
    next: int | None


class Story(msgspec.Struct, frozen=True):
    """Sentences, each with the places of the events that say so."""

    sentences: list[Sentence]


@router.get("/api/v1/replay/aggregates/{aggregate_id}/state", responses=told(PastState))
async def get_state(
    request: Request, aggregate_id: AggregateId, services: ServicesOf, at: Moment = "now", kind: Kind = ""
) -> Response:
    """What an aggregate is, or was at a moment."""

    def question(past: Past) -> PastState:
        found = history(past.source, past.topics, aggregate_id, moment_of(at), kind)
        head = found[-1].envelope
        told = plain(fold(found, past.aggregates))
        return PastState(
            head.aggregate_type, aggregate_id, head.version, head.occurred_at, found[-1].hash, told
        )

    return answered(request, await services.past.ask(question))


@router.get("/api/v1/replay/aggregates/{aggregate_id}/history", responses=told(PastHistory))
async def get_history(
    request: Request,
    aggregate_id: AggregateId,
    services: ServicesOf,
    kind: Kind = "",
    after: Annotated[int, Query(ge=0, le=2**62, description="Only versions behind this one")] = 0,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
) -> Response:
    """All that happened to an aggregate, in order: when, what it changed, and what caused it."""

    def question(past: Past) -> PastHistory:
        happened = history(past.source, past.topics, aggregate_id, NOW, kind)
        if len(happened) > HAPPENINGS_MAX:
            raise unprocessable(f"it has {len(happened):,} events: more than are read here")
        lines = timeline(past.source, past.aggregates, happened, past.reader)
        wanted = [line for line in lines if line.happening.envelope.version > after]
        shown = [msgspec.convert(line, HistoryLine, from_attributes=True) for line in wanted[:limit]]
        more = len(wanted) > limit
        return PastHistory(shown, shown[-1].happening.envelope.version if more else None)

    return answered(request, await services.past.ask(question))


@router.get("/api/v1/replay/aggregates/{aggregate_id}/diff", responses=told(Difference))
async def get_diff(
    request: Request,
    aggregate_id: AggregateId,
    services: ServicesOf,
    since: Annotated[str, Query(alias="from", max_length=512, description=f"The earlier moment: {FORMS}")],
    until: Annotated[str, Query(alias="to", max_length=512, description="The later one")] = "now",
    kind: Kind = "",
) -> Response:
    """What changed of an aggregate between two moments, field by field, and which events did it."""

    def question(past: Past) -> Difference:
        moments = moment_of(since), moment_of(until)
        return difference(past.source, past.aggregates, aggregate_id, *moments, kind)

    return answered(request, await services.past.ask(question))


@router.get("/api/v1/replay/aggregates/{aggregate_id}/explanation", responses=told(Story))
async def get_explanation(
    request: Request, aggregate_id: AggregateId, services: ServicesOf, at: Moment = "now", kind: Kind = ""
) -> Response:
    """Why an aggregate ended, or stands, as it does, in words."""

    def question(past: Past) -> Story:
        return Story(story(past.source, past.aggregates, aggregate_id, kind, moment_of(at)))

    return answered(request, await services.past.ask(question))


@router.get("/api/v1/replay/causes/{event}", responses=told(Causes))
async def get_causes(
    request: Request,
    event: Annotated[str, Path(max_length=ID_CHARS_MAX, description="Id, or TOPIC:PARTITION:OFFSET")],
    services: ServicesOf,
    depth: Annotated[int, Query(ge=0, le=100)] = 20,
    limit: Annotated[int, Query(ge=0, le=5_000)] = 500,
) -> Response:
    """What caused an event or message, back to the plan, and what it caused in turn."""

    def question(past: Past) -> Causes:
        return causes(past.source, Topics.of(past.systems), event, past.reader, depth, limit)

    return answered(request, await services.past.ask(question))
