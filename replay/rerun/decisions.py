"""Runs each decision of a partition again: the real handlers, on the state, the input and the views of then.

What comes out must be what was written, byte for byte: key, headers, envelope and payload. Each decision is looked at
for itself: after one that differs the state goes on with what was written.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from neural_hive.aggregates.partition import PARTITION
from neural_hive.connectors.kafka_log import Record, UnreadableLog
from neural_hive.replay.checks.chain import Event
from neural_hive.replay.checks.committed import NotVerified
from neural_hive.replay.checks.events import EventStream
from neural_hive.replay.checks.inputs import Read
from neural_hive.replay.checks.refold import apply, mailed
from neural_hive.replay.reader import LogSource, Range
from neural_hive.replay.report import Check, Findings
from neural_hive.replay.rerun.causes import Caused, Inputs, by_cause, timer_of
from neural_hive.replay.rerun.difference import differences
from neural_hive.replay.rerun.memory_store import MemoryStore
from neural_hive.replay.rerun.past_views import PastView, past_views
from neural_hive.replay.rerun.seen import Seen, Sight
from neural_hive.schemas.catalogue import UnknownSchema, registered
from neural_hive.schemas.codec import BadRecord, EventEncoder, schema_id
from neural_hive.streams.kernel.fold import Fold, Route
from neural_hive.streams.kernel.inbox import Misrouted, open_mail
from neural_hive.streams.kernel.reading import RegistryAway
from neural_hive.streams.kernel.state import Position
from neural_hive.streams.kernel.system import System
from neural_hive.streams.kernel.unit import Cause, Output, Work

FIELDS_SHOWN_MAX: Final = 20
_CHECK: Final = Check.DECISION


class Decision(msgspec.Struct, frozen=True):
    """A cause, and who decides what follows from it."""

    cause: Cause
    handle: Any  # of a unit and what the handler takes
    message: Any


class CannotRun(Exception):
    """A decision that cannot be run again; the text says why."""


class PartitionRerun:
    """One partition's decisions, from the first on."""

    def __init__(
        self,
        system: System,
        partition: int,
        partitions_of: dict[str, int],
        source: LogSource,
        views: Mapping[str, PastView],
        logic: str,
        read: Read,
        findings: Findings,
    ) -> None:
        """`logic`: the version of the code that decides here; what another one decided is folded only."""
        self._system, self._partition, self._partitions_of = system, partition, partitions_of
        self._fold = Fold(system.all_aggregates, MemoryStore())  # type: ignore[arg-type]
        self._source = source
        self._inputs, self._seen = Inputs(source, partition), Seen(views)
        self._logic, self._read, self._findings = logic, read, findings
        self._encoders = {
            event.__name__: EventEncoder(event.__name__, aggregate.name, logic, system.name)
            for aggregate in system.all_aggregates
            for event in aggregate.events
        }
        self._aggregate_of = {e.__name__: a.name for a in system.all_aggregates for e in a.events}
        self._sequence = 0
        self._has_differed = False

    def run(self, events: Iterable[Event]) -> None:
        """Looks at all of them. Raises RegistryAway, and what the source raises."""
        for caused in by_cause(events):
            if caused.first.rest["sequence"] != self._sequence + 1:
                reason = "events before it are missing, so the state that it was made from is not known"
                self._leave_out(caused, reason)
                return
            try:
                self._take(caused)
            except (BadRecord, LookupError) as error:
                self._leave_out(caused, f"this build cannot fold it: {error}")
                return

    def close(self) -> None:
        """Ends what is read still."""
        self._inputs.close()

    def _take(self, caused: Caused) -> None:
        same = False
        try:
            decision = self._decision(caused)
            same = self._is_same(decision, caused)
            self._findings.examined[_CHECK] += len(caused.events)
        except CannotRun as error:
            self._leave_out(caused, str(error))
        if not same:
            self._fold.undo()
            for event in caused.events:
                apply(self._fold, event)
        self._seen.note(caused)
        self._sequence = caused.events[-1].rest["sequence"]
        self._fold.write(Position("", self._sequence, {}))

    def _leave_out(self, caused: Caused, reason: str) -> None:
        self._findings.leave_out(_CHECK, reason, caused.first.place, len(caused.events))

    def _decision(self, caused: Caused) -> Decision:
        """What to run. Raises CannotRun."""
        first = caused.first
        if first.lead.aggregate_type == PARTITION:
            raise CannotRun("a person accepted a damaged log: nobody decided that")
        if first.lead.logic_version != self._logic:
            raise CannotRun(
                f"logic version {first.lead.logic_version} decided it, and the code here is {self._logic}: run the "
                "code of then with --code REVISION"
            )
        return self._of_timer(caused) if caused.is_timer else self._of_input(caused)

    def _of_timer(self, caused: Caused) -> Decision:
        found = timer_of(self._fold, caused)
        if found is None:
            route = Route("", "", "")
            return Decision(Cause(caused.message_id, b"", route, 0, "", self._partition, 0), _no_timer, "")
        timer, cause = found
        return Decision(cause, self._system.timers[timer.aggregate, timer.name], timer.aggregate_id)

    def _of_input(self, caused: Caused) -> Decision:
        rest = caused.first.rest
        record = self._inputs.record(rest["source_topic"], rest["source_offset"])
        if record is None:
            raise CannotRun(f"{rest['source_topic']} does not have the input any more, nor has the archive")
        try:
            mail = open_mail(self._system, self._read, mailed(record), self._partition, self._partitions_of)
        except (BadRecord, UnknownSchema, Misrouted) as error:
            raise CannotRun(f"its input cannot be read now: {error}") from error
        return Decision(mail.cause, mail.handler, mail.message)

    def _is_same(self, decision: Decision, caused: Caused) -> bool:
        """Whether it gives what was written, with any of the views that it can have been made from. Then the fold has
        it; else the differences are noted.
        """
        first: list[Output] | str | None = None
        tries = 0
        for tries, sight in enumerate(self._seen.sights(caused), 1):
            made = self._made(decision, caused, sight)
            if _equal(made, caused.events):
                self._findings.counts["decided_again"] += 1
                if tries > 1:
                    self._findings.counts["with_a_view_found"] += 1
                return True
            self._fold.undo()
            first = made if first is None else first
            if not sight.asked:
                break  # no other view makes another decision
        assert first is not None
        self._note(first, caused, tries)
        return False

    def _made(self, decision: Decision, caused: Caused, sight: Sight) -> list[Output] | str:
        """The events that it gives now, or why it gives none."""
        work = Work(
            self._fold,
            self._partition,
            self._encoders | self._older(caused),
            sight,
            self._partitions_of,
            self._system.name,
            self._sequence,
            look_up=self._looked_up,
        )
        work.begin(decision.cause)
        try:
            decision.handle(work, decision.message)
        except (RegistryAway, CannotRun):
            raise
        except Exception as error:  # whatever it is, it was not so then
            return f"{type(error).__name__}: {error}"
        return [output for output in work.outputs if output.hash is not None]

    def _looked_up(self, topic: str, partition: int, offset: int) -> Record | None:
        """See LookUp. Raises CannotRun: it was there once."""
        begin, end = self._source.ranges(topic).get(partition, (0, 0))
        if 0 <= offset < begin:
            raise CannotRun(f"{topic}:{partition}:{offset} is not in the log any more, nor in the archive")
        if not begin <= offset < end:
            return None
        batches = self._source.batches(topic, partition, offset, offset + 1)
        return next((record for batch in batches for record in batch), None)

    def _older(self, caused: Caused) -> dict[str, EventEncoder]:
        """Encoders of schema versions that were written then, where they are not the newest."""
        found: dict[str, EventEncoder] = {}
        for event in caused.events:
            name, row = event.lead.event_type, registered()[schema_id(event.record.value or b"")]
            if name in self._aggregate_of:
                of = self._aggregate_of[name]
                encoder = EventEncoder(name, of, self._logic, self._system.name, row)
                if encoder.is_older:
                    found[name] = encoder
        return found

    def _note(self, made: list[Output] | str, caused: Caused, tries: int) -> None:
        """Field by field for the first difference of the partition; for the others, which fields."""
        tried = f", with {tries} views that it can have been made from" if tries > 1 else ""
        event, found = caused.first, self._findings
        if isinstance(made, str):
            found.add(_CHECK, event.place, event.aggregate, _types(caused), made + tried)
            return
        for output, event in zip(made, caused.events, strict=False):
            if not _is_equal(output, event.record):
                break
        else:
            now = ", ".join(_type(output) for output in made) or "no event"
            found.add(_CHECK, event.place, event.aggregate, _types(caused), now + tried)
            return
        fields = differences(event.record.value or b"", output.value)
        if self._has_differed or not fields:
            names = ", ".join(field.field for field in fields) or "key, topic or headers"
            found.add(_CHECK, event.place, event.aggregate, "the same bytes", f"other {names}{tried}")
        else:
            for field in fields[:FIELDS_SHOWN_MAX]:
                then, now = (f"{field.field} = {value}" for value in (field.left, field.right))
                found.add(_CHECK, event.place, event.aggregate, then, now + tried)
        self._has_differed = True


def _equal(made: list[Output] | str, events: tuple[Event, ...]) -> bool:
    return (
        not isinstance(made, str)
        and len(made) == len(events)
        and all(_is_equal(output, event.record) for output, event in zip(made, events, strict=True))
    )


def _is_equal(output: Output, record: Record) -> bool:
    return (
        output.value == record.value
        and output.topic == record.topic
        and output.partition == record.partition
        and output.key == record.key
        and tuple(output.headers) == tuple(record.headers)
    )


def _types(caused: Caused) -> str:
    return ", ".join(event.lead.event_type for event in caused.events)


def _type(output: Output) -> str:
    return dict(output.headers).get("event_type", b"").decode()


def _no_timer(unit: Any, message: Any) -> None:
    raise LookupError("the state has no timer that is this cause")


def check_decisions(system: System, source: LogSource, logic: str, read: Read, findings: Findings) -> None:
    """Runs all decisions of a system again. Raises what the source raises; NotVerified: the schema registry is away."""
    ranges = {topic: source.ranges(topic) for topic in system.event_topics}
    views = past_views(system.views, source)
    partitions_of = _Counts(system, source)
    for partition in sorted(next(iter(ranges.values()))):
        bounds: dict[str, Range] = {topic: ranges[topic][partition] for topic in ranges}
        events: Iterator[Event] = EventStream(source, Findings()).events(partition, bounds)
        rerun = PartitionRerun(system, partition, partitions_of, source, views, logic, read, findings)
        try:
            rerun.run(events)
        except RegistryAway as error:
            why = f"{error}. Start the schema registry, or name it in the setting schema_registry_url"
            raise NotVerified(why) from error
        finally:
            rerun.close()
    if not findings.examined[_CHECK]:
        del findings.examined[_CHECK]


class _Counts(dict[str, int]):
    """How many partitions each topic has. Where else a message would go does not matter here: a topic that is not
    there has as many as the system's own.
    """

    def __init__(self, system: System, source: LogSource) -> None:
        self._source = source
        self._own = len(source.ranges(system.event_topics[0]))

    def __missing__(self, topic: str) -> int:
        try:
            self[topic] = len(self._source.ranges(topic))
        except UnreadableLog:
            self[topic] = self._own
        return self[topic]
