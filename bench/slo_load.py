"""Writes the events that SLOs judge into the orchestrator's topic, as many a second as are asked for.

python -m bench.slo_load BOOTSTRAP PARTITIONS EVENTS_PER_S SECONDS OUT
python -m bench.slo_load BOOTSTRAP PARTITIONS begin 0 OUT

`begin` writes the tickets' beginnings, of which there are a few for each service; the others write how attempts at them
have ended. Events are encoded every few seconds, and get an id of their own when they are written. OUT: what was done.
"""

import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
from confluent_kafka import Producer

from bench.orchestration import plan, task
from bench.slo_stream import SERVICES, End, Totals, service, some_end
from neural_hive.aggregates.ticket import TicketCompleted, TicketCreated, TicketFailed
from neural_hive.aggregates.ticketing import tickets_of
from neural_hive.aggregates.vocabulary import TaskType
from neural_hive.schemas.codec import encode_event
from neural_hive.schemas.envelope import NO_HASH, Envelope
from neural_hive.schemas.topics import partition_of

TOPIC: Final = "execution.tickets"
TICKETS_EACH: Final = 5
_ANEW_S: Final = 5.0  # after which events are encoded again: their times are as old at most
_TICK_S: Final = 0.01
_ID: Final = "00000000-0000-0000-0000-000000000000"
_PLACED_EVERY: Final = 100  # events
_EACH: Final = 2  # events of each service that are encoded at once


class Written(msgspec.Struct):
    """What was done."""

    events: int
    seconds: float
    began_at: float  # s since 1970
    ended_at: float
    totals: dict[str, tuple[int, int]]  # good and valid events by SLO
    cpu_s: float = 0.0
    places: list[tuple[int, int, int]] = []  # partition, offset and append time (ms) of some of them


class _Made(msgspec.Struct, frozen=True, gc=False):
    """An encoded event around its id."""

    partition: int
    key: bytes
    before: bytes
    after: bytes
    number: int  # of the service
    verdicts: tuple[bool, ...]


def _now_us() -> int:
    return time.time_ns() // 1_000


def _encoded(ticket_id: str, workflow_id: str, event: Any, event_id: str = _ID) -> bytes:
    head = Envelope(
        type(event).__name__, "ticket", 1, "bench", "bench", event_id, ticket_id, 1, _now_us(), workflow_id,
        event_id, "0" * 32, "0" * 16, 1, "", 0, 0, NO_HASH,
    )  # fmt: skip
    return encode_event(head, msgspec.to_builtins(event))


def _ended(end: End, ticket_id: str, workflow_id: str) -> Any:
    now = _now_us()
    place = (ticket_id, workflow_id, 1, "agent-1", now - end.duration_us, now)
    if end.is_completed:
        return TicketCompleted(*place, 0, {}, ())
    return TicketFailed(*place, 1, {}, (), "it broke")


class Load:
    """Who writes."""

    def __init__(self, bootstrap: str, partitions: int, seed: int) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "linger.ms": 20,
                "compression.type": "lz4",
                "queue.buffering.max.messages": 1_000_000,
            }
        )
        self._partitions, self._chance = partitions, random.Random(seed)
        self._prefix = f"{seed & 0xFFFFFFFF:08x}"
        self._count = 0
        self._places: list[tuple[int, int, int]] = []

    def begin(self) -> int:
        """The tickets."""
        for number in range(SERVICES):
            for at in range(TICKETS_EACH):
                name = f"{service(number)}-{at}"
                parameters = {"service": service(number)}
                one = msgspec.structs.replace(task("work", TaskType.EXECUTE, ()), parameters=parameters)
                (ticket,) = tickets_of(plan(name, (one,)), _now_us())
                event = TicketCreated(**msgspec.structs.asdict(ticket))
                value = _encoded(f"t-{name}", f"w-{name}", event, self._id().decode())
                key = f"w-{name}".encode()
                self._producer.produce(TOPIC, value, key, partition_of(key, self._partitions))
                self._producer.poll(0)
        self._producer.flush()
        return self._count

    def _id(self) -> bytes:
        self._count += 1
        digits = f"{self._count:024x}"
        return f"{self._prefix}-{digits[:4]}-{digits[4:8]}-{digits[8:12]}-{digits[12:]}".encode()

    def _made(self) -> Iterator[_Made]:
        for number in range(SERVICES):
            for _ in range(_EACH):
                name = f"{service(number)}-{self._chance.randrange(TICKETS_EACH)}"
                end, key = some_end(self._chance), f"w-{name}".encode()
                value = _encoded(f"t-{name}", f"w-{name}", _ended(end, f"t-{name}", f"w-{name}"))
                before, _, after = value.partition(_ID.encode())
                place = partition_of(key, self._partitions)
                yield _Made(place, key, before, after, number, end.verdicts)

    def end(self, events_per_s: float, seconds: float) -> Written:
        """Attempts that end."""
        totals, sent = Totals(), 0
        began, began_at = time.monotonic(), time.time()
        made, made_at = list(self._made()), time.monotonic()
        while (elapsed_s := time.monotonic() - began) < seconds:
            due = int(events_per_s * elapsed_s)
            for one in self._chance.choices(made, k=due - sent):
                value = one.before + self._id() + one.after
                told = self._placed if self._count % _PLACED_EVERY == 0 else None
                self._producer.produce(TOPIC, value, one.key, one.partition, on_delivery=told)
                totals.add(one.number, one.verdicts)
            sent = due
            self._producer.poll(0)
            if time.monotonic() - made_at > _ANEW_S:
                made, made_at = list(self._made()), time.monotonic()
            time.sleep(_TICK_S)
        self._producer.flush()
        took_s = time.monotonic() - began
        about = totals.by_slo(), time.process_time(), self._places
        return Written(sent, took_s, began_at, time.time(), *about)

    def _placed(self, error: Any, message: Any) -> None:
        if error is None:
            self._places.append((message.partition(), message.offset(), message.timestamp()[1]))


def main(bootstrap: str, partitions: str, rate: str, seconds: str, out: str) -> None:
    """See above."""
    load = Load(bootstrap, int(partitions), random.SystemRandom().getrandbits(32))
    if rate == "begin":
        written = Written(load.begin(), 0.0, 0.0, 0.0, {})
    else:
        written = load.end(float(rate), float(seconds))
    Path(out).write_bytes(msgspec.json.encode(written))


if __name__ == "__main__":
    main(*sys.argv[1:])
