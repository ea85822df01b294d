"""The history of an SLO: what happened before it was counted as it comes, counted from the log.

Protects: each range of a source's partition counts once, whoever tells of it and however often, and none is left out
in silence; what is counted so far does not count in budgets before all of it is known.

A range is taken only if it begins where the last one has ended. Its counts are held beside the budgets (`counters`):
half of a history says less than nothing, since its bad hours may be in the half that is known, or in the other. Until
all is counted the budgets hold what came since the definition, and violations and freezes follow from that, as if there
were no history. Then what is held joins them, a budget at once.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, assert_never

import msgspec

from neural_hive.aggregates.aggregate import Aggregate, Command, Event, Rejected, members
from neural_hive.aggregates.budget import AHEAD_US_MAX, Counted, budget_id_of, hour_of, minute_of
from neural_hive.aggregates.sla_window import HOUR, MINUTE, MINUTES_KEPT_US, WindowKind, budget_start

JOIN_TIMER: Final = "join"
HELD_DIMENSIONS_MAX: Final = 200  # what has a value of group_by beyond them counts as it is told
COUNTS_MAX: Final = 10_000  # of one range


class HistoryPart(msgspec.Struct, frozen=True):
    """What was counted for one of an SLO's budgets."""

    dimension: str
    counts: tuple[Counted, ...]  # of minutes


class CountRange(Command, frozen=True):
    """Events of a range of a source's partition were counted."""

    slo_id: str
    measure: int
    topic: str
    partition: int
    partitions: int  # of the topic
    from_offset: int
    to_offset: int  # the first that was not counted
    log_begin: int  # the first offset that log or archive still have
    aim: int  # how far history goes, as far as that is known
    is_whole: (
        bool  # all of this partition that was there before the SLO, or is not counted as it comes, is counted
    )
    parts: tuple[HistoryPart, ...]
    window_kind: WindowKind
    window_days: int
    now: int  # µs


class Join(Command, frozen=True):
    """What is held for one budget counts from now on, or (the SLO is measured no more) nowhere."""

    dimension: str
    counts: tuple[Counted, ...]
    is_counted: bool
    now: int


class Drop(Command, frozen=True):
    """The SLO is not measured in this way any more."""

    now: int


class HistoryOpened(Event, frozen=True):
    """What happened before an SLO was defined is being counted."""

    slo_id: str
    measure: int
    minutes_from: int  # a full hour; what was before it is held by hours
    hours_from: int  # what was before it counts nowhere
    opened_at: int


class HistoryLost(Event, frozen=True):
    """Records that log and archive do not have any more will not count for an SLO."""

    slo_id: str
    measure: int
    topic: str
    partition: int
    from_offset: int
    to_offset: int  # the first that is still there
    found_at: int


class HistoryCounted(Event, frozen=True):
    """A range of a source's partition was counted for an SLO."""

    slo_id: str
    measure: int
    topic: str
    partition: int
    partitions: int
    from_offset: int
    to_offset: int
    aim: int
    is_whole: bool
    parts: tuple[HistoryPart, ...]
    good: int
    valid: int
    uncounted: int  # valid events that are older than the window, or from the future: they count nowhere
    is_held: bool  # until all history is counted; else it counts in the budgets at once
    counted_at: int


class HistoryJoined(Event, frozen=True):
    """What was held for one of an SLO's budgets is held no longer."""

    slo_id: str
    measure: int
    dimension: str
    counts: tuple[Counted, ...]
    is_counted: bool  # false: nobody measures it any more
    joined_at: int


class HistoryDropped(Event, frozen=True):
    """An SLO is not measured in this way any more: its history is not counted to the end."""

    slo_id: str
    measure: int
    dropped_at: int


HistoryCommand = CountRange | Join | Drop
HistoryEvent = HistoryOpened | HistoryLost | HistoryCounted | HistoryJoined | HistoryDropped


class Span(msgspec.Struct, frozen=True):
    """How far one partition was counted."""

    upto: int = 0
    is_whole: bool = False


class SliHistory(msgspec.Struct, frozen=True):
    """How far a history was counted, and what is held of it."""

    slo_id: str
    measure: int
    minutes_from: int
    hours_from: int
    spans: dict[str, Span] = {}  # by topic and partition
    dimensions: tuple[str, ...] = ()  # for which something is held
    first_at: int = 0  # of what is held: the first minute or hour, and the last
    last_at: int = 0
    whole_at: int = 0  # 0: it is not
    joined: int = 0  # budgets that have theirs
    is_dropped: bool = False

    def span(self, topic: str, partition: int) -> Span:
        """How far a partition was counted."""
        return self.spans.get(_name(topic, partition), Span())


def history_id_of(slo_id: str, measure: int) -> str:
    """The id of the history of one way of measuring an SLO."""
    return f"{budget_id_of(slo_id, measure)}:history"


def decide(history: SliHistory | None, command: HistoryCommand) -> list[HistoryEvent]:
    """Raises Rejected: ranges between this one and the last are missing, or it makes no sense."""
    match command:
        case CountRange():
            return _count(history, command)
        case Join():
            return _join(history, command)
        case Drop():
            if history is None or (history.whole_at and not history.dimensions):
                return []
            return [HistoryDropped(history.slo_id, history.measure, command.now)]
        case _:
            assert_never(command)


def _count(found: SliHistory | None, command: CountRange) -> list[HistoryEvent]:
    _check(command)
    events: list[HistoryEvent] = []
    history = found
    if history is None:
        opened = _opened(command)
        events.append(opened)
        history = evolve(None, opened)
    span, is_known = history.span(command.topic, command.partition), _name_of(command) in history.spans
    if history.is_dropped or command.from_offset < span.upto:
        return []  # it was counted already, wholly or in part
    if command.from_offset > span.upto:
        events.append(_lost(span, command))
    elif is_known and command.to_offset == span.upto and command.is_whole <= span.is_whole:
        return []
    return [*events, _counted(history, command)]


def _check(command: CountRange) -> None:
    if not 0 <= command.from_offset <= command.to_offset:
        raise Rejected(f"a range from {command.from_offset} to {command.to_offset} makes no sense")
    if not 0 <= command.partition < command.partitions:
        raise Rejected(f"partition {command.partition} of {command.partitions} makes no sense")
    if (rows := sum(len(part.counts) for part in command.parts)) > COUNTS_MAX:
        raise Rejected(f"a range has at most {COUNTS_MAX:,} minutes, and this one {rows:,}")
    if any(not 0 <= c.good <= c.valid for part in command.parts for c in part.counts):
        raise Rejected("good events must be among the valid ones")
    if any(c.at % MINUTE or c.is_excluded for part in command.parts for c in part.counts):
        raise Rejected("events are counted in the minutes in which they happened")


def _opened(command: CountRange) -> HistoryOpened:
    minutes_from = max(hour_of(command.now) - HOUR - MINUTES_KEPT_US, 0)
    hours_from = budget_start(command.window_kind, command.window_days, minute_of(command.now))
    return HistoryOpened(
        command.slo_id, command.measure, minutes_from, min(hours_from, minutes_from), command.now
    )


def _lost(span: Span, command: CountRange) -> HistoryLost:
    if command.from_offset > command.log_begin:
        raise Rejected(
            f"{_name_of(command)} was counted up to offset {span.upto}, and this begins at {command.from_offset}: "
            "what is between them is missing"
        )
    about = command.slo_id, command.measure, command.topic, command.partition
    return HistoryLost(*about, span.upto, command.from_offset, command.now)


def _counted(history: SliHistory, command: CountRange) -> HistoryCounted:
    given = [c for part in command.parts for c in part.counts]
    until = command.now + AHEAD_US_MAX
    parts = tuple(
        HistoryPart(part.dimension, counts)
        for part in command.parts
        if (counts := tuple(c for c in part.counts if history.hours_from <= c.at <= until))
    )
    kept = [c for part in parts for c in part.counts]
    valid = sum(c.valid for c in kept)
    return HistoryCounted(
        command.slo_id,
        command.measure,
        command.topic,
        command.partition,
        command.partitions,
        command.from_offset,
        command.to_offset,
        command.aim,
        command.is_whole,
        parts,
        sum(c.good for c in kept),
        valid,
        sum(c.valid for c in given) - valid,
        not history.whole_at,
        command.now,
    )


def _join(history: SliHistory | None, command: Join) -> list[HistoryEvent]:
    if history is None or command.dimension not in history.dimensions:
        return []
    about = history.slo_id, history.measure, command.dimension
    return [HistoryJoined(*about, command.counts, command.is_counted, command.now)]


def evolve(history: SliHistory | None, event: HistoryEvent) -> SliHistory:
    """What an event makes of the history."""
    if isinstance(event, HistoryOpened):
        return SliHistory(event.slo_id, event.measure, event.minutes_from, event.hours_from)
    assert history is not None, "a history begins with HistoryOpened"
    match event:
        case HistoryLost():
            span = msgspec.structs.replace(history.span(event.topic, event.partition), upto=event.to_offset)
            return _with_span(history, event, span)
        case HistoryCounted():
            return _with_counts(history, event)
        case HistoryJoined():
            left = tuple(name for name in history.dimensions if name != event.dimension)
            return msgspec.structs.replace(history, dimensions=left, joined=history.joined + 1)
        case HistoryDropped():
            whole_at = history.whole_at or event.dropped_at
            return msgspec.structs.replace(history, is_dropped=True, whole_at=whole_at)
        case _:
            assert_never(event)


def _with_span(history: SliHistory, event: HistoryLost | HistoryCounted, span: Span) -> SliHistory:
    spans = {**history.spans, _name(event.topic, event.partition): span}
    return msgspec.structs.replace(history, spans=spans)


def _with_counts(history: SliHistory, event: HistoryCounted) -> SliHistory:
    before = history.span(event.topic, event.partition)
    span = Span(event.to_offset, before.is_whole or event.is_whole)
    history = _with_span(history, event, span)
    if event.is_held:
        history = _holding(history, event.parts)
    is_whole = len(history.spans) >= event.partitions and all(s.is_whole for s in history.spans.values())
    whole_at = history.whole_at or (event.counted_at if is_whole else 0)
    return msgspec.structs.replace(history, whole_at=whole_at)


def _holding(history: SliHistory, parts: Iterable[HistoryPart]) -> SliHistory:
    dimensions, times = history.dimensions, []
    for part in held_of(history, parts):
        if part.dimension not in dimensions:
            dimensions += (part.dimension,)
        times += [_row_of(history, c.at)[1] for c in part.counts]
    if not times:
        return history
    first_at = min((history.first_at, *times)) if history.last_at else min(times)
    last_at = max((history.last_at, *times))
    return msgspec.structs.replace(history, dimensions=dimensions, first_at=first_at, last_at=last_at)


def held_of(history: SliHistory, parts: Iterable[HistoryPart]) -> Iterator[HistoryPart]:
    """The parts that are held: all, as long as not too many budgets have some."""
    known = set(history.dimensions)
    for part in parts:
        if part.dimension in known or len(known) < HELD_DIMENSIONS_MAX:
            known.add(part.dimension)
            yield part


def at_once(before: SliHistory | None, event: HistoryCounted) -> tuple[HistoryPart, ...]:
    """The parts of a range that count in their budgets now; `before`: as it stood when the range was told."""
    if not event.is_held:
        return event.parts
    if before is None:
        before = SliHistory(event.slo_id, event.measure, 0, 0)
    held = {part.dimension for part in held_of(before, event.parts)}
    return tuple(part for part in event.parts if part.dimension not in held)


def timers(history: SliHistory) -> Mapping[str, int]:
    """When what is held joins the budgets: as soon as all is counted, some budgets at a time."""
    if not history.whole_at or not history.dimensions:
        return {}
    return {JOIN_TIMER: history.whole_at + history.joined}


def counters(event: HistoryEvent, before: SliHistory | None, after: SliHistory) -> Iterator[tuple[str, int]]:
    """What an event adds to the counts that are held."""
    match event:
        case HistoryCounted() if event.is_held:
            assert before is not None
            for part in held_of(before, event.parts):
                yield from _changes(after, part, 1)
        case HistoryJoined():
            yield from _changes(after, HistoryPart(event.dimension, event.counts), -1)
        case _:
            return


def _changes(history: SliHistory, part: HistoryPart, sign: int) -> Iterator[tuple[str, int]]:
    budget_id = budget_id_of(history.slo_id, history.measure, part.dimension)
    for counted in part.counts:
        unit, at = _row_of(history, counted.at)
        for what, count in (("g", counted.good), ("v", counted.valid)):
            if count:
                yield _counter(budget_id, unit, at, what), sign * count


def held(history: SliHistory, dimension: str, count: Callable[[str], int]) -> tuple[Counted, ...]:
    """What is held for one budget: hours, then minutes. `count` gives the value of a counter by its name."""
    budget_id = budget_id_of(history.slo_id, history.measure, dimension)
    hours = range(hour_of(history.first_at), min(history.minutes_from, history.last_at + 1), HOUR)
    minutes = range(max(history.first_at, history.minutes_from), history.last_at + 1, MINUTE)
    places = [("h", at) for at in hours] + [("m", at) for at in minutes]
    return tuple(
        Counted(at, count(_counter(budget_id, unit, at, "g")), valid)
        for unit, at in places
        if (valid := count(_counter(budget_id, unit, at, "v")))
    )


def _row_of(history: SliHistory, at: int) -> tuple[str, int]:
    """The minute or hour that a time is held in."""
    return ("m", at) if at >= history.minutes_from else ("h", hour_of(at))


def _counter(budget_id: str, unit: str, at: int, what: str) -> str:
    return f"held:{budget_id}:{unit}{at}:{what}"


def _name(topic: str, partition: int) -> str:
    return f"{topic}:{partition}"


def _name_of(command: CountRange) -> str:
    return _name(command.topic, command.partition)


SLI_HISTORY: Final = Aggregate(
    "sli_history", "sla.history", SliHistory, members(HistoryEvent), decide, evolve, timers, counters
)
