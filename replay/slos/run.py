"""Runs the SLA calculator over what was counted and said, in a time of its own: its handlers, its timers, its fold."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import merge
from typing import Any, Final

import msgspec

from neural_hive.aggregates.budget import Counted
from neural_hive.aggregates.freeze_policy import Policy
from neural_hive.aggregates.identity import derived_id
from neural_hive.aggregates.sli_source import Source
from neural_hive.aggregates.slo import Definition
from neural_hive.connectors.record import Record
from neural_hive.replay.rerun.virtual_hive import VirtualHive
from neural_hive.replay.slos.counting import Said
from neural_hive.replay.slos.outcome import TOPICS, Collector, Outcome
from neural_hive.schemas.codec import decode, encode_message
from neural_hive.schemas.envelope import Envelope, Header
from neural_hive.streams.kernel.inbox import DEAD_LETTERS
from neural_hive.streams.kernel.reading import MessageReader
from neural_hive.streams.sla import system as sla
from neural_hive.streams.sla.messages import COMMANDS, MEASUREMENTS, CountSli, DefineFreezePolicy, DefineSlo

PRODUCER: Final = "what-if"
_LOOKS: Final = (b"BudgetEvaluated",)
_FREEZES: Final = (b"FreezeActivated", b"FreezeResolved", b"FreezeRearmed")
_TYPES: Final = frozenset({*_LOOKS, *_FREEZES, b"ViolationOpened", b"ViolationClosed"})


class Word(msgspec.Struct, frozen=True):
    """What somebody has said to the calculator."""

    at: int  # µs
    routing_id: str
    message: msgspec.Struct


class Ran(msgspec.Struct, frozen=True):
    """What a run has left."""

    outcome: Outcome
    refused: int  # words of people that did not fit


class _Run:
    def __init__(self, begins_at: int) -> None:
        self._count = self.refused = 0
        self.collector = Collector()
        self.hive = VirtualHive(
            [sla.build()], {sla.NAME: 1}, {sla.NAME: 0}, begins_at, MessageReader(), self._hear
        )

    def say(self, topic: str, routing_id: str, message: msgspec.Struct) -> None:
        self._count += 1
        message_id = derived_id(PRODUCER, str(self._count))
        about = self.hive.broker.now, routing_id, routing_id, "", "", "", PRODUCER
        header = Header(message_id, type(message).__name__, *about)
        self.hive.say(topic, routing_id, encode_message(header, msgspec.to_builtins(message)))

    def pass_time(self, until: int) -> None:
        """Looks at budgets when it is time, up to then."""
        broker = self.hive.broker
        while (due := self.hive.next_due) <= until:
            broker.now = max(broker.now, due)
            self.hive.work()
        broker.now = max(broker.now, until)

    def _hear(self, record: Record) -> None:
        self.refused += record.topic == DEAD_LETTERS
        if record.topic not in TOPICS:
            return
        if dict(record.headers).get("event_type") in _TYPES:
            decoded = decode(record.value or b"", "event")
            assert isinstance(decoded.head, Envelope)
            self.collector.hear(decoded.head, decoded.payload)
        # Nobody reads it again, and there is one for each minute of each budget.
        held = self.hive.broker.logs[record.topic, record.partition]
        held[record.offset] = msgspec.structs.replace(record, value=None, headers=())


def run(
    definitions: Mapping[str, Definition],
    policies: Mapping[str, Policy],
    counts: Iterable[Said],
    words: Sequence[Word],
    begins_at: int,
    until: int,
) -> Ran:
    """What becomes of budgets if these SLOs and policies hold from the beginning on. All times in µs.

    `counts`: of what is not composite; that follows from its parts, as it does live.
    """
    going = _Run(begins_at)
    try:
        for policy_id, policy in sorted(policies.items()):
            going.say(COMMANDS, policy_id, DefineFreezePolicy(policy_id, policy))
        for are_composite in (False, True):  # whose parts must be known
            for slo_id, definition in sorted(definitions.items()):
                if (definition.indicator.source is Source.COMPOSITE) == are_composite:
                    going.say(COMMANDS, slo_id, DefineSlo(slo_id, definition))
            going.hive.work()
        refused = going.refused
        coming: Iterator[Said | Word] = merge(counts, sorted(words, key=_at), key=_at)
        for what in coming:
            if what.at > until:
                break
            going.pass_time(what.at)
            if isinstance(what, Word):
                going.say(COMMANDS, what.routing_id, what.message)
            else:
                going.say(MEASUREMENTS, what.slo_id, _message(what))
            going.hive.work()
        going.pass_time(until)
        return Ran(going.collector.end(until), going.refused - refused)
    finally:
        going.hive.close()


def _message(said: Said) -> CountSli:
    counts = tuple(Counted(minute, each.good, each.valid) for minute, each in said.counts)
    return CountSli(said.slo_id, 1, counts, f"{PRODUCER}:0:0", said.dimension)


def _at(what: Any) -> int:
    at: int = what.at
    return at
