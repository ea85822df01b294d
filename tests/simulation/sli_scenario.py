"""Tickets begin and attempts at them end, SLOs come that count them: whatever is killed, each is in one sum."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec

from neural_hive.aggregates.budget import minute_of
from neural_hive.aggregates.sla_window import DAY
from neural_hive.aggregates.sli_source import Source
from neural_hive.aggregates.slo import SLO, Definition, Indicator, SloDefined, SloType
from neural_hive.aggregates.ticket import TicketCompleted, TicketCreated, TicketFailed
from neural_hive.aggregates.ticketing import tickets_of
from neural_hive.schemas.codec import decode, encode_event
from neural_hive.schemas.envelope import NO_HASH, Envelope
from neural_hive.schemas.topics import partition_of
from neural_hive.streams.sla.messages import MEASUREMENTS
from neural_hive.streams.sli.system import build
from tests.aggregates.making import decision, task
from tests.simulation.history import History
from tests.simulation.scenario import Act, Scenario

if TYPE_CHECKING:
    from tests.simulation.world import World

TICKETS: Final = "execution.tickets"
AGENTS: Final = ("a-1", "a-2", "a-3")
Facts = dict[str, Any]
Wanted = tuple[
    str, Callable[[Facts], bool]
]  # which attempts are valid, for the system and for the one who checks
FIRST: Final[tuple[Wanted, ...]] = (  # known before all else
    ("", lambda of: True),
    ("agent_id = 'a-1'", lambda of: of["agent_id"] == "a-1"),
    (
        "agent_id IN ('a-2', 'a-3') AND attempt < 3",
        lambda of: of["agent_id"] in ("a-2", "a-3") and of["attempt"] < 3,
    ),
    ("service = 'cart'", lambda of: of["service"] == "cart"),
)
LATER: Final[tuple[Wanted, ...]] = (
    ("agent_id = 'a-2'", lambda of: of["agent_id"] == "a-2"),
    ("attempt = 1 OR agent_id = 'a-3'", lambda of: of["attempt"] == 1 or of["agent_id"] == "a-3"),
    *((f"attempt < {number}", lambda of: True) for number in range(10, 16)),
)
FAR: Final = 1 << 62


class Sli(Scenario):
    """See above."""

    steps: ClassVar = 150
    outputs: ClassVar = (MEASUREMENTS,)

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.systems = (build(),)
        self._count = 0
        self._begun: dict[str, tuple[int, int]] = {}  # tickets that may end: where and when they began
        self._later = list(enumerate(LATER, len(FIRST)))

    def acts(self) -> list[tuple[Act, int]]:
        """See Scenario.acts."""
        for number, (valid, _) in enumerate(FIRST):
            self._define(number, valid)
        return [(self._begin, 15), (self._end, 40), (self._know, 4), (self._long, 1)]

    def rest(self) -> int:
        """See Scenario.rest."""
        return 1_000_000

    def _know(self) -> None:
        if self._later:
            number, (valid, _) = self._later.pop()
            self._define(number, valid)

    def _define(self, number: int, valid: str) -> None:
        name = f"slo-{number}"
        indicator = Indicator(
            Source.TICKETS, "status = 'COMPLETED'", valid, "agent_id" if number == 0 else ""
        )
        definition = Definition(name, name, SloType.AVAILABILITY, "shop", 0.99, indicator)
        place = SLO.topic, partition_of(name.encode(), 2)
        self._write(place, name, SLO.name, SloDefined(definition, 1, 1, "", "", self.world.broker.now))

    def _long(self) -> None:
        """Nothing happens for days: what has ended is forgotten, or what never will."""
        self.world.broker.pass_time(self.world.chance.choice((8, 8, 101)) * DAY)

    def _begin(self) -> None:
        """A ticket is created."""
        chance, broker, ticket = self.world.chance, self.world.broker, f"begun-{self._count}"
        parameters = {"service": chance.choice(("cart", "shop"))}
        (content,) = tickets_of(decision(task("a", parameters=parameters)), broker.now)
        number = chance.randrange(2)
        self._begun[ticket] = number, broker.now
        self._write((TICKETS, number), ticket, "ticket", TicketCreated(**msgspec.structs.asdict(content)))

    def _end(self) -> None:
        """Some attempts end, in one partition, now or a while ago."""
        chance, number = self.world.chance, self.world.chance.randrange(2)
        for _ in range(chance.randint(1, 5)):
            if chance.random() < 0.05:
                self.world.broker.append((TICKETS, number), b"k", chance.randbytes(9))
                continue
            at, agent, attempt = (
                self.world.broker.now - chance.randrange(300_000_000),
                chance.choice(AGENTS),
                chance.randint(1, 3),
            )
            ticket = self._one_of(number) or f"t-{self._count}"
            of = ("w", attempt, agent, at - 1, at)
            end: Any = TicketFailed(ticket, *of, 1, {}, (), "it broke")
            if chance.random() < 0.7:
                end = TicketCompleted(ticket, *of, 0, {}, ())
                self._begun.pop(ticket, None)
            self._write((TICKETS, number), ticket, "ticket", end)

    def _one_of(self, number: int) -> str:
        """A ticket of a partition that can still end, as its deadline says; empty: none, or one that nobody knows."""
        since = self.world.broker.now - 90 * DAY
        known = [name for name, begun in self._begun.items() if begun[0] == number and begun[1] > since]
        return self.world.chance.choice([*known, "", ""])

    def _write(self, place: tuple[str, int], name: str, aggregate: str, event: Any) -> None:
        self._count += 1
        head = Envelope(
            type(event).__name__, aggregate, 1, "l", "p", f"event {self._count}", name, 1,
            self.world.broker.now, "c", "c", "0" * 32, "0" * 16, self._count, "", 0, 0, NO_HASH,
        )  # fmt: skip
        self.world.broker.append(place, name.encode(), encode_event(head, msgspec.to_builtins(event)))

    def check(self, history: History) -> None:
        """Each sum is that of the events between its offsets; an event is in one sum of each SLO that is known."""
        ends = _ends(history)
        opened = {
            (found.payload["slo_id"], found.payload["partition"]): found.payload["offset"]
            for found in history.events
            if found.kind == "SliSourceOpened"
        }
        told: Counter[tuple[str, str, int, int]] = Counter()
        ids = set()
        for message in history.messages(MEASUREMENTS, "CountSli"):
            found = message.payload
            assert message.header.message_id not in ids, "an id twice"
            ids.add(message.header.message_id)
            _, number, offsets = found["source"].split(":")
            first, _, last = offsets.partition("-")
            slo_id, dimension = found["slo_id"], found["dimension"]
            inside = [
                end
                for end in ends
                if end[0] == int(number) and int(first) <= end[1] <= int(last or first)
                if _is_valid(slo_id, end[2]) and dimension in ("", end[2]["agent_id"])
            ]
            assert inside, f"an empty sum: {found}"
            assert message.header.causation_id == inside[-1][3]
            sums = Counter[int]()
            for _, _, facts, _ in inside:
                sums[facts["minute"]] += 1
            assert {c["at"]: c["valid"] for c in found["counts"]} == sums, found
            assert sum(c["good"] for c in found["counts"]) == sum(facts["good"] for _, _, facts, _ in inside)
            told.update((slo_id, dimension, end[0], end[1]) for end in inside)
        assert all(count == 1 for count in told.values()), "counted twice"
        for number in range(len(FIRST) + len(LATER)):
            slo_id = f"slo-{number}"
            for partition, offset, facts, _ in ends:
                if not _is_valid(slo_id, facts):
                    continue
                dimension = facts["agent_id"] if number == 0 else ""
                is_told = (slo_id, dimension, partition, offset) in told
                is_due = number < len(FIRST) or offset >= opened.get((slo_id, partition), FAR)
                assert is_told or not is_due, f"not counted: {slo_id}, {partition}:{offset}"
                assert not is_told or opened[slo_id, partition] <= offset


def _is_valid(slo_id: str, facts: Facts) -> bool:
    return (*FIRST, *LATER)[int(slo_id.removeprefix("slo-"))][1](facts)


def _ends(history: History) -> list[tuple[int, int, Facts, str]]:
    """Partition, offset, what is asked of it, and its id, of every attempt that has ended."""
    found, services = [], dict[str, str]()
    for (_, number), offset, entry in history.records(TICKETS):
        if len(entry.value or b"") < 10:
            continue
        event = decode(entry.value or b"", "event")
        assert isinstance(event.head, Envelope)
        ticket = event.head.aggregate_id
        if event.head.event_type == "TicketCreated":
            services[ticket] = event.payload["task"]["parameters"]["service"]
            continue
        facts = {
            "service": services.get(ticket, ""),
            "agent_id": event.payload["agent_id"],
            "attempt": event.payload["attempt"],
            "minute": minute_of(event.payload["completed_at"]),
            "good": event.head.event_type == "TicketCompleted",
        }
        found.append((number, offset, facts, event.head.event_id))
    return found
