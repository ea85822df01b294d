"""Makes the decisions of one system again: the handlers on the state, the input and the views of then.

The code that decides is whatever `neural_hive.streams` this process imports.
"""

from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from inspect import signature
from typing import Any

from neural_hive.aggregates.aggregate import event_of
from neural_hive.aggregates.identity import derived_id
from neural_hive.schemas.catalogue import UnknownSchema, registered
from neural_hive.schemas.codec import BadRecord, EventEncoder, decode
from neural_hive.streams.kernel.broadcast import Snapshot
from neural_hive.streams.kernel.fold import Fold, Route
from neural_hive.streams.kernel.inbox import Misrouted, open_mail
from neural_hive.streams.kernel.reading import RegistryAway
from neural_hive.streams.kernel.state import Position, row_key
from neural_hive.streams.kernel.system import System
from neural_hive.streams.kernel.unit import Cause, Work, cause_digest
from neural_hive.streams.kernel.versions import logic_version

from .memory_store import MemoryStore
from .past import Past
from .words import About, Decide, Decided, Folded, Keep, Know, Made, Open, Sight, Take

try:
    from neural_hive.streams.kernel.timer_cause import cause_of
except ImportError:  # older code: what it makes of a timer is made here
    cause_of = None  # type: ignore[assignment]

LookUp = Callable[[str, int, int], Any]  # of a topic, a partition, an offset; raises CannotRun
_HAS_VERSIONS = "version" in signature(EventEncoder.__init__).parameters  # of schemas, beside the newest
_HAS_LOOK_UP = "look_up" in signature(Work.__init__).parameters


class CannotRun(Exception):
    """A decision that cannot be made again; the text says why."""


class Decider:
    """One system's decisions, one partition after the other."""

    def __init__(
        self, system: System, read: Callable[[bytes], Any], look_up: LookUp, logic: str = ""
    ) -> None:
        """`read` decodes the messages of inputs; `look_up` finds single records; `logic`: the version that the code
        calls itself, if it is not what is computed of it.
        """
        self._system, self._read, self._look_up = system, read, look_up
        self._logic = logic or logic_version(system)
        self._pasts: dict[str, Past] = {}
        self._encoders = {
            event.__name__: EventEncoder(event.__name__, aggregate.name, self._logic, system.name)
            for aggregate in system.all_aggregates
            for event in aggregate.events
        }
        self._aggregate_of = {e.__name__: a.name for a in system.all_aggregates for e in a.events}

    def about(self) -> About:
        """What the code says of itself."""
        views = {name: view.topic for name, view in self._system.views.items()}
        return About(self._logic, views, tuple(getattr(self._system, "looks_into", ())))

    def know(self, topic: Know) -> None:
        """Takes all that a topic says that is read whole."""
        for name, view in self._system.views.items():
            if view.topic == topic.topic:
                self._pasts[name] = Past(view, topic.topic, topic.begins, topic.partitions)

    def open(self, partition: Open) -> None:
        """Begins with a partition."""
        self._partition, self._sequence = partition.partition, 0
        self._partitions_of = _Counts(partition.partitions_of, partition.partitions)
        self._fold = Fold(self._system.all_aggregates, MemoryStore())  # type: ignore[arg-type]
        self._is_open = False  # something was decided, and neither kept nor taken back

    def decide(self, what: Decide) -> Decided:
        """The events that it gives now, or why it gives none. Raises RegistryAway."""
        self._forget()
        views = _Views(self._pasts, what.sight)
        self._is_open = True
        try:
            cause, handle, message = self._caused(what)
            work = self._work(views, what.written)
            work.begin(cause)
        except CannotRun as error:
            return Decided(cannot=str(error))
        try:
            handle(work, message)
        except RegistryAway:
            raise
        except CannotRun as error:
            return Decided(cannot=str(error))
        except Exception as error:  # whatever it is, it was not so then
            return Decided(error=f"{type(error).__name__}: {error}", asked=tuple(views.asked))
        made = [
            Made(output.topic, output.partition, output.key, output.value, list(output.headers))
            for output in work.outputs
            if output.hash is not None
        ]
        return Decided(made, asked=tuple(views.asked))

    def _forget(self) -> None:
        if self._is_open:
            self._fold.undo()
            self._is_open = False

    def keep(self, what: Keep) -> None:
        """What was decided last stands."""
        self._write(what.sequence)

    def take(self, what: Take) -> Folded:
        """Folds what was written in the place of what was decided."""
        self._forget()
        try:
            for key, value in what.events:
                self._apply(key, value)
        except (BadRecord, LookupError) as error:
            return Folded(str(error))
        self._write(what.sequence)
        return Folded()

    def _write(self, sequence: int) -> None:
        self._sequence, self._is_open = sequence, False
        self._fold.write(Position("", sequence, {}))

    def _apply(self, key: bytes, value: bytes) -> None:
        decoded = decode(value, "event")
        head: Any = decoded.head
        if head.aggregate_type not in self._fold.aggregates:
            raise LookupError(f"{self._system.name} has no aggregate {head.aggregate_type}")
        aggregate = self._fold.aggregates[head.aggregate_type]
        at = row_key(aggregate.name, head.aggregate_id)
        self._fold.apply(
            aggregate,
            head.aggregate_id,
            at,
            self._fold.row(aggregate, at),
            event_of(aggregate, head.event_type, decoded.payload),
            head.version,
            head.occurred_at,
            sha256(value).digest(),
            cause_digest(head.causation_id),
            Route(key.decode(), head.correlation_id, head.trace_id),
        )
        self._fold.keep()

    def _caused(self, what: Decide) -> tuple[Cause, Callable[[Any, Any], None], Any]:
        """The cause, its handler, and what that takes. Raises CannotRun."""
        if what.record is None:
            return self._of_timer(what)
        try:
            mail = open_mail(self._system, self._read, what.record, self._partition, self._partitions_of)
        except (BadRecord, UnknownSchema, Misrouted) as error:
            raise CannotRun(f"its input cannot be read now: {error}") from error
        return mail.cause, mail.handler, mail.message

    def _of_timer(self, what: Decide) -> tuple[Cause, Callable[[Any, Any], None], Any]:
        for _, timer in self._fold.store.timers():
            if timer.due > what.until:
                break
            for cause in self._causes_of(timer):
                if cause.message_id == what.message_id:
                    return cause, self._system.timers[timer.aggregate, timer.name], timer.aggregate_id
        route = Route("", "", "")
        nothing = Cause(what.message_id, b"", route, 0, "", self._partition, 0)
        return nothing, _no_timer, ""

    def _causes_of(self, timer: Any) -> Iterator[Cause]:
        """What a timer is to its handler. Code that does not say so has named it by its state's version, and before
        that without.
        """
        if cause_of is not None:
            yield cause_of(self._fold, timer, self._partition)
            return
        aggregate = self._fold.aggregates[timer.aggregate]
        row = self._fold.row(aggregate, row_key(aggregate.name, timer.aggregate_id))
        route = Route(timer.routing_id, timer.correlation_id, timer.trace_id)
        name = (timer.aggregate_id, timer.name, str(timer.due))
        for names in ((*name, str(row.version if row is not None else 0)), name):
            message_id = derived_id(*names)
            yield Cause(message_id, cause_digest(message_id), route, timer.due, "", self._partition, 0)

    def _work(self, views: Mapping[str, Any], written: tuple[tuple[str, int], ...]) -> Work:
        look_up: dict[str, Any] = {"look_up": self._look_up} if _HAS_LOOK_UP else {}
        return Work(
            self._fold,
            self._partition,
            self._encoders | self._older(written),
            views,
            self._partitions_of,
            self._system.name,
            self._sequence,
            **look_up,
        )

    def _older(self, written: tuple[tuple[str, int], ...]) -> dict[str, EventEncoder]:
        """Encoders of schema versions that were written then, where they are not the newest."""
        found: dict[str, EventEncoder] = {}
        for name, number in written if _HAS_VERSIONS else ():
            of, row = self._aggregate_of.get(name), registered().get(number)
            if of is not None and row is not None:
                encoder = EventEncoder(name, of, self._logic, self._system.name, row)
                if encoder.is_older:
                    found[name] = encoder
        return found


class _Counts(dict[str, int]):
    """How many partitions each topic has; one that is not known has as many as the event topics: where a message would
    go does not matter here.
    """

    def __init__(self, known: Mapping[str, int], own: int) -> None:
        super().__init__(known)
        self._own = own

    def __missing__(self, topic: str) -> int:
        return self._own


class _Views(Mapping[str, Any]):
    """The views of one decision, made when they are asked for."""

    def __init__(self, pasts: Mapping[str, Past], sight: Sight) -> None:
        self._pasts, self._sight = pasts, sight
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> Snapshot[Any]:
        self.asked.add(name)
        positions = self._sight.at[name]
        value = self._pasts[name].at(positions)
        return Snapshot(value, dict(enumerate(positions)), self._sight.ages_s[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._pasts)

    def __len__(self) -> int:
        return len(self._pasts)


def _no_timer(unit: Any, message: Any) -> None:
    raise LookupError("the state has no timer that is this cause")
