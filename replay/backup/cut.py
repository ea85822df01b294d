"""One moment of a system at work: where every topic ends, and how far every group has come, so that they fit together.

Offsets of groups, events and messages to other systems are committed together, on many partitions; who asks them one
after the other gets a moment that never was: an answer without its question, or a slot that nobody has asked for. So
all inputs are held up: a transaction of the backup's own is left open on each of their partitions, with two records in
it. Who reads committed records comes up to these and no further, and a timer that is due waits for what is
behind it. Within a second the systems have done all before it, and rest. Then ends and offsets are noted, and the
transaction is aborted: the records were never there, and the systems go on. Publishers notice nothing.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, Final

import msgspec
from confluent_kafka import KafkaException, Producer

from neural_hive.connectors.kafka_cluster import Cluster
from neural_hive.connectors.kafka_offsets import Offsets, Place

WRITER: Final = "neural-hive.backup"
LIMIT_S: Final = 40.0  # how long the systems may take to come to rest
REST_S: Final = 10.0  # after which a partition that has not moved is at rest, wherever it stands
LOOK_EVERY_S: Final = 0.5
_RECORDS: Final = (
    2  # of the hold, in each partition: a gap that an aborted transaction can make again, see gaps.py
)
_CALL_TIMEOUT_S: Final = 30.0


class NoRest(RuntimeError):
    """The systems did not come to rest: there is no moment that could be saved."""


class Asked(msgspec.Struct, frozen=True):
    """What belongs to the moment."""

    groups: Mapping[str, frozenset[Place]]  # whose offsets, in which inputs
    written: frozenset[Place]  # what only the systems write: events, dead letters
    others: frozenset[Place]  # what is noted beside: measurements

    @property
    def inputs(self) -> frozenset[Place]:
        """All partitions that are held up: not those of events, for who reads them rests when who writes them does."""
        return frozenset(place for places in self.groups.values() for place in places) - self.written


class Cut(msgspec.Struct, frozen=True):
    """The moment: the end of each partition, and the offsets of each group."""

    ends: Mapping[Place, int]
    offsets: Mapping[str, Mapping[Place, int]]
    rested: bool  # False: some inputs were not read up to where they were held, and stood still
    took_s: float


class _Look(msgspec.Struct, frozen=True):
    offsets: dict[str, dict[Place, int]]
    ends: dict[Place, int]
    is_decided: bool  # no transaction is open where only the systems write


def cut(config: Mapping[str, Any], asked: Asked, limit_s: float = LIMIT_S, rest_s: float = REST_S) -> Cut:
    """Holds the inputs up, waits for rest, and notes the moment.

    Raises NoRest: too much waits to be done in time, or somebody else's transaction is open; or the hold was lost.
    """
    cluster, began = Cluster(config), time.monotonic()
    with (
        closing(Offsets(config)) as all_of_it,
        closing(Offsets(config, "read_committed")) as committed,
        _held(config, asked.inputs, limit_s) as held,
    ):
        before, since = _look(cluster, asked, all_of_it, committed), time.monotonic()
        while True:
            # Between two looks that are the same: what was decided before the first had written all of its messages,
            # and what began to write between them would be seen in the second.
            input_ends = all_of_it.ends(asked.inputs)
            time.sleep(LOOK_EVERY_S)
            now = _look(cluster, asked, all_of_it, committed)
            if now != before:
                before, since = now, time.monotonic()
            elif now.is_decided and (_is_done(now, held) or time.monotonic() - since > rest_s):
                break
            if time.monotonic() - began > limit_s:
                raise NoRest(_explained(now, held, limit_s))
        if committed.ends(held) != held:
            raise NoRest("the inputs were held for too long, and Kafka has let them go: run the backup again")
        without_hold = {p: held[p] if end == held[p] + _RECORDS else end for p, end in input_ends.items()}
        ends = {**now.ends, **without_hold, **all_of_it.ends(asked.others)}
        return Cut(ends, now.offsets, _is_done(now, held), time.monotonic() - began)


def _look(cluster: Cluster, asked: Asked, all_of_it: Offsets, committed: Offsets) -> _Look:
    offsets = {group: cluster.committed(group, places) for group, places in asked.groups.items()}
    stable = committed.ends(asked.written)
    ends = all_of_it.ends(asked.written)
    return _Look(offsets, ends, stable == ends)


def _is_done(look: _Look, held: Mapping[Place, int]) -> bool:
    """Whether every group has read all that it may."""
    until = {**look.ends, **held}
    return all(at >= until[place] for offsets in look.offsets.values() for place, at in offsets.items())


def _explained(look: _Look, held: Mapping[Place, int], limit_s: float) -> str:
    until = {**look.ends, **held}
    behind = [
        f"{group} at {topic}:{partition} offset {at} of {until[topic, partition]}"
        for group, offsets in look.offsets.items()
        for (topic, partition), at in offsets.items()
        if at < until[topic, partition]
    ]
    what = ", ".join(behind[:3]) + (f" and {len(behind) - 3} more" if behind[3:] else "")
    return (
        f"the systems did not come to rest within {limit_s:g} s ({what or 'a transaction is open'}): too much waits to "
        "be done. They go on; run the backup again when less waits, or with a larger --limit"
    )


@contextmanager
def _held(config: Mapping[str, Any], places: Iterable[Place], limit_s: float) -> Iterator[dict[Place, int]]:
    """Holds partitions up: nobody who reads committed records passes the offsets that are given."""
    producer = Producer(
        {
            "log_level": 2,
            **config,
            "transactional.id": WRITER,
            # If the backup is killed meanwhile, Kafka lets go after this time.
            "transaction.timeout.ms": round((limit_s + 20) * 1_000),
            "retry.backoff.ms": 1,
            "linger.ms": 0,
        }
    )
    held: dict[Place, int] = {}

    def note(error: Any, message: Any) -> None:
        if error is None:
            held.setdefault((message.topic(), message.partition()), message.offset())

    wanted = sorted(places)
    producer.init_transactions(_CALL_TIMEOUT_S)
    producer.begin_transaction()
    try:
        for topic, partition in wanted * _RECORDS:
            producer.produce(topic, b"", partition=partition, on_delivery=note)
        producer.flush(_CALL_TIMEOUT_S)
        if len(held) < len(wanted):
            missing = next(place for place in wanted if place not in held)
            raise NoRest(
                f"{missing[0]}:{missing[1]} cannot be held: Kafka did not take a record there. Run it again"
            )
        yield held
    finally:
        _let_go(producer)


def _let_go(producer: Producer) -> None:
    try:
        producer.abort_transaction(_CALL_TIMEOUT_S)
    except KafkaException as error:
        raise NoRest(
            f"the inputs are held, and Kafka did not take the word to let them go ({error.args[0].str()}). It lets "
            "them go by itself within a minute"
        ) from error
