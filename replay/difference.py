"""What changed between two moments, field by field, and which events did it: of one aggregate, or of all."""

from collections.abc import Iterable
from typing import Any

import msgspec

from neural_hive.aggregates.aggregate import Aggregate
from neural_hive.replay.changes import Change, Path, changes, plain
from neural_hive.replay.history import Happening, history_between, steps
from neural_hive.replay.moment import NOW, BadMoment, Moment
from neural_hive.replay.reader import LogSource
from neural_hive.replay.whole import Key, Standing, folded


class Doer(msgspec.Struct, frozen=True):
    """An event that changed something."""

    place: str  # topic:partition:offset
    event_type: str
    event_id: str
    version: int
    occurred_at: int  # µs
    causation_id: str
    cause_place: str  # where the cause was read; "" for a timer


class FieldChange(msgspec.Struct, frozen=True):
    """A field that is another one now, and the places of the events that touched it in between."""

    path: Path
    before: Any
    after: Any
    by: list[str]


class Difference(msgspec.Struct, frozen=True):
    """What became of one aggregate between two moments."""

    aggregate_type: str
    aggregate_id: str
    version_before: int  # 0: it was not there
    version_after: int
    changes: list[FieldChange]
    events: list[Doer]

    @property
    def appeared(self) -> bool:
        """Whether it was not there before."""
        return self.version_before == 0


def difference(
    source: LogSource,
    aggregates: Iterable[Aggregate[Any]],
    aggregate_id: str,
    since: Moment,
    until: Moment = NOW,
    aggregate_type: str = "",
) -> Difference:
    """What changed of one aggregate.

    Raises BadMoment: `since` is not before `until`, or one of them is not in the log; NoSuchAggregate: there is nothing
    of it at `until`; SeveralAggregates, NewerEvent; and what the source raises.
    """
    aggregates = list(aggregates)
    if since.version is not None and until.version is not None and since.version > until.version:
        raise BadMoment(f"v{since.version} is not before v{until.version}")
    topics = sorted({a.topic for a in aggregates})
    found = history_between(source, topics, aggregate_id, since, until, aggregate_type)
    before, after, version_before = plain(None), plain(None), 0
    doers, touched = list[Doer](), dict[str, list[Change]]()
    for step, (happening, is_new) in zip(steps((h for h, _ in found), aggregates), found, strict=True):
        after = plain(step.after)
        if is_new:
            doers.append(doer(happening))
            touched[happening.place] = step.changes
        else:
            before, version_before = after, happening.envelope.version
    if since.version is not None and since.version > found[-1][0].envelope.version:
        raise BadMoment(
            f"v{since.version} is not before then: it had {found[-1][0].envelope.version} versions"
        )
    last = found[-1][0].envelope
    changed = _by_event(changes(before, after), touched)
    return Difference(last.aggregate_type, last.aggregate_id, version_before, last.version, changed, doers)


def difference_of_all(
    source: LogSource,
    aggregates: Iterable[Aggregate[Any]],
    since: Moment,
    until: Moment = NOW,
    types: Iterable[str] = (),
) -> list[Difference]:
    """What changed of every aggregate, by type and id. Nothing vanishes: an aggregate is what its events say.

    Memory: all states, and of what changed the states before and the events in between. Raises: see `difference`.
    """
    states: dict[Key, Standing] = {}
    was: dict[Key, Standing | None] = {}
    doers: dict[Key, list[Doer]] = {}
    touched: dict[Key, dict[str, list[Change]]] = {}
    for event in folded(source, aggregates, states, since, until, types):
        if event.is_new:
            key, before = event.key, event.before
            was.setdefault(key, before)
            doers.setdefault(key, []).append(doer(event.happening))
            one = changes(plain(before and before.state), plain(event.after.state))
            touched.setdefault(key, {})[event.happening.place] = one
    return [_of(key, was[key], states[key], doers[key], touched[key]) for key in sorted(was)]


def doer(happening: Happening) -> Doer:
    """The event as one that did something."""
    head = happening.envelope
    return Doer(
        happening.place,
        head.event_type,
        head.event_id,
        head.version,
        head.occurred_at,
        head.causation_id,
        cause_place(happening),
    )


def cause_place(happening: Happening) -> str:
    """Where the cause of an event was read; "" for a timer."""
    head = happening.envelope
    if not head.source_topic:
        return ""
    return f"{head.source_topic}:{head.source_partition}:{head.source_offset}"


def _of(
    key: Key, before: Standing | None, after: Standing, doers: list[Doer], touched: dict[str, list[Change]]
) -> Difference:
    found = changes(plain(before and before.state), plain(after.state))
    return Difference(*key, before.version if before else 0, after.version, _by_event(found, touched), doers)


def _by_event(found: list[Change], touched: dict[str, list[Change]]) -> list[FieldChange]:
    return [
        FieldChange(
            change.path,
            change.before,
            change.after,
            [place for place, done in touched.items() if any(_meet(change.path, d.path) for d in done)],
        )
        for change in found
    ]


def _meet(one: Path, other: Path) -> bool:
    """Whether one of the paths leads to or into what the other one leads to."""
    shared = min(len(one), len(other))
    return one[:shared] == other[:shared]
