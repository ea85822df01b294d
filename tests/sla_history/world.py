"""A partition of a source, the system that counts it as it comes, the calculator, and who counts history: in memory.

Whoever asks the log may find that `sli` has gone on meanwhile: `meanwhile` runs in the middle of every look.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from random import Random
from typing import Any

import msgspec

from neural_hive.aggregates.aggregate import Event, Rejected
from neural_hive.aggregates.budget import BUDGET_AGGREGATE, budget_id_of
from neural_hive.aggregates.burn import Counts
from neural_hive.aggregates.identity import derived_id
from neural_hive.aggregates.sla_window import MINUTE
from neural_hive.aggregates.sli_source import Source
from neural_hive.aggregates.slo import SLO, Definition, Indicator, Slo, SloType
from neural_hive.aggregates.ticket import TicketCompleted, TicketCreated, TicketFailed
from neural_hive.aggregates.ticketing import tickets_of
from neural_hive.connectors.record import Record
from neural_hive.schemas.codec import encode_event
from neural_hive.schemas.envelope import Envelope
from neural_hive.streams.kernel.reading import MessageReader
from neural_hive.streams.sla import system as sla
from neural_hive.streams.sla.history import CountHistory
from neural_hive.streams.sla.messages import CountSli, DefineSlo
from neural_hive.streams.sli import system as sli
from neural_hive.streams.sli_history.historian import Historian
from neural_hive.streams.sli_history.reach import Place
from neural_hive.streams.sli_history.view import HISTORIES, Histories
from tests.aggregates.making import decision, task
from tests.registry.kernel_unit import Viewed
from tests.sla.kernel_unit import SlaUnit
from tests.sla.sli_unit import TELEMETRY, TICKETS, WORKFLOW, SliUnit

SOURCES = "sla.sources"
DEFINITION = Definition(
    "shop",
    "Shop",
    SloType.AVAILABILITY,
    "shop",
    0.9,
    Indicator(Source.TICKETS, "status = 'COMPLETED'", "service = 'cart'"),
    window_days=7,
)


class Crash(Exception):
    """The process is killed."""


class Counting(SliUnit):
    """The system `sli` on one partition, which it has read up to `next`."""

    next = 0

    def take(self, offset: int, event: Event, ticket_id: str) -> list[Any]:
        """The record at its place; what it counts."""
        self._offset, self.next = offset - 1, offset + 1
        return self.happens(TICKETS, event, ticket_id)


class World:
    """All of it; the source are tickets."""

    topic = TICKETS
    dimensions: tuple[str, ...] = ("",)  # of which there may be budgets

    def __init__(self, definition: Definition = DEFINITION) -> None:
        self.definition = definition
        self.sli, self.sla = Counting(sli.build()), SlaUnit(sla.build())
        self.events: list[tuple[Event, str]] = []
        self.records: list[Record] = []
        self.begin = 0  # of what log and archive have
        self.meanwhile: Callable[[], None] = lambda: None
        self.refused: list[str] = []
        self.crash_after: int | None = None  # so many ranges
        self.read: list[int] = []  # offsets of source records that were read for history
        self.delayed: list[CountHistory] | None = None  # ranges that are on the way, if they are held back
        self._histories: tuple[int, Histories] = (0, {})

    # What happens

    def created(self, ticket_id: str, service: str = "cart") -> None:
        """A ticket has begun."""
        (ticket,) = tickets_of(decision(task("a", parameters={"service": service})), self.sla.now)
        self._append(TicketCreated(**msgspec.structs.asdict(ticket)), ticket_id)

    def ended(self, ticket_id: str, is_good: bool = True, minutes_ago: int = 0) -> None:
        """An attempt at it has ended."""
        at = self.sla.now - minutes_ago * MINUTE
        times = at - 1_000_000, at
        if is_good:
            self._append(TicketCompleted("t", WORKFLOW, 1, "a", *times, 0, {}, ()), ticket_id)
        else:
            self._append(TicketFailed("t", WORKFLOW, 1, "a", *times, 1, {}, (), "it broke"), ticket_id)

    def _append(self, event: Event, ticket_id: str) -> None:
        offset, name = len(self.records), type(event).__name__
        head = Envelope(
            name, "ticket", 1, "l", "p", derived_id("world", str(offset)), ticket_id, 1, self.sla.now, WORKFLOW, "c",
            "0" * 32, "0" * 16, 1, "", 0, 0, bytes(32),
        )  # fmt: skip
        value = encode_event(head, msgspec.to_builtins(event))
        self.records.append(Record(TICKETS, 0, offset, 0, WORKFLOW.encode(), value, ()))
        self.events.append((event, ticket_id))

    # Who counts it as it comes

    def define(self) -> None:
        """Somebody defines the SLO; `sli` does not know of it yet."""
        if self.sla.state(SLO, "shop") is None:
            self.sla.handle(DefineSlo("shop", self.definition))

    def seen_by_sli(self) -> None:
        """Now it does."""
        self.sli.slos["shop"] = self.slo

    @property
    def slo(self) -> Slo:
        found: Slo = self.sla.state(SLO, "shop")
        return found

    def counts_on(self, records: int = 1) -> None:
        """`sli` reads on."""
        for _ in range(records):
            if self.sli.next < len(self.records):
                for counted in self.taken_by_sli(self.sli.next):
                    self.sla.handle(counted)

    def sli_goes_on(self, chance: Random) -> None:
        """By chance `sli` hears of the SLO, and counts some events."""
        if chance.random() < 0.3 and self.sla.state(SLO, "shop"):
            self.seen_by_sli()
        if chance.random() < 0.6:
            self.counts_on(chance.randint(1, 4))

    def one_looks(self, historians: list[Historian], chance: Random, meanwhile: Callable[[], None]) -> None:
        """One of two historians, while other things happen; if it dies of it, another one begins."""
        self.meanwhile = meanwhile
        self.crash_after = chance.choice((None, None, 0, 1, 2))
        which = chance.randrange(2)
        try:
            historians[which].look()
        except Crash:
            historians[which] = self.historian()
        self.meanwhile = lambda: None

    def taken_by_sli(self, offset: int) -> list[CountSli]:
        """It takes the record at its place; what it counts."""
        return self.sli.take(offset, *self.events[offset])

    # Who counts history

    def historian(self) -> Historian:
        """A process that counts it."""
        partitions = dict.fromkeys((TICKETS, "orchestration.workflows", TELEMETRY), 1)
        slos = lambda: {"shop": self.slo} if self.sla.state(SLO, "shop") else {}  # noqa: E731
        return Historian(
            slos, self.histories, self, partitions, self, threading.Event(), MessageReader(), 0.0,
            lambda: self.sla.now,
        )  # fmt: skip

    def histories(self) -> Histories:
        """What the calculator has said of it."""
        count, known = self._histories
        for output in self.sla.log[count:]:
            if output.topic == HISTORIES.topic:
                known = HISTORIES.add(known, Viewed(output))
        self._histories = len(self.sla.log), known
        return known

    def __call__(self, told: CountHistory) -> None:
        """See Tell."""
        if self.crash_after is not None:
            if not self.crash_after:
                raise Crash
            self.crash_after -= 1
        if self.delayed is not None:
            self.delayed.append(told)
        else:
            self.deliver(told)

    def deliver(self, told: CountHistory) -> None:
        """The calculator hears of a range."""
        try:
            self.sla.handle(msgspec.convert(msgspec.to_builtins(told), CountHistory))
        except Rejected as error:
            self.refused.append(str(error))

    def settle(self) -> None:
        """See Tell."""

    # The log

    def committed(self, places: Iterable[Place]) -> dict[Place, int]:
        """See Log; `sli` may go on behind the answer."""
        found = {place: self.sli.next if place[0] == self.topic else 0 for place in places}
        self.meanwhile()
        return found

    def ends(self, places: Iterable[Place]) -> dict[Place, int]:
        """See Log."""
        found = {place: len(self.records) if place[0] == self.topic else 0 for place in places}
        self.meanwhile()
        return found

    def whole(self, partition: int) -> Any:
        """See Log."""
        return Whole(self)

    def check(self) -> None:
        """Brings all to its end: each event counted once, and as `sli` alone would have."""
        self.meanwhile = lambda: None
        self.crash_after = None
        self.define()
        self.seen_by_sli()
        self.last_word()
        self.counts_on(len(self.records))
        last = self.historian()
        for _ in range(3):
            last.look()
        assert last._todo() == {}, "history has an end"
        self.sla.pass_time(0)
        self.sla.pass_time(0.1)
        self.sla.pass_time(90)
        assert self.held() == self.expected()
        assert self.sla.rows() == self.sla.refolded_rows()

    def held(self) -> Counts:
        """What all budgets hold together."""
        names = (budget_id_of("shop", 1, dimension) for dimension in self.dimensions)
        budgets = [self.sla.state(BUDGET_AGGREGATE, name) for name in names]
        return sum((budget.sums["budget"] for budget in budgets if budget), Counts())

    def last_word(self) -> None:
        """Something comes that does not count, so that `sli` begins to count."""
        self.created("last", "another")

    def expected(self) -> Counts:
        """What counts: ends of tickets whose beginning is known, in its service."""
        services, good, valid = dict[str, str](), 0, 0
        for offset, (event, ticket_id) in enumerate(self.events):
            if isinstance(event, TicketCreated):
                if offset >= self.begin:
                    services.setdefault(ticket_id, event.task.parameters["service"])
            elif services.get(ticket_id) == "cart":
                valid += 1
                good += isinstance(event, TicketCompleted)
        return Counts(good, valid)

    def close(self) -> None:
        """Removes the states."""
        self.sli.close()
        self.sla.close()


class Whole:
    """See WholeLog."""

    partition = 0

    def __init__(self, world: World) -> None:
        self._world = world

    def _records(self, topic: str) -> list[Record]:
        if topic == self._world.topic:
            return self._world.records
        outputs = self._world.sli.log if topic == SOURCES else []
        return [Record(topic, 0, at, 0, o.key, o.value, ()) for at, o in enumerate(outputs)]

    def range(self, topic: str) -> tuple[int, int]:
        begin = self._world.begin if topic == self._world.topic else 0
        found = begin, len(self._records(topic))
        self._world.meanwhile()
        return found

    def read(self, topic: str, first: int, end: int) -> Iterator[Record]:
        assert first >= (self._world.begin if topic == self._world.topic else 0)
        for record in self._records(topic)[first:end]:
            if topic == self._world.topic:
                self._world.read.append(record.offset)
            yield record
        self._world.meanwhile()

    def close(self) -> None:
        """Nothing is open."""
