"""How soon an event is seen in SQL while a steady stream of them is published and projected into all tables."""

import statistics
import threading
import time
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

STEADY: Final = 20_000  # events/s
STEADY_S: Final = 20.0
BURST_S: Final = 0.05  # a transaction each, as processors write them
BURST: Final = int(STEADY * BURST_S)
_LOOK_EVERY_S: Final = 0.05  # more often, and who looks takes what who writes would need


class Delay(msgspec.Struct, frozen=True):
    """From publish to seen, over the samples of one stream."""

    p50_s: float
    p95_s: float

    def __str__(self) -> str:
        return f"p50 {self.p50_s:.2f} s, p95 {self.p95_s:.2f} s"


class Outcome(msgspec.Struct, frozen=True):
    """Of one stream."""

    archive: Delay
    tickets: Delay
    rate: float  # events/s that were published

    def __str__(self) -> str:
        return f"{self.rate:,.0f} events/s, seen in events: {self.archive}; in tickets: {self.tickets}"


class Sample(msgspec.Struct, frozen=True):
    """One published event."""

    partition: int
    offset: int
    published_at: float  # s of the monotonic clock: when it was given to the producer


class Stream:
    """The events of a log's tape, again and again. The last event of a ticket in each burst is a sample."""

    def __init__(self, kafka: dict[str, Any], topic: str, tape: Sequence[Record]) -> None:
        self.topic = topic
        self.samples: list[Sample] = []
        self._tape = cycle(tape)
        config = {"transactional.id": topic, "compression.type": "lz4", "linger.ms": 5}
        quick = {"retry.backoff.ms": 1, "retry.backoff.max.ms": 5}
        self._producer = Producer({**kafka, "log_level": 2, **config, **quick})
        self._producer.init_transactions(30)

    def burst(self) -> None:
        """Publishes BURST events in one transaction."""
        chosen = list(islice(self._tape, BURST))
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
        return bursts * BURST / max(time.monotonic() - began, seconds)


class Watch:
    """Asks one table again and again which samples it has, and notes how long each took."""

    def __init__(self, server: Server, table: str, samples: list[Sample]) -> None:
        self._store, self._samples = server.store, samples
        self._table = table
        self._seen: set[Sample] = set()
        self.after_s: list[float] = []

    def look(self) -> int:
        """Asks once; how many of the samples so far have not been seen."""
        unseen = [one for one in self._samples if one not in self._seen]
        if not unseen:
            return 0
        held = self._held(min(one.offset for one in unseen))
        now = time.monotonic()
        for sample in unseen:
            if held.get(sample.partition, -1) >= sample.offset:
                self._seen.add(sample)
                self.after_s.append(now - sample.published_at)
        return len(self._samples) - len(self._seen)

    def _held(self, first: int) -> dict[int, int]:
        """The newest offset of each partition that has one from `first` on; the rest is known, and not read again."""
        newest = (
            f"SELECT partition, max(offset) FROM {self._table} WHERE offset >= {first} GROUP BY partition"
        )
        return dict(self._store.rows(newest))

    @property
    def delay(self) -> Delay:
        """Of all that were seen."""
        return Delay(statistics.median(self.after_s), statistics.quantiles(self.after_s, n=20)[-1])


def seen(server: Server, log: Log, seconds: float) -> Outcome:
    """Of one stream, into all tables of a new database. Raises Stopped."""
    topic = new_topics(server.settings.kafka_bootstrap).events
    stream = Stream(server.settings.kafka_config(), topic, log.tape)
    rates: list[float] = []
    with server.follower(HIVE, [topic]) as (database, child):
        stream.burst()
        server.until_there(child, database, {EVENTS.table: BURST})
        stream.samples.clear()  # the projector's start is another matter
        watches = [
            Watch(server, f"{database}.{name}", stream.samples) for name in (EVENTS.table, TICKETS.table)
        ]
        thread = threading.Thread(target=lambda: rates.append(stream.run(seconds)))
        thread.start()
        while thread.is_alive():
            for watch in watches:
                watch.look()
            time.sleep(_LOOK_EVERY_S)
        for watch in watches:
            server.until(child, watch.look, lambda left: left == 0)
    if not rates:
        raise Stopped("the stream has ended early")
    return Outcome(watches[0].delay, watches[1].delay, rates[0])
