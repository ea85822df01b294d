"""What an SLO would have counted, as it is told: how much, some events that were bad, and why nothing counted."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from neural_hive.aggregates.sli_source import Source

HAPPENED: Final = {
    Source.TICKETS: "attempts at tickets ended",
    Source.WORKFLOWS: "workflows ended",
    Source.TELEMETRY: "events of metric windows came",
    Source.COMPOSITE: "events of its parts were counted",
}


class Example(msgspec.Struct, frozen=True):
    """A valid event that was not good, or some that are alike."""

    id: str  # of the ticket or workflow; of a metric window its service and metric
    at: datetime
    fields: dict[str, Any]  # those that the expressions ask for
    place: str  # of the event or window: topic:partition:offset
    events: int = 1

    def text(self) -> str:
        """In words."""
        fields = ", ".join(f"{name} {shown(value)}" for name, value in self.fields.items())
        many = f"  {self.events:,} events" if self.events > 1 else ""
        return f"{self.at:%Y-%m-%d %H:%M:%S}  {self.id}  {fields}  {self.place}{many}"


class Group(msgspec.Struct, frozen=True):
    """What one value of the field has that budgets are kept apart by."""

    dimension: str
    good: int
    valid: int


class PartTried(msgspec.Struct, frozen=True):
    """What a part of a composite SLO has counted in the time."""

    slo_id: str
    weight: int  # each of its events counts so often
    good: int  # of its own events
    valid: int

    def text(self) -> str:
        """In words."""
        often = f", each {self.weight:,} times" if self.weight != 1 else ""
        return f"  {self.slo_id}: {self.good:,} good of {self.valid:,}{often}"


class Tried(msgspec.Struct, frozen=True):
    """What an SLO would have counted."""

    slo_id: str
    source: Source
    since: datetime
    until: datetime
    target: float
    events: int  # of the source, valid or not; of COMPOSITE: valid ones of its parts
    good: int
    valid: int
    problems: tuple[str, ...] = ()  # why it cannot be counted, or counts nothing
    examples: tuple[Example, ...] = ()  # the newest bad events
    groups: tuple[Group, ...] = ()
    parts: tuple[PartTried, ...] = ()  # of COMPOSITE

    @property
    def rate(self) -> float | None:
        """The share of good events; None: there was no valid one."""
        return self.good / self.valid if self.valid else None

    @property
    def is_well(self) -> bool:
        """Whether something was counted, and nothing was wrong."""
        return bool(self.valid) and not self.problems

    def text(self) -> str:
        """In words."""
        share = "" if self.rate is None else f" = {self.rate:.2%}, promised are {self.target:.2%}"
        what = HAPPENED.get(self.source, "events were looked at")
        lines = [
            f"{self.slo_id}: {self.good:,} good of {self.valid:,} valid events{share}",
            f"from {self.since:%Y-%m-%d %H:%M} to {self.until:%Y-%m-%d %H:%M} UTC {self.events:,} {what}",
            *self.problems,
        ]
        lines += [f"  {g.dimension or '(none)'}: {g.good:,} good of {g.valid:,}" for g in self.groups]
        lines += [part.text() for part in self.parts]
        if self.examples:
            lines.append(f"bad events, the newest {len(self.examples)}")
            lines += [f"  {example.text()}" for example in self.examples]
        return "\n".join(lines)


def shown(value: Any) -> str:
    """A field's value as people read it."""
    if value is None:
        return "unknown"
    return f"{value:g}" if isinstance(value, float) else str(value)


def named(values: Mapping[str, int], most: int) -> str:
    """The first few of some values, each with how often it is there."""
    told = [f"{value} ({times:,})" for value, times in list(values.items())[:most]]
    return f"{', '.join(told)}{', …' if len(values) > most else ''}"
