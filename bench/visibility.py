"""How soon an event is seen in SQL while a steady stream of them is published and projected into all tables."""

import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from typing import Any, Final

import msgspec
from confluent_kafka import KafkaError, Message, Producer

from bench.projected_log import Log, event_type
from bench.projection_contenders import HIVE, Server
from bench.topics import Stopped, new_topics
from neural_hive.connectors.kafka_log import Record
from neural_hive.projections.archive import EVENTS
from neural_hive.projections.tickets import TICKETS

STEADY: Final = (10_000, 20_000)  # events/s
STEADY_S: Final = 20.0
BURST_S: Final = 0.05  # a transaction each, as processors write them
_LOOK_EVERY_S: Final = 0.15  # more often, and who looks takes what who writes would need


class Delay(msgspec.Struct, frozen=True):
    """From publish to seen, over the samples of one stream."""

    p50_s: float
    p95_s: float

    def __str__(self) -> str:
        return f"p50 {self.p50_s:.2f} s, p95 {self.p95_s:.2f} s"


class Outcome(msgspec.Struct, frozen=True):
    """Of one stream."""

    events: Delay
    tickets: Delay
    rate: float  # events/s that were published

    def __str__(self) -> str:
        return f"{self.rate:,.0f} events/s, seen in events: {self.events}; in tickets: {self.tickets}"


class Sample(msgspec.Struct, frozen=True):
    """One published event."""

    partition: int
    offset: int
    published_at: float  # s of the monotonic clock: when it was given to the producer


class Stream:
    """The events of a log's tape, again and again. The last event of a ticket in each burst is a sample."""

    def __init__(self, kafka: dict[str, Any], topic: str, tape: Sequence[Record], rate: int) -> None:
        self.topic = topic
        self.burst_events = int(rate * BURST_S)
        self.samples: list[Sample] = []
        self._tape = cycle(tape)
        config = {"transactional.id": topic, "compression.type": "lz4", "linger.ms": 5}
        quick = {"retry.backoff.ms": 1, "retry.backoff.max.ms": 5}
        self._producer = Producer({**kafka, "log_level": 2, **config, **quick})
        self._producer.init_transactions(30)

    def burst(self) -> None:
        """Publishes the events of BURST_S in one transaction."""
        chosen = list(islice(self._tape, self.burst_events))
        last = max(n for n, record in enumerate(chosen) if event_type(record) in TICKETS.types)
        self._producer.begin_transaction()
        for number, record in enumerate(chosen):
            noted = {"on_delivery": self._note(time.monotonic())} if number == last else {}
            headers = list(record.headers)
            self._producer.produce(
                self.topic, record.value, record.key, record.partition, headers=headers, **noted
            )
        self._producer.commit_transaction(30)

    def _note(self, published_at: float) -> Callable[[KafkaError | None, Message], None]:
        def note(error: KafkaError | None, message: Message) -> None:
            if error is None:  # else the transaction is not committed either
                self.samples.append(Sample(message.partition(), message.offset(), published_at))

        return note

    def run(self, seconds: float) -> float:
        """A burst every BURST_S for so long, or when the one before is done; events/s."""
        began, bursts = time.monotonic(), int(seconds / BURST_S)
        for number in range(bursts):
            time.sleep(max(began + number * BURST_S - time.monotonic(), 0))
            self.burst()
        return bursts * self.burst_events / max(time.monotonic() - began, seconds)


class Watch:
    """Notes of the samples of one table how long each took to be seen."""

    def __init__(self, table: str, samples: list[Sample]) -> None:
        self._table, self._samples = table, samples
        self._seen: set[Sample] = set()
        self.after_s: list[float] = []

    @property
    def unseen(self) -> list[Sample]:
        """The samples so far that were not seen yet."""
        return [one for one in self._samples if one not in self._seen]

    @property
    def sql(self) -> str:
        """Asks for the newest offset of each partition, behind what is known: that is not read again."""
        first = min((one.offset for one in self.unseen), default=1 << 62)
        return (
            f"SELECT '{self._table}', partition, max(offset) FROM {self._table} "
            f"WHERE offset >= {first} GROUP BY partition"
        )

    def note(self, held: dict[int, int], now: float) -> None:
        """What the table holds as of now."""
        for sample in self.unseen:
            if held.get(sample.partition, -1) >= sample.offset:
                self._seen.add(sample)
                self.after_s.append(now - sample.published_at)

    @property
    def delay(self) -> Delay:
        """Of all that were seen."""
        return Delay(statistics.median(self.after_s), statistics.quantiles(self.after_s, n=20)[-1])


def look(server: Server, watches: dict[str, Watch]) -> int:
    """Asks for all tables at once; how many samples are unseen in any."""
    found: dict[str, dict[int, int]] = defaultdict(dict)
    for table, partition, offset in server.store.rows(
        " UNION ALL ".join(one.sql for one in watches.values())
    ):
        found[table][partition] = offset
    now = time.monotonic()
    for table, watch in watches.items():
        watch.note(found[table], now)
    return sum(len(watch.unseen) for watch in watches.values())


def seen(server: Server, log: Log, rate: int, seconds: float) -> Outcome:
    """Of one stream of so many events/s, into all tables of a new database. Raises Stopped."""
    topic = new_topics(server.settings.kafka_bootstrap).events
    stream = Stream(server.settings.kafka_config(), topic, log.tape, rate)
    rates: list[float] = []
    with server.follower(HIVE, [topic]) as (database, child):
        stream.burst()
        server.until_there(child, database, {EVENTS.table: stream.burst_events})
        stream.samples.clear()  # the projector's start is another matter
        names = [f"{database}.{name}" for name in (EVENTS.table, TICKETS.table)]
        watches = {name: Watch(name, stream.samples) for name in names}
        thread = threading.Thread(target=lambda: rates.append(stream.run(seconds)))
        thread.start()
        while thread.is_alive():
            look(server, watches)
            time.sleep(_LOOK_EVERY_S)
        server.until(child, lambda: look(server, watches), lambda left: left == 0)
    if not rates:
        raise Stopped("the stream has ended early")
    events, tickets = (watches[name].delay for name in names)
    return Outcome(events, tickets, rates[0])
