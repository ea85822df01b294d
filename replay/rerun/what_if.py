"""What would have been: the same history under other settings or other code, beside the same engine under its own.

Both sides are runs of one simulation, so what differs between them comes from the change alone; how far the simulation
itself is from what happened is told as the deviation of the first run from the history.
"""

from collections.abc import Mapping, Sequence
from statistics import median_low
from typing import Any, Final

import msgspec

from neural_hive.replay.checks.inputs import Read
from neural_hive.replay.envelopes import EnvelopeReader
from neural_hive.replay.reader import LogSource
from neural_hive.replay.rerun.answers import Assumed
from neural_hive.replay.rerun.comparison import Comparison, compare
from neural_hive.replay.rerun.outcome import TOPICS, Outcome, outcome_of
from neural_hive.replay.rerun.outside import Chosen, Outside, outside_of
from neural_hive.replay.rerun.recording import Recording, record
from neural_hive.replay.rerun.simulation import Ran, Simulation
from neural_hive.streams.kernel.system import System

NAMES: Final = ("orchestrator", "registry")  # the systems that are run


class NothingToRun(LookupError):
    """No plan of the history is one of those that were asked for."""


class Side(msgspec.Struct, frozen=True):
    """One run, and what it was made from beside the history."""

    outcome: Outcome
    assumed: tuple[Assumed, ...]
    living_on: tuple[str, ...]
    until_ms: int
    unfinished: int


class WhatIf(msgspec.Struct, frozen=True):
    """The whole answer."""

    changed: dict[str, tuple[Any, Any]]  # settings: as they are, and as they are tried
    code: str  # other code that decides; empty: the same
    deviation: Comparison  # left: the history, right: the baseline
    difference: Comparison  # left: the baseline, right: the variant
    baseline: Side
    variant: Side
    unreadable: int  # inputs that nobody can read, and that have no effect


def recorded(source: LogSource, systems: Sequence[System]) -> Recording:
    """Reads all that a run needs of the log. Raises what the source raises."""
    topics = {topic for system in systems for topic in (*system.inputs, *system.topics, *system.event_topics)}
    looked_at = {view.topic for system in systems for view in system.views.values()}
    return record(source, sorted(topics | looked_at))


def partitions_of(recording: Recording, systems: Sequence[System]) -> dict[str, int]:
    """How many partitions each system had. Raises UnreadableLog: its events were not recorded."""
    return {system.name: len(recording.ranges(system.event_topics[0])) for system in systems}


def lag_ms(recording: Recording, system: System) -> int:
    """How long after the append of an input its events were appended: the median of a system, ms."""
    reader = EnvelopeReader()
    lags: list[int] = []
    for topic in system.event_topics:
        for event in recording.all(topic):
            _, head = reader.read(event.value or b"")
            if head["source_topic"]:
                lags.append(max(event.timestamp_ms - head["occurred_at"] // 1_000, 0))
    return median_low(lags) if lags else 0


def run(systems: Sequence[System], recording: Recording, chosen: Chosen, read: Read) -> Side:
    """One run over the history. Raises NothingToRun, NeverEnds."""
    outside = chosen_outside(systems, recording, chosen, read)
    lags_ms = {system.name: lag_ms(recording, system) for system in systems}
    ran = Simulation(systems, partitions_of(recording, systems), lags_ms, outside, read).run()
    return _side(ran, outside)


def chosen_outside(systems: Sequence[System], recording: Recording, chosen: Chosen, read: Read) -> Outside:
    """What came from outside. Raises NothingToRun."""
    outside = outside_of(recording, systems, read, chosen)
    if not outside.workflows:
        raise NothingToRun("no plan of the log is one of these: see them with `neural-hive query`")
    return outside


def _side(ran: Ran, outside: Outside) -> Side:
    events = (event for topic in TOPICS for event in ran.events.get(topic, ()))
    outcome = outcome_of(events, outside.workflows, ran.until_ms * 1_000)
    return Side(outcome, ran.assumed, ran.living_on, ran.until_ms, ran.unfinished)


def what_if(
    recording: Recording,
    systems: Sequence[System],
    chosen: Chosen,
    read: Read,
    variant: Side,
    changed: Mapping[str, tuple[Any, Any]],
    code: str = "",
) -> WhatIf:
    """Compares a variant with the systems as they are, and these with the history. Raises NothingToRun, NeverEnds."""
    outside = chosen_outside(systems, recording, chosen, read)
    happened = (event for topic in TOPICS for event in recording.all(topic))
    history = outcome_of(happened, outside.workflows, outside.end_ms * 1_000)
    baseline = run(systems, recording, chosen, read)
    return WhatIf(
        dict(changed),
        code,
        compare(history, baseline.outcome),
        compare(baseline.outcome, variant.outcome),
        baseline,
        variant,
        outside.unreadable,
    )
