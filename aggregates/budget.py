"""An error budget: what may still go wrong within an SLO's window, counted in event time.

Protects: each event counts once, in the minute in which it happened, however late it comes; what is excluded does not
count, and is known again when the exclusion is lifted; a number that was believed once stays in the log beside the one
that is known now.

Counts of minutes (for the last three days) and of hours (for the window) are counters of the partition (`counters`);
the budget itself holds the sums of its windows. `Evaluate` moves the windows on, with what enters and leaves them.
"""

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Final, assert_never

import msgspec

from neural_hive.aggregates.aggregate import Aggregate, Command, Event, Rejected, members
from neural_hive.aggregates.burn import (
    Counts,
    Level,
    Status,
    burn_rate,
    exhausted_at,
    level,
    remaining,
    status,
)
from neural_hive.aggregates.person import person
from neural_hive.aggregates.sla_window import (
    BURN_US,
    HOUR,
    MINUTE,
    MINUTES_KEPT_US,
    WindowKind,
    budget_length,
    budget_start,
)

EVALUATE_TIMER: Final = "evaluate"
POLLED: Final = "promql:"  # how the source of counts begins that a server was asked for
BUDGET: Final = "budget"  # the name of the budget's window among the sums
LATENESS_US: Final = 10_000_000  # a minute is looked at for the first time so long after its end
AHEAD_US_MAX: Final = HOUR  # a clock may be wrong by so much; what is further ahead counts nowhere
EXCLUSIONS_MAX: Final = 200
EXCLUSION_US_MAX: Final = 7 * 24 * HOUR
REASON_CHARS_MAX: Final = 1_000
OTHERS: Final = "(others)"  # the budget of the values of a field that have none of their own
NOTHING: Final = Counts()


class Counted(msgspec.Struct, frozen=True):
    """Events that happened in a minute, or in an hour."""

    at: int  # its beginning, µs
    good: int
    valid: int
    is_excluded: bool = False  # by a person: it is known, and counts nowhere

    @property
    def counts(self) -> Counts:
        return Counts(self.good, self.valid)


class Moved(msgspec.Struct, frozen=True):
    """What comes into a window and what leaves it when it moves on."""

    window: str
    entered: Counts
    left: Counts


class WindowSum(msgspec.Struct, frozen=True):
    """What a window holds, and how fast it burns."""

    window: str
    good: int
    valid: int
    burn_rate: float


class AdjustmentKind(StrEnum):
    """How a person corrects a budget."""

    UNKNOWN = "UNKNOWN"
    EXCLUDE = "EXCLUDE"  # what happens from one time to another does not count
    LIFT = "LIFT"  # an exclusion holds no longer
    CORRECT = "CORRECT"  # so many good and valid events more (or fewer) in a minute


class Terms(msgspec.Struct, frozen=True):
    """What of a definition a budget is computed by."""

    revision: int
    target: float
    window_kind: WindowKind
    window_days: int


class Place(msgspec.Struct, frozen=True):
    """Which budget it is."""

    budget_id: str
    slo_id: str
    dimension: str
    measure: int


class Count(Command, frozen=True):
    """Events were measured."""

    place: Place
    terms: Terms
    counts: tuple[Counted, ...]  # of minutes
    source: str  # where they stand: topic, partition and offsets; or POLLED and the minute
    now: int  # µs


class Evaluate(Command, frozen=True):
    """Look at the budget as it stands at a minute's end."""

    terms: Terms
    upto: int  # µs
    moved: tuple[Moved, ...]  # of every window
    gone: tuple[Counted, ...]  # minutes that no window needs any more
    gone_hours: tuple[Counted, ...]
    now: int


class Adjust(Command, frozen=True):
    """A person corrects what was counted."""

    adjustment_id: str
    kind: AdjustmentKind
    starts_at: int  # µs; of CORRECT: the minute
    ends_at: int
    found: tuple[Counted, ...]  # what stands there now, by minutes
    found_hours: tuple[Counted, ...]  # and by hours, where minutes are not known any more
    good: int
    valid: int
    requested_by: str
    reason: str
    now: int


class BudgetOpened(Place, Event, frozen=True):
    """The first events of an SLO were counted."""

    minutes_from: int
    hours_from: int
    opened_at: int


class SliCounted(Event, frozen=True):
    """Events of an SLO were counted."""

    budget_id: str
    slo_id: str
    counts: tuple[Counted, ...]
    late: int  # valid events among them that came after their minute was looked at
    uncounted: (
        int  # valid events that came after their window had passed, or from the future: they count nowhere
    )
    source: str
    counted_at: int


class BudgetEvaluated(Place, Event, frozen=True):
    """An error budget was looked at: how much is left, and how fast it burns."""

    revision: int
    target: float
    window_kind: WindowKind
    window_days: int
    starts_at: int  # of the budget's window
    upto: int  # of all windows
    sums: tuple[WindowSum, ...]
    budget_total: float  # bad events that the window may have, for as many valid events as it has had
    budget_consumed: int
    remaining: float  # share of it
    status: Status
    level: Level
    exhausted_at: int  # µs; 0: as it burns now it will not be
    gone: tuple[Counted, ...]
    gone_hours: tuple[Counted, ...]
    evaluated_at: int


class BudgetAdjusted(Event, frozen=True):
    """A person has corrected what counts."""

    budget_id: str
    slo_id: str
    adjustment_id: str
    kind: AdjustmentKind
    starts_at: int
    ends_at: int
    found: tuple[Counted, ...]  # what counts no more, or again
    found_hours: tuple[Counted, ...]
    good: int
    valid: int
    requested_by: str
    reason: str
    adjusted_at: int


BudgetCommand = Count | Evaluate | Adjust
BudgetEvent = BudgetOpened | SliCounted | BudgetEvaluated | BudgetAdjusted


class Exclusion(msgspec.Struct, frozen=True):
    """A time whose events do not count."""

    adjustment_id: str
    starts_at: int
    ends_at: int


class Budget(msgspec.Struct, frozen=True):
    """What the events so far make of a budget."""

    place: Place
    minutes_from: int  # a full hour: minutes before it are not known
    hours_from: int
    last_at: int = 0  # the last minute in which something happened
    next_at: int = 0  # µs; 0: there is nothing to look at
    upto: int = 0  # 0: it was not looked at yet
    starts_at: int = 0
    terms: Terms | None = None  # by which it was looked at
    sums: dict[str, Counts] = {}
    remaining: float = 1.0
    status: Status = Status.HEALTHY
    level: Level = Level.NORMAL
    exclusions: tuple[Exclusion, ...] = ()
    polled_upto: int = 0  # a minute before it is not counted from a server any more
    first_at: int = 0  # the first minute in which something happened: before it there is nothing to be read

    def is_excluded(self, at: int) -> bool:
        """Whether events of this time do not count."""
        return bool(self.exclusions) and any(e.starts_at <= at < e.ends_at for e in self.exclusions)


def budget_id_of(slo_id: str, measure: int, dimension: str = "") -> str:
    """The id of a budget: what is measured in another way has another one."""
    return f"{slo_id}@{measure}" + (f"/{dimension}" if dimension else "")


def minute_of(at: int) -> int:
    """The beginning of a minute."""
    return at // MINUTE * MINUTE


def hour_of(at: int) -> int:
    """The beginning of an hour."""
    return at // HOUR * HOUR


def counter_of(budget_id: str, unit: str, at: int, what: str, is_excluded: bool = False) -> str:
    """The name of a counter: `unit` is m or h (minute, hour), `what` is g or v (good, valid)."""
    return f"sli:{budget_id}:{unit}{at}:{'x' if is_excluded else ''}{what}"


def live_of(slo_id: str, measure: int) -> str:
    """The name of a counter: how many budgets an SLO has that hold anything, of values of a field."""
    return f"budgets:{slo_id}@{measure}"


def starts_of(budget: Budget) -> dict[str, int]:
    """When each window began that was looked at last."""
    return {BUDGET: budget.starts_at, **{name: budget.upto - length for name, length in BURN_US.items()}}


def new_starts(terms: Terms, upto: int) -> dict[str, int]:
    """When each window begins that ends at `upto`."""
    start = budget_start(terms.window_kind, terms.window_days, upto)
    return {BUDGET: start, **{name: upto - length for name, length in BURN_US.items()}}


def decide(budget: Budget | None, command: BudgetCommand) -> list[BudgetEvent]:
    """The events that follow from a command. Raises Rejected: there is no such budget, or it makes no sense."""
    match command:
        case Count():
            return _count(budget, command)
        case Evaluate() if budget is not None:
            return _evaluate(budget, command)
        case Adjust() if budget is not None:
            return _adjust(budget, command)
        case Evaluate() | Adjust():
            raise Rejected("there is no such budget, or nothing was counted for it yet")
        case _:
            assert_never(command)


def _count(found: Budget | None, command: Count) -> list[BudgetEvent]:
    events: list[BudgetEvent] = []
    budget = found
    if budget is None:
        opened = _opened(command)
        events.append(opened)
        budget = evolve(None, opened)
    given = command.counts
    if command.source.startswith(POLLED):
        given = tuple(c for c in given if c.at >= budget.polled_upto)
        if not given:
            return []
    counts = tuple(
        Counted(c.at, c.good, c.valid, budget.is_excluded(c.at))
        for c in given
        if budget.hours_from <= c.at <= command.now + AHEAD_US_MAX
    )
    late = sum(c.valid for c in counts if c.at < budget.upto)
    uncounted = sum(c.valid for c in given) - sum(c.valid for c in counts)
    place = command.place
    return [
        *events,
        SliCounted(place.budget_id, place.slo_id, counts, late, uncounted, command.source, command.now),
    ]


def _opened(command: Count) -> BudgetOpened:
    minutes_from = hour_of(command.now) - HOUR - MINUTES_KEPT_US
    hours_from = budget_start(command.terms.window_kind, command.terms.window_days, minute_of(command.now))
    minutes_from = max(minutes_from, 0)
    return BudgetOpened(
        **msgspec.structs.asdict(command.place),
        minutes_from=minutes_from,
        hours_from=min(hours_from, minutes_from),
        opened_at=command.now,
    )


def _evaluate(budget: Budget, command: Evaluate) -> list[BudgetEvent]:
    terms, upto = command.terms, command.upto
    if upto < budget.upto or (upto == budget.upto and terms == budget.terms):
        return []
    totals = {
        moved.window: budget.sums.get(moved.window, NOTHING) + moved.entered - moved.left
        for moved in command.moved
    }
    rates = {name: burn_rate(counts, terms.target) for name, counts in totals.items()}
    whole = totals[BUDGET]
    left = remaining(whole, terms.target)
    starts_at = budget_start(terms.window_kind, terms.window_days, upto)
    length = budget_length(terms.window_kind, terms.window_days, upto)
    return [
        BudgetEvaluated(
            **msgspec.structs.asdict(budget.place),
            **msgspec.structs.asdict(terms),
            starts_at=starts_at,
            upto=upto,
            sums=tuple(WindowSum(name, c.good, c.valid, rates[name]) for name, c in totals.items()),
            budget_total=(1 - terms.target) * whole.valid,
            budget_consumed=whole.bad,
            remaining=left,
            status=status(left),
            level=level(rates),
            exhausted_at=exhausted_at(left, rates["1h"], length, upto) or 0,
            gone=command.gone,
            gone_hours=command.gone_hours,
            evaluated_at=command.now,
        )
    ]


def _adjust(budget: Budget, command: Adjust) -> list[BudgetEvent]:
    who = person(command.requested_by, "requested_by")
    if not command.reason.strip():
        raise Rejected("give a reason: who reads the budget later must know why it was corrected")
    match command.kind:
        case AdjustmentKind.EXCLUDE:
            _check_exclusion(budget, command)
        case AdjustmentKind.LIFT:
            _check_lift(budget, command)
        case AdjustmentKind.CORRECT:
            _check_correction(budget, command)
        case AdjustmentKind.UNKNOWN:
            raise Rejected("kind must be EXCLUDE, LIFT or CORRECT")
        case _:
            assert_never(command.kind)
    place = budget.place
    return [
        BudgetAdjusted(
            place.budget_id,
            place.slo_id,
            command.adjustment_id,
            command.kind,
            command.starts_at,
            command.ends_at,
            command.found,
            command.found_hours,
            command.good,
            command.valid,
            who,
            command.reason[:REASON_CHARS_MAX],
            command.now,
        )
    ]


def _check_exclusion(budget: Budget, command: Adjust) -> None:
    starts_at, ends_at = command.starts_at, command.ends_at
    if starts_at % MINUTE or ends_at % MINUTE:
        raise Rejected("an exclusion begins and ends at a full minute")
    if not 0 < ends_at - starts_at <= EXCLUSION_US_MAX:
        raise Rejected(
            "an exclusion lasts at least a minute, and at most seven days: make several of a longer one"
        )
    edges = [at for at in (starts_at, ends_at) if at < budget.minutes_from]
    if any(at % HOUR for at in edges):
        raise Rejected("what is older than three days is known by hours: begin and end at a full hour")
    if starts_at < budget.hours_from:
        raise Rejected("this begins before the budget's window: nothing of it counts any more")
    for other in budget.exclusions:
        if other.adjustment_id == command.adjustment_id:
            raise Rejected(f"there is an exclusion {other.adjustment_id} already")
        if starts_at < other.ends_at and other.starts_at < ends_at:
            raise Rejected(f"it overlaps the exclusion {other.adjustment_id}: lift that first")
    if len(budget.exclusions) >= EXCLUSIONS_MAX:
        raise Rejected(f"there are {EXCLUSIONS_MAX} exclusions, and there can be no more: lift some")


def _check_lift(budget: Budget, command: Adjust) -> None:
    others = {e.adjustment_id: e for e in budget.exclusions}
    lifted = others.pop(command.adjustment_id, None)
    if lifted is None:
        raise Rejected(f"there is no exclusion {command.adjustment_id} to be lifted")
    parts = {
        hour_of(at) for at in (lifted.starts_at, lifted.ends_at) if at % HOUR and at < budget.minutes_from
    }
    for hour in sorted(parts):
        if shared := [e for e in others.values() if e.starts_at < hour + HOUR and hour < e.ends_at]:
            raise Rejected(
                f"it shares an hour with the exclusion {shared[0].adjustment_id}, and minutes are known for three "
                "days: nobody can tell any more what of that hour counts again"
            )


def _check_correction(budget: Budget, command: Adjust) -> None:
    if command.starts_at % MINUTE or command.ends_at != command.starts_at + MINUTE:
        raise Rejected("a correction is one of a full minute: ends_at is a minute after starts_at")
    if command.starts_at < budget.minutes_from:
        raise Rejected("minutes are known for three days: this one is older")
    if command.starts_at > command.now:
        raise Rejected("this minute has not come yet")
    if budget.is_excluded(command.starts_at):
        raise Rejected("this minute is excluded: lift that first")
    found = sum((c.counts for c in command.found), NOTHING)
    good, valid = found.good + command.good, found.valid + command.valid
    if not 0 <= good <= valid:
        raise Rejected(f"it would leave {good} good of {valid} valid events in that minute")


def evolve(budget: Budget | None, event: BudgetEvent) -> Budget:
    """What an event makes of the budget."""
    if isinstance(event, BudgetOpened):
        place = Place(event.budget_id, event.slo_id, event.dimension, event.measure)
        return Budget(place, event.minutes_from, event.hours_from)
    assert budget is not None, "the history of a budget begins with BudgetOpened"
    change = msgspec.structs.replace
    match event:
        case SliCounted():
            soon = minute_of(event.counted_at) + MINUTE + LATENESS_US
            next_at = min(budget.next_at or soon, soon)
            changes = [(c.at, c.counts) for c in event.counts if not budget.is_excluded(c.at)]
            times = [c.at for c in event.counts]
            last_at = max((budget.last_at, *times))
            polled_upto = budget.polled_upto
            if event.source.startswith(POLLED):
                polled_upto = max((polled_upto, *(c.at + MINUTE for c in event.counts)))
            return change(
                budget,
                sums=_changed(budget, changes),
                next_at=next_at,
                last_at=last_at,
                polled_upto=polled_upto,
                first_at=_first(budget, times),
            )
        case BudgetEvaluated():
            return _evaluated(budget, event)
        case BudgetAdjusted():
            changes = changes_of(event)
            exclusions, sums = _exclusions(budget, event), _changed(budget, changes)
            return change(
                budget,
                sums=sums,
                exclusions=exclusions,
                last_at=max(budget.last_at, event.starts_at),
                first_at=_first(budget, [at for at, _ in changes]),
            )
        case _:
            assert_never(event)


def _first(budget: Budget, times: Iterable[int]) -> int:
    return min((at for at in (budget.first_at, *times) if at), default=0)


def change_of(event: BudgetAdjusted, counted: Counted) -> Counts:
    """What an exclusion takes from the counts of a time, or gives back to it."""
    return counted.counts if event.kind is AdjustmentKind.LIFT else NOTHING - counted.counts


def changes_of(event: SliCounted | BudgetAdjusted) -> list[tuple[int, Counts]]:
    """What an event adds to what counts, and when: in minutes, or in hours where minutes are not known any more."""
    if isinstance(event, SliCounted):
        return [(c.at, c.counts) for c in event.counts if not c.is_excluded]
    if event.kind is AdjustmentKind.CORRECT:
        return [(event.starts_at, Counts(event.good, event.valid))]
    return [(c.at, change_of(event, c)) for c in (*event.found, *event.found_hours)]


def _changed(budget: Budget, changes: Iterable[tuple[int, Counts]]) -> dict[str, Counts]:
    """The sums, with what has changed at times that their windows have already passed over."""
    sums = dict(budget.sums)
    starts = starts_of(budget)
    for at, counts in changes:
        if at < budget.upto:
            for name in sums:
                if starts[name] <= at:
                    sums[name] += counts
    return sums


def _exclusions(budget: Budget, event: BudgetAdjusted) -> tuple[Exclusion, ...]:
    match event.kind:
        case AdjustmentKind.EXCLUDE:
            added = Exclusion(event.adjustment_id, event.starts_at, event.ends_at)
            return (*budget.exclusions, added)
        case AdjustmentKind.LIFT:
            return tuple(e for e in budget.exclusions if e.adjustment_id != event.adjustment_id)
        case _:
            return budget.exclusions


def _evaluated(budget: Budget, event: BudgetEvaluated) -> Budget:
    minutes_from, hours_from = kept_from(budget, event.starts_at, event.upto)
    sums = {found.window: Counts(found.good, found.valid) for found in event.sums}
    exclusions = tuple(e for e in budget.exclusions if e.ends_at > hours_from)
    return msgspec.structs.replace(
        budget,
        minutes_from=minutes_from,
        hours_from=hours_from,
        next_at=_next_at(event.upto, sums, is_empty=budget.last_at < hours_from),
        upto=event.upto,
        starts_at=event.starts_at,
        terms=Terms(event.revision, event.target, event.window_kind, event.window_days),
        sums=sums,
        remaining=event.remaining,
        status=event.status,
        level=event.level,
        exclusions=exclusions,
    )


def kept_from(budget: Budget, starts_at: int, upto: int) -> tuple[int, int]:
    """From when minutes and hours are kept, once windows end at `upto`; never from earlier than before."""
    minutes_from = max(budget.minutes_from, hour_of(upto - MINUTES_KEPT_US))
    return minutes_from, max(budget.hours_from, min(starts_at, minutes_from))


def _next_at(upto: int, sums: Mapping[str, Counts], is_empty: bool) -> int:
    """When to look again: the longer nothing has happened, the less can change. Never, if nothing is kept."""
    if sums["6h"].valid:
        wait = MINUTE
    elif sums["3d"].valid:
        wait = 5 * MINUTE
    elif is_empty:
        return 0
    else:
        wait = HOUR
    return upto + wait + LATENESS_US


def timers(budget: Budget) -> Mapping[str, int]:
    """When to look at the budget again."""
    return {EVALUATE_TIMER: budget.next_at} if budget.next_at else {}


def counters(event: BudgetEvent, before: Budget | None, after: Budget) -> Iterator[tuple[str, int]]:
    """What an event adds to the counts of minutes and hours, and of budgets that hold anything."""
    name, place = after.place.budget_id, after.place
    was_live = before is not None and before.next_at > 0
    if was_live != (after.next_at > 0) and place.dimension not in ("", OTHERS):
        yield live_of(place.slo_id, place.measure), -1 if was_live else 1
    match event:
        case SliCounted():
            for counted in event.counts:
                excluded = after.is_excluded(counted.at)
                yield from _both(name, after.minutes_from, counted.at, counted.counts, excluded)
        case BudgetEvaluated():
            for counted in event.gone:
                yield from _one(name, "m", counted.at, NOTHING - counted.counts, counted.is_excluded)
            for counted in event.gone_hours:
                yield from _one(name, "h", counted.at, NOTHING - counted.counts, counted.is_excluded)
        case BudgetAdjusted() if event.kind is AdjustmentKind.CORRECT:
            change = Counts(event.good, event.valid)
            yield from _both(name, after.minutes_from, event.starts_at, change, False)
        case BudgetAdjusted():
            for counted in event.found:
                change = change_of(event, counted)
                yield from _both(name, after.minutes_from, counted.at, change, False)
                yield from _both(name, after.minutes_from, counted.at, NOTHING - change, True)
            for counted in event.found_hours:
                change = change_of(event, counted)
                yield from _one(name, "h", counted.at, change, False)
                yield from _one(name, "h", counted.at, NOTHING - change, True)
        case _:
            return


def _both(
    name: str, minutes_from: int, at: int, change: Counts, is_excluded: bool
) -> Iterator[tuple[str, int]]:
    """The change of a minute (as far as minutes are kept) and of its hour."""
    if at >= minutes_from:
        yield from _one(name, "m", at, change, is_excluded)
    yield from _one(name, "h", hour_of(at), change, is_excluded)


def _one(name: str, unit: str, at: int, change: Counts, is_excluded: bool) -> Iterator[tuple[str, int]]:
    for what, count in (("g", change.good), ("v", change.valid)):
        if count:
            yield counter_of(name, unit, at, what, is_excluded), count


BUDGET_AGGREGATE: Final = Aggregate(
    "budget", "sla.budgets", Budget, members(BudgetEvent), decide, evolve, timers, counters
)
