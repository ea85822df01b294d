"""What one writer partition wrote: its sequence, and for each aggregate versions, hash chain, time and ids.

Memory does not grow with the log: the last event of each aggregate, and eight bytes an event (uniqueness), go to disk
where they are many.
"""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec

from neural_hive.aggregates.identity import derived_id
from neural_hive.aggregates.partition import PARTITION, PartitionLogAccepted
from neural_hive.connectors.kafka_log import Record
from neural_hive.replay.checks.answers import Answers
from neural_hive.replay.checks.latest import Last, LatestEvents
from neural_hive.replay.envelopes import Lead
from neural_hive.replay.fingerprints import Fingerprints
from neural_hive.replay.report import Check, Findings
from neural_hive.schemas.catalogue import UnknownSchema, registered
from neural_hive.schemas.codec import BadRecord, decode
from neural_hive.schemas.envelope import HASH_BYTES
from neural_hive.schemas.topics import partition_of

KERNEL_AGGREGATE: Final = "partition"  # written by a partition about itself: its key is no routing id
_RECENT: Final = 1 << 14
_GAPS_KEPT: Final = 10_000
_KEYS_KEPT: Final = 10_000


class Event(msgspec.Struct, frozen=True, gc=False):
    """One event of the log with its envelope read."""

    record: Record
    lead: Lead
    rest: dict[str, Any]
    payload_at: int  # where the payload begins in the value
    digest: bytes  # SHA-256 of the value: the event's hash

    @property
    def place(self) -> str:
        return f"{self.record.topic}:{self.record.partition}:{self.record.offset}"

    @property
    def aggregate(self) -> str:
        return f"{self.lead.aggregate_type} {self.rest['aggregate_id']}"


@cache
def named_topics() -> frozenset[str]:
    """The topics that schemas name: on others (a copy, another cluster's names) any event may stand."""
    return frozenset(topic for row in registered().values() for topic in row.topics)


class PartitionCheck:
    """Takes the events of one writer partition, all its topics merged by sequence."""

    def __init__(
        self,
        producer: str,
        partition: int,
        partitions: int,
        answers: Answers,
        findings: Findings,
        folder: Path,
    ) -> None:
        """`folder`: for what does not fit into memory."""
        self.producer, self.partition, self.partitions = producer, partition, partitions
        self.whole = True  # all topics of the writer are read: its sequence has no gap
        self.ids = Fingerprints(folder / f"ids-{partition}")
        self.events = 0
        self._answers, self._findings = answers, findings
        self._latest = LatestEvents(folder / f"latest-{partition}")
        self._next = 1
        self._gaps: dict[int, bool] = {}
        self._recent: list[tuple[int, bytes, str, int]] = [(0, b"", "", 0)] * _RECENT
        self._keys: dict[bytes, bytes] = {}
        self._leads: set[tuple[bytes, str]] = set()
        self._cause = ""
        self._indexes: dict[str, int] = {}
        self._unaccepted = findings.mark()

    def take(self, event: Event) -> None:
        """Checks one event. What is wrong is noted once; what follows is compared with what was found."""
        record, lead, rest = event.record, event.lead, event.rest
        digest = event.digest
        self.events += 1
        sequence: int = rest["sequence"]
        if sequence == self._next:
            self._next = sequence + 1
        elif self.whole and not self._off_sequence(event, sequence, digest):
            return
        self._recent[sequence % _RECENT] = (sequence, digest, record.topic, record.offset)
        if (lead.raw, record.topic) not in self._leads:
            self._check_lead(event)
        self._check_identity(event)
        of = (lead.aggregate_type, rest["aggregate_id"])
        version, previous, occurred_at, key = last = self._latest.get(of)
        known_key = self._keys.get(record.key or b"")
        if known_key is None:
            known_key = self._check_place(event)
        if (
            rest["version"] != version + 1
            or rest["prev_hash"] != previous
            or rest["occurred_at"] < occurred_at
            or (version and known_key != key)
        ):
            self._broken(event, last, known_key)
        self._latest.put(of, (rest["version"], digest, rest["occurred_at"], known_key))
        self._check_headers(event)
        if lead.aggregate_type == PARTITION and lead.event_type == PartitionLogAccepted.__name__:
            self._accept(event)

    def _accept(self, event: Event) -> None:
        """A person's word that what came before shall count as it is."""
        try:
            word = decode(event.record.value or b"", "event").payload
        except (BadRecord, UnknownSchema) as error:
            self._findings.add(Check.DECODE, event.place, event.aggregate, "an acceptance", error)
            return
        self._findings.accept(self._unaccepted, event.place, word["requested_by"], word["reason"])
        self._unaccepted = self._findings.mark()

    def _off_sequence(self, event: Event, sequence: int, digest: bytes) -> bool:
        """Notes a gap, a repeat or a fork. True if the event still counts for its aggregate."""
        add, place, aggregate = self._findings.add, event.place, event.aggregate
        if sequence > self._next:
            missing = f"{self._next}" + (f" to {sequence - 1}" if sequence - 1 > self._next else "")
            add(Check.SEQUENCE, place, aggregate, f"sequence {self._next}", f"{sequence}; {missing} missing")
            room = _GAPS_KEPT - len(self._gaps)
            for number in range(self._next, min(sequence, self._next + room)):
                self._gaps[number] = True
            self._next = sequence + 1
            return True
        if self._gaps.pop(sequence, False):
            add(Check.SEQUENCE, place, aggregate, "order of sequence", f"{sequence} after {self._next - 1}")
            return True
        other, other_digest, topic, offset = self._recent[sequence % _RECENT]
        other_place = f"{topic}:{self.partition}:{offset}"
        if other != sequence:
            add(Check.SEQUENCE, place, aggregate, f"sequence {self._next}", f"{sequence} for a second time")
        elif other_digest == digest:
            self._findings.counts["duplicates"] += 1
            add(
                Check.SEQUENCE,
                place,
                aggregate,
                f"sequence {self._next}",
                f"the event of {other_place} again",
            )
        else:
            add(
                Check.SEQUENCE,
                place,
                aggregate,
                f"sequence {self._next}",
                f"{sequence} with other bytes than at {other_place}: a fork",
            )
        return False

    def _check_lead(self, event: Event) -> None:
        lead, topic = event.lead, event.record.topic
        row = lead.schema
        self._leads.add((lead.raw, topic))
        for expected, found in (
            (f"event type {row.name}", f"event type {lead.event_type}"),
            (f"schema version {row.version}", f"schema version {lead.schema_version}"),
            (f"producer {self.producer}", f"producer {lead.producer}"),
        ):
            if expected != found:
                self._findings.add(Check.ENVELOPE, event.place, event.aggregate, expected, found)
        # What a system says of its partitions stands in whichever topic it has.
        if topic in named_topics() and topic not in row.topics and lead.aggregate_type != PARTITION:
            found = f"one of {', '.join(row.topics)}"
            self._findings.add(Check.ENVELOPE, event.place, event.aggregate, f"an event of {topic}", found)

    def _check_identity(self, event: Event) -> None:
        rest = event.rest
        cause: str = rest["causation_id"]
        if cause != self._cause:
            self._begin_cause(event, cause)
        aggregate_id: str = rest["aggregate_id"]
        index = self._indexes.get(aggregate_id, 0)
        self._indexes[aggregate_id] = index + 1
        event_id: str = rest["event_id"]
        self.ids.add(event_id)
        expected = derived_id(cause, aggregate_id, str(index))
        if event_id != expected:
            self._findings.add(Check.IDENTITY, event.place, event.aggregate, f"event id {expected}", event_id)

    def _begin_cause(self, event: Event, cause: str) -> None:
        self._cause = cause
        self._indexes = {}
        self._answers.causes.add(cause)
        topic, partition = event.rest["source_topic"], event.rest["source_partition"]
        if not topic:
            return
        self._answers.places.mark(topic, partition, event.rest["source_offset"])
        if partition != self.partition:
            self._findings.add(
                Check.PLACE,
                event.place,
                event.aggregate,
                f"a cause in partition {self.partition}",
                f"{topic}:{partition}:{event.rest['source_offset']}",
            )

    def _check_place(self, event: Event) -> bytes:
        key = event.record.key or b""
        wanted = partition_of(key, self.partitions)
        if event.lead.aggregate_type != KERNEL_AGGREGATE:
            if wanted != self.partition:
                self._findings.add(
                    Check.PLACE,
                    event.place,
                    event.aggregate,
                    f"partition {wanted} for key {key.decode(errors='replace')}",
                    f"partition {self.partition}",
                )
            else:
                if len(self._keys) >= _KEYS_KEPT:
                    self._keys.clear()
                self._keys[key] = key
        return key

    def _broken(self, event: Event, last: Last, key: bytes) -> None:
        version, previous, occurred_at, known_key = last
        rest, add = event.rest, self._findings.add
        place, aggregate = event.place, event.aggregate
        if rest["version"] != version + 1:
            add(Check.VERSION, place, aggregate, f"version {version + 1}", f"version {rest['version']}")
        if rest["prev_hash"] != previous:
            wanted = f"hash of version {version}: {previous.hex()}" if version else "no previous hash (zeros)"
            add(Check.CHAIN, place, aggregate, wanted, rest["prev_hash"])
        if len(rest["prev_hash"]) != HASH_BYTES:
            add(Check.CHAIN, place, aggregate, f"{HASH_BYTES} bytes", f"{len(rest['prev_hash'])} bytes")
        if rest["occurred_at"] < occurred_at:
            add(Check.TIME, place, aggregate, f"at or after {occurred_at} µs", f"{rest['occurred_at']} µs")
        if version and key != known_key:
            wanted, found = (k.decode(errors="replace") for k in (known_key, key))
            add(Check.PLACE, place, aggregate, f"key {wanted}", f"key {found}")

    def _check_headers(self, event: Event) -> None:
        rest, event_type = event.rest, event.lead.event_type.encode()
        traceparent = f"00-{rest['trace_id']}-{rest['span_id']}-01".encode()
        if event.record.headers == (("traceparent", traceparent), ("event_type", event_type)):
            return
        found = dict(event.record.headers)
        for name, expected in (("traceparent", traceparent), ("event_type", event_type)):
            if found.get(name) != expected:
                text = (found.get(name) or b"none").decode(errors="replace")
                wanted = f"header {name} {expected.decode()}"
                self._findings.add(Check.ENVELOPE, event.place, event.aggregate, wanted, text)

    def finish(self) -> set[int]:
        """Counts what was looked at; gives the hashes of event ids that came twice (see `locate_repeated`)."""
        for check in (
            *([Check.SEQUENCE] if self.whole else []),
            Check.VERSION,
            Check.CHAIN,
            Check.TIME,
            Check.IDENTITY,
            Check.PLACE,
            Check.ENVELOPE,
        ):
            self._findings.examined[check] += self.events
        self._findings.counts["events"] += self.events
        self._findings.counts["aggregates"] += self._latest.count
        return self.ids.repeated()

    def close(self) -> None:
        """Lets go what it has on disk."""
        self._latest.close()


def locate_repeated(events: Iterable[Event], repeated: set[int], findings: Findings) -> None:
    """Reads a partition again for the places of event ids that came twice."""
    first: dict[str, Event] = {}
    for event in events:
        event_id = event.rest["event_id"]
        if hash(event_id) not in repeated:
            continue
        other = first.setdefault(event_id, event)
        if other is not event:
            findings.add(
                Check.IDENTITY,
                event.place,
                event.aggregate,
                "an event id of its own",
                f"{event_id} as at {other.place}",
            )
