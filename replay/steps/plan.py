"""Which steps a verification has, in the order of its report, and which ones each of them needs."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from neural_hive.projections.catalogue import PROJECTIONS
from neural_hive.replay.steps.scope import Scope
from neural_hive.replay.steps.step import Done, Kind, Step
from neural_hive.replay.steps.target import Target

Needs = tuple[Step, ...]
Planned = tuple[Step, Needs]
WRITERS: Final = frozenset({Kind.EVENTS, Kind.LETTERS, Kind.INPUTS, Kind.STATE, Kind.DECISIONS})


class Plan(msgspec.Struct, frozen=True):
    """What is verified, settled before anything is read."""

    scopes: list[Scope]
    key: bytes  # of the fingerprints that steps leave for each other
    topics: list[str]  # that are archived; empty: the archive is not compared with the log
    read_models: bool
    seal: bool
    decisions: bool

    def scope(self, name: str) -> Scope:
        """That of a writer."""
        return next(scope for scope in self.scopes if scope.name == name)

    @property
    def records(self) -> int:
        """How many event records there are at most."""
        return sum(scope.records for scope in self.scopes)


def steps(plan: Plan, targets: dict[str, Target]) -> list[Planned]:
    """All of them."""
    found: list[Planned] = []
    for scope in plan.scopes:
        of_writer = list(writer_steps(targets[scope.name], scope.partitions))
        found += of_writer
        if plan.decisions:
            found.append((Step(Kind.DECISIONS, scope.name), tuple(step for step, _ in of_writer)))
    found += [(Step(Kind.ARCHIVE, topic), ()) for topic in plan.topics]
    if plan.read_models:
        found += [(Step(Kind.PROJECTION, projection.name), ()) for projection in PROJECTIONS]
    if plan.seal:
        found.append((Step(Kind.SEAL), ()))
    return found


def writer_steps(target: Target, partitions: int) -> Iterator[Planned]:
    """Those over one writer's log."""
    name = target.name
    read = [Step(Kind.EVENTS, name, number) for number in range(partitions)]
    read.append(Step(Kind.LETTERS, name))
    inputs = Step(Kind.INPUTS, name)
    yield from ((step, ()) for step in read)
    yield inputs, tuple(read)
    for events in read[:partitions]:
        yield Step(Kind.STATE, name, events.partition), (events, inputs)


def can_be_done(needs: Iterable[Step], done: Mapping[Step, Done]) -> bool:
    """Whether all that a step needs was done to its end."""
    return all(need in done and not done[need].report.problem for need in needs)
