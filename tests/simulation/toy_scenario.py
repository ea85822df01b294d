"""The toy system: counters that are raised, count down, are told nonsense and refuse it; and hear it again."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, ClassVar, Final

from neural_hive.schemas.topics import partition_of
from neural_hive.streams.kernel.inbox import DEAD_LETTERS
from tests.simulation.history import History
from tests.simulation.scenario import Act, Scenario
from tests.toy.system import PUT_BACK, build

if TYPE_CHECKING:
    from tests.simulation.world import World

KEYS: Final = 5
COMMANDS, RESULTS = "toy.commands", "toy.results"


class Toy(Scenario):
    """See above."""

    steps: ClassVar = 150

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.systems = (build(),)
        self._asked = set[str]()  # the messages that want a record to be written again
        self._named = set[tuple[int, int]]()  # the letters that they name

    def acts(self) -> list[tuple[Act, int]]:
        """See Scenario.acts."""
        return [(self._publish, 30)]

    def rest(self) -> int:
        """See Scenario.rest."""
        return 60_000_000

    def check(self, history: History) -> None:
        """Each input is answered, once: by one event of each aggregate that it speaks of, or by a dead letter."""
        answered = set(history.refused)
        seen = set()
        for written in history.events:
            head = written.envelope
            cause = head.aggregate_type, head.aggregate_id, head.causation_id
            assert cause not in seen, f"answered twice: {cause}"
            seen.add(cause)
            answered.add(head.causation_id)
        lost = self.world.sent.keys() - answered
        assert not lost, f"{len(lost)} of {len(self.world.sent)} lost: {sorted(lost)[:3]}"
        self._check_put_back(history)

    def _check_put_back(self, history: History) -> None:
        """A record is written again by the message that raised a counter, once, and by no other."""
        topics = self.systems[0].topics
        written: dict[str, Counter[str]] = {}
        for topic in topics:
            for _, _, entry in history.records(topic):
                if asked := [value or b"" for name, value in entry.headers if name == PUT_BACK]:
                    written.setdefault(asked[-1].decode(), Counter())[topic] += (
                        1  # one astray is in two topics
                    )
        assert all(max(by_topic.values()) == 1 for by_topic in written.values()), "written again twice"
        events = {event.envelope.causation_id for event in history.events}
        assert written.keys() == events & self._asked, "what was written again is not what the events say"

    def _publish(self) -> None:
        chance = self.world.chance
        for _ in range(chance.randint(1, 4)):
            topic = chance.choice((COMMANDS, RESULTS))
            match chance.choices(
                ("add", "twice", "astray", "count down", "bad", "refused", "put back"), (20, 3, 2, 4, 1, 1, 2)
            )[0]:
                case "add":
                    self._send(topic, "AddToCounter", self._key(), amount=chance.randint(1, 2))
                case "twice":
                    key, amount = self._key(), chance.randint(1, 2)
                    message_id = self._send(topic, "AddToCounter", key, amount=amount)
                    self._send(topic, "AddToCounter", key, message_id, amount=amount)
                case "astray":
                    key = self._key()
                    self._send(topic, "AddToCounter", key, at=1 - partition_of(key.encode(), 2), amount=1)
                case "count down":
                    key, delay_ms = f"closing-{chance.randrange(3)}", chance.randint(0, 20_000)
                    self._send(COMMANDS, "StartCountdown", key, delay_ms=delay_ms)
                    self._send(topic, "AddToCounter", key, amount=1)
                case "put back":
                    self._put_back()
                case "bad":
                    self.world.broker.append((topic, chance.randrange(2)), b"k", chance.randbytes(9))
                case _:
                    self._send(topic, "AddToCounter", self._key(), amount=chance.choice((-1, 666)))

    def _put_back(self) -> None:
        """Each letter once: aggregates know a message again only for so long."""
        number = self.world.chance.randrange(2)
        there = len(self.world.broker.logs.get((DEAD_LETTERS, number), ()))
        letter = number, self.world.chance.randint(0, there)
        if letter not in self._named:
            self._named.add(letter)
            named = dict(zip(("letter_partition", "letter_offset"), letter, strict=True))
            self._asked.add(self._send(COMMANDS, "PutBack", self._key(), **named, to_partition=-1))

    def _key(self) -> str:
        return f"counter-{self.world.chance.randrange(KEYS)}"

    def _send(
        self, topic: str, kind: str, key: str, message_id: str = "", at: int | None = None, **payload: int
    ) -> str:
        return self.world.send(topic, kind, key, {"counter_id": key, **payload}, message_id, at)
