"""Runs each decision of a partition again: the real handlers, on the state, the input and the views of then.

What comes out must be what was written, byte for byte: key, headers, envelope and payload. Each decision is looked at
for itself: after one that differs the state goes on with what was written. Who decides is a `Decider` (see then/), of
this build in this process or of a revision in another one.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Protocol

from neural_hive.aggregates.partition import PARTITION
from neural_hive.connectors.kafka_log import Record, UnreadableLog
from neural_hive.replay.checks.chain import Event
from neural_hive.replay.checks.committed import NotVerified
from neural_hive.replay.checks.events import EventStream
from neural_hive.replay.checks.inputs import Read
from neural_hive.replay.reader import LogSource, Range
from neural_hive.replay.report import Check, Findings
from neural_hive.replay.rerun.causes import Caused, Inputs, by_cause
from neural_hive.replay.rerun.difference import differences
from neural_hive.replay.rerun.past_views import PastTopic, written_of
from neural_hive.replay.rerun.seen import Seen
from neural_hive.replay.rerun.then.decider import CannotRun, Decider
from neural_hive.replay.rerun.then.words import (
    About,
    Decide,
    Decided,
    Folded,
    Keep,
    Know,
    Made,
    Open,
    Sight,
    Take,
    Written,
)
from neural_hive.schemas.codec import schema_id
from neural_hive.schemas.extensions import all_topics
from neural_hive.streams.kernel.reading import RegistryAway
from neural_hive.streams.kernel.system import System

FIELDS_SHOWN_MAX: Final = 20
_CHECK: Final = Check.DECISION


class Decides(Protocol):
    """See Decider."""

    def about(self) -> About: ...

    def know(self, topic: Know) -> None: ...

    def open(self, partition: Open) -> None: ...

    def decide(self, what: Decide) -> Decided: ...

    def keep(self, what: Keep) -> None: ...

    def take(self, what: Take) -> Folded: ...


class PartitionRerun:
    """One partition's decisions, from the first on."""

    def __init__(
        self,
        partition: int,
        source: LogSource,
        views: Mapping[str, PastTopic],
        decider: Decides,
        logic: str,
        findings: Findings,
    ) -> None:
        """`decider` is at the partition's beginning. `logic`: the version of its code; what another one decided is
        folded only.
        """
        self._decider, self._logic, self._findings = decider, logic, findings
        self._inputs, self._seen = Inputs(source, partition), Seen(views)
        self._sequence = 0
        self._has_differed = False

    def run(self, events: Iterable[Event]) -> None:
        """Looks at all of them. Raises RegistryAway, and what the source raises."""
        for caused in by_cause(events):
            if caused.first.rest["sequence"] != self._sequence + 1:
                reason = "events before it are missing, so the state that it was made from is not known"
                self._leave_out(caused, reason)
                return
            if problem := self._take(caused):
                self._leave_out(caused, f"this code cannot fold it: {problem}")
                return

    def close(self) -> None:
        """Ends what is read still."""
        self._inputs.close()

    def _take(self, caused: Caused) -> str:
        """Decides again, and goes on to the state behind it; why that cannot be folded, if it cannot."""
        self._sequence = caused.events[-1].rest["sequence"]
        same = False
        try:
            same = self._is_same(self._input(caused), caused)
        except CannotRun as error:
            self._leave_out(caused, str(error))
        else:
            self._findings.examined[_CHECK] += len(caused.events)
        self._seen.note(caused)
        if same:
            self._decider.keep(Keep(self._sequence))
            return ""
        written = [(event.record.key or b"", event.record.value or b"") for event in caused.events]
        return self._decider.take(Take(written, self._sequence)).problem

    def _leave_out(self, caused: Caused, reason: str) -> None:
        self._findings.leave_out(_CHECK, reason, caused.first.place, len(caused.events))

    def _input(self, caused: Caused) -> Written | None:
        """The record that it follows from; None: a timer. Raises CannotRun."""
        first = caused.first
        if first.lead.aggregate_type == PARTITION:
            raise CannotRun("a person accepted a damaged log: nobody decided that")
        if first.lead.logic_version != self._logic:
            raise CannotRun(
                f"logic version {first.lead.logic_version} decided it, and the code here is {self._logic}: run the "
                "code of then with --code REVISION"
            )
        if caused.is_timer:
            return None
        topic, offset = first.rest["source_topic"], first.rest["source_offset"]
        record = self._inputs.record(topic, offset)
        if record is None:
            raise CannotRun(f"{topic} does not have the input any more, nor has the archive")
        return written_of(record)

    def _is_same(self, record: Written | None, caused: Caused) -> bool:
        """Whether what was written comes out, with any of the views that it can have been made from. If it does not,
        the differences are noted. Raises CannotRun.
        """
        first: Decided | None = None
        tries = 0
        for tries, sight in enumerate(self._seen.sights(caused), 1):
            decided = self._decider.decide(_asked(caused, record, sight))
            if decided.cannot:
                raise CannotRun(decided.cannot)
            if _equal(decided, caused.events):
                self._findings.counts["decided_again"] += 1
                if tries > 1:
                    self._findings.counts["with_a_view_found"] += 1
                return True
            first = decided if first is None else first
            if not decided.asked:
                break  # no other view makes another decision
        assert first is not None
        self._note(first, caused, tries)
        return False

    def _note(self, decided: Decided, caused: Caused, tries: int) -> None:
        """Field by field for the first difference of the partition; for the others, which fields."""
        tried = f", with {tries} views that it can have been made from" if tries > 1 else ""
        event, found = caused.first, self._findings
        if decided.error:
            found.add(_CHECK, event.place, event.aggregate, _types(caused), decided.error + tried)
            return
        for made, event in zip(decided.made, caused.events, strict=False):
            if not _is_equal(made, event.record):
                break
        else:
            now = ", ".join(_type(made) for made in decided.made) or "no event"
            found.add(_CHECK, event.place, event.aggregate, _types(caused), now + tried)
            return
        fields = differences(event.record.value or b"", made.value)
        if self._has_differed or not fields:
            names = ", ".join(field.field for field in fields) or "key, topic or headers"
            found.add(_CHECK, event.place, event.aggregate, "the same bytes", f"other {names}{tried}")
        else:
            for field in fields[:FIELDS_SHOWN_MAX]:
                then, now = (f"{field.field} = {value}" for value in (field.left, field.right))
                found.add(_CHECK, event.place, event.aggregate, then, now + tried)
        self._has_differed = True


def _asked(caused: Caused, record: Written | None, sight: Sight) -> Decide:
    written = {event.lead.event_type: schema_id(event.record.value or b"") for event in caused.events}
    until = caused.first.rest["occurred_at"]
    return Decide(caused.message_id, record, until, sight, tuple(written.items()))


def _equal(decided: Decided, events: tuple[Event, ...]) -> bool:
    return (
        not decided.error
        and len(decided.made) == len(events)
        and all(_is_equal(made, event.record) for made, event in zip(decided.made, events, strict=True))
    )


def _is_equal(made: Made, record: Record) -> bool:
    return (
        made.value == record.value
        and made.topic == record.topic
        and made.partition == record.partition
        and made.key == record.key
        and tuple(map(tuple, made.headers)) == tuple(record.headers)
    )


def _types(caused: Caused) -> str:
    return ", ".join(event.lead.event_type for event in caused.events)


def _type(made: Made) -> str:
    return dict(made.headers).get("event_type", b"").decode()


def check_decisions(system: System, source: LogSource, logic: str, read: Read, findings: Findings) -> None:
    """Runs all decisions of a system again, with this build's code; `logic`: its version.

    Raises what the source raises; NotVerified: the schema registry is away.
    """
    decider = Decider(system, read, _looking_into(source), logic)
    try:
        rerun(system, source, decider, findings)
    except RegistryAway as error:
        why = f"{error}. Start the schema registry, or name it in the setting schema_registry_url"
        raise NotVerified(why) from error


def rerun(system: System, source: LogSource, decider: Decides, findings: Findings) -> None:
    """Runs all decisions of a system again. Raises what the source and the decider raise."""
    ranges = {topic: source.ranges(topic) for topic in system.event_topics}
    about = decider.about()
    views = {name: PastTopic(topic, source) for name, topic in about.views.items()}
    for past in {past.topic: past for past in views.values()}.values():
        decider.know(past.known())
    numbers = sorted(next(iter(ranges.values())))
    counts = _counts(system, source)
    for partition in numbers:
        bounds: dict[str, Range] = {topic: ranges[topic][partition] for topic in ranges}
        events: Iterator[Event] = EventStream(source, Findings()).events(partition, bounds)
        decider.open(Open(partition, counts, len(numbers)))
        again = PartitionRerun(partition, source, views, decider, about.logic, findings)
        try:
            again.run(events)
        finally:
            again.close()
    if not findings.examined[_CHECK]:
        del findings.examined[_CHECK]


def _counts(system: System, source: LogSource) -> dict[str, int]:
    """How many partitions each topic has that is there."""
    found: dict[str, int] = {}
    for topic in {*all_topics(), *system.inputs, *system.topics, *system.event_topics}:
        try:
            found[topic] = len(source.ranges(topic))
        except UnreadableLog:
            continue
    return found


def _looking_into(source: LogSource) -> Callable[[str, int, int], Record | None]:
    """See LookUp."""

    def look_up(topic: str, partition: int, offset: int) -> Record | None:
        begin, end = source.ranges(topic).get(partition, (0, 0))
        if 0 <= offset < begin:
            raise CannotRun(f"{topic}:{partition}:{offset} is not in the log any more, nor in the archive")
        if not begin <= offset < end:
            return None
        batches = source.batches(topic, partition, offset, offset + 1)
        return next((record for batch in batches for record in batch), None)

    return look_up
