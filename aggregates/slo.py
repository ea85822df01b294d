"""An SLO: what share of a service's events shall be good, over which window, and how that is measured.

Protects: a definition is whole and can be measured; who revises one has seen its newest revision; what is removed stays
readable under its name and is measured no longer.

A new revision that measures something else (another indicator), or reaches further back than is known, counts anew,
over all that the log holds; another target or a shorter window reads the same counts in another way.
"""

import re
from enum import StrEnum
from typing import Final, assert_never

import msgspec

from neural_hive.aggregates.aggregate import Aggregate, Command, Event, Rejected, members
from neural_hive.aggregates.composite import WEIGHT_MAX, BadWeights, whole_weights
from neural_hive.aggregates.definitions import next_revision, signature, to_remove
from neural_hive.aggregates.sla_window import WindowKind, reaches_further
from neural_hive.aggregates.sli_expression import BadExpression, FieldType, parse
from neural_hive.aggregates.sli_source import FIELDS, Source

ID: Final = re.compile(r"[a-z0-9]([a-z0-9._-]{0,126}[a-z0-9])?")
TEXT_CHARS_MAX: Final = 1_000
WINDOW_DAYS_MAX: Final = 90
PARTS_MAX: Final = 50
PROMQL_CHARS_MAX: Final = 10_000


class SloType(StrEnum):
    """What is promised."""

    UNKNOWN = "UNKNOWN"
    AVAILABILITY = "AVAILABILITY"
    LATENCY = "LATENCY"
    ERROR_RATE = "ERROR_RATE"
    CUSTOM = "CUSTOM"


class Part(msgspec.Struct, frozen=True):
    """One of the SLOs that a composite one is made of."""

    slo_id: str
    weight: float = 1.0


class Indicator(msgspec.Struct, frozen=True):
    """How good events and valid events are counted (SLI = good / valid)."""

    source: Source
    good: str = ""  # an expression over the source's fields; see sli_expression
    valid: str = ""  # the same; empty: every event of the source
    group_by: str = ""  # a text field: each of its values has a budget of its own
    good_promql: str = ""  # of PROMQL: increase of good events and of valid ones, with $window for the time
    valid_promql: str = ""
    metric_name: str = ""
    parts: tuple[Part, ...] = ()  # of COMPOSITE


class Definition(msgspec.Struct, frozen=True):
    """All that an SLO says."""

    slo_id: str
    name: str
    slo_type: SloType
    service_name: str
    target: float  # the least share of valid events that shall be good, within 0 to 1, both excluded
    indicator: Indicator
    window_kind: WindowKind = WindowKind.ROLLING
    window_days: int = 30  # of ROLLING
    layer: str = ""
    namespace: str = ""
    description: str = ""
    labels: dict[str, str] = {}
    enabled: bool = True


class DefineSlo(Command, frozen=True):
    """Measure this from now on. `revision`: the one it follows; 0: it is new."""

    definition: Definition
    revision: int
    requested_by: str
    reason: str
    now: int  # µs


class RemoveSlo(Command, frozen=True):
    """Measure it no longer."""

    requested_by: str
    reason: str
    now: int


class SloDefined(Event, frozen=True):
    """A service has promised something, or has changed what it promises."""

    definition: Definition
    revision: int
    measure: int  # rises whenever something else is measured: counts of different measures do not add up
    requested_by: str
    reason: str
    defined_at: int


class SloRemoved(Event, frozen=True):
    """A promise holds no longer."""

    slo_id: str
    requested_by: str
    reason: str
    removed_at: int


SloCommand = DefineSlo | RemoveSlo
SloEvent = SloDefined | SloRemoved


class Slo(msgspec.Struct, frozen=True):
    """An SLO as it stands."""

    definition: Definition
    revision: int
    measure: int
    defined_at: int
    is_removed: bool = False

    @property
    def is_measured(self) -> bool:
        """Whether its events are counted."""
        return self.definition.enabled and not self.is_removed


def decide(slo: Slo | None, command: SloCommand) -> list[SloEvent]:
    """Raises Rejected: the definition makes no sense, or does not follow the newest revision."""
    match command:
        case DefineSlo():
            return _define(slo, command)
        case RemoveSlo():
            if (held := to_remove(slo, "SLO")) is None:
                return []
            return [SloRemoved(held.definition.slo_id, *signature(command), command.now)]
        case _:
            assert_never(command)


def _define(slo: Slo | None, command: DefineSlo) -> list[SloEvent]:
    check(command.definition)
    revision = next_revision(slo, command.revision)
    if slo and slo.definition == command.definition and not slo.is_removed:
        return []
    measure = slo.measure + _counts_anew(slo, command.definition) if slo else 1
    return [SloDefined(command.definition, revision, measure, *signature(command), command.now)]


def _counts_anew(slo: Slo, wanted: Definition) -> bool:
    was = slo.definition
    further = reaches_further(wanted.window_kind, wanted.window_days, was.window_kind, was.window_days)
    return slo.is_removed or was.indicator != wanted.indicator or further


def check(wanted: Definition) -> None:
    """Raises Rejected, with all that is wrong."""
    problems = [*_of_names(wanted), *_of_promise(wanted), *_of_indicator(wanted.indicator, wanted.slo_id)]
    if problems:
        raise Rejected("; ".join(problems))


def _of_names(wanted: Definition) -> list[str]:
    problems = []
    if not ID.fullmatch(wanted.slo_id):
        problems.append("slo_id must have 1 to 128 small letters, digits, dots, underscores and dashes")
    empty = [name for name in ("name", "service_name") if not getattr(wanted, name).strip()]
    problems += [f"{name} must not be empty" for name in empty]
    texts = ("name", "service_name", "layer", "namespace", "description")
    long = [name for name in texts if len(getattr(wanted, name)) > TEXT_CHARS_MAX]
    problems += [f"{name} has more than {TEXT_CHARS_MAX:,} characters" for name in long]
    if sum(len(key) + len(value) for key, value in wanted.labels.items()) > 10 * TEXT_CHARS_MAX:
        problems.append(f"labels have more than {10 * TEXT_CHARS_MAX:,} characters")
    return problems


def _of_promise(wanted: Definition) -> list[str]:
    problems = []
    if wanted.slo_type is SloType.UNKNOWN:
        problems.append("slo_type must be AVAILABILITY, LATENCY, ERROR_RATE or CUSTOM")
    if not 0 < wanted.target < 1:
        problems.append(
            f"target must be within 0 and 1, both excluded, and is {wanted.target}: 99.9 % is 0.999"
        )
    if wanted.window_kind is WindowKind.UNKNOWN:
        problems.append("window_kind must be ROLLING, DAY, WEEK, MONTH or QUARTER")
    if wanted.window_kind is WindowKind.ROLLING and not 1 <= wanted.window_days <= WINDOW_DAYS_MAX:
        problems.append(f"window_days must be within 1 and {WINDOW_DAYS_MAX}, and is {wanted.window_days}")
    return problems


def _of_indicator(indicator: Indicator, slo_id: str) -> list[str]:
    match indicator.source:
        case Source.UNKNOWN:
            return [f"source must be one of {', '.join(s for s in Source if s is not Source.UNKNOWN)}"]
        case Source.TICKETS | Source.WORKFLOWS | Source.TELEMETRY:
            return _of_expressions(indicator)
        case Source.PROMQL:
            return _of_promql(indicator)
        case Source.COMPOSITE:
            return _of_parts(indicator, slo_id)
        case _:
            assert_never(indicator.source)


def _of_expressions(indicator: Indicator) -> list[str]:
    fields, problems = FIELDS[indicator.source], []
    if not indicator.good.strip():
        problems.append("good must say which events are good, as in: status = 'COMPLETED'")
    for name in ("good", "valid"):
        try:
            parse(getattr(indicator, name), fields)
        except BadExpression as error:
            problems.append(f"{name}: {error}")
    if indicator.group_by and indicator.group_by not in fields:
        known = ", ".join(sorted(fields))
        problems.append(f"group_by: there is no field {indicator.group_by[:80]!r}; there are: {known}")
    elif indicator.group_by and fields[indicator.group_by] is not FieldType.TEXT:
        problems.append(f"group_by: {indicator.group_by} is {fields[indicator.group_by]}: it must be a text")
    return problems


def _of_promql(indicator: Indicator) -> list[str]:
    problems = []
    for name in ("good_promql", "valid_promql"):
        query = getattr(indicator, name)
        if not query.strip():
            problems.append(f"{name} must not be empty")
        elif len(query) > PROMQL_CHARS_MAX:
            problems.append(f"{name} has more than {PROMQL_CHARS_MAX:,} characters")
        elif "$window" not in query:
            problems.append(f"{name} must count over $window, as in: sum(increase(requests_total[$window]))")
    if indicator.group_by:
        problems.append("group_by is for events: write an SLO for each value of a PromQL label")
    return problems


def _of_parts(indicator: Indicator, slo_id: str) -> list[str]:
    problems, names = [], [part.slo_id for part in indicator.parts]
    if not 2 <= len(names) <= PARTS_MAX:
        problems.append(f"a composite SLO has 2 to {PARTS_MAX} parts, and this one has {len(names)}")
    if len(set(names)) < len(names):
        problems.append("a composite SLO has each part once")
    if slo_id in names:
        problems.append("an SLO is no part of itself")
    if any(not ID.fullmatch(name) for name in names):
        problems.append("parts must name SLOs")
    weights = [part.weight for part in indicator.parts]
    if any(not 0 < weight <= WEIGHT_MAX for weight in weights):
        problems.append(f"weights must be above 0, and at most {WEIGHT_MAX:,}")
    else:
        try:
            whole_weights(weights)
        except BadWeights as error:
            problems.append(str(error))
    if indicator.group_by:
        problems.append("group_by is for events: a composite SLO has one budget")
    return problems


def evolve(slo: Slo | None, event: SloEvent) -> Slo:
    """What an event makes of the SLO."""
    match event:
        case SloDefined():
            return Slo(event.definition, event.revision, event.measure, event.defined_at)
        case SloRemoved():
            assert slo is not None, "the history of an SLO begins with SloDefined"
            return msgspec.structs.replace(slo, is_removed=True)
        case _:
            assert_never(event)


SLO: Final = Aggregate("slo", "sla.definitions", Slo, members(SloEvent), decide, evolve)
