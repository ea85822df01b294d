"""A real topic, exchanged for an altered copy: the same name, offsets, transactions and append times."""

import uuid
from collections.abc import Callable
from itertools import pairwise

import msgspec
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from neural_hive.connectors.kafka_log import Record
from neural_hive.replay.checks.seal import Sealing, check_seal
from neural_hive.replay.report import Check, Findings
from neural_hive.replay.seal.catch_up import SealRefused
from tests.conftest import note_undelivered, wait_known
from tests.replay.seal.conftest import World, eventually

Change = Callable[[list[Record]], list[Record]]


def exchange(world: World, records: dict[int, list[Record]]) -> None:
    """Deletes the topic and writes these records to one of its name, each to its offset."""
    admin = AdminClient(world.config)
    admin.delete_topics([world.topic])[world.topic].result(30)
    eventually(lambda: world.topic not in admin.list_topics(timeout=10).topics)
    topic = NewTopic(world.topic, 2, 1, config={"message.timestamp.type": "CreateTime"})
    eventually(lambda: admin.create_topics([topic])[world.topic].exception(30) is None)
    wait_known(admin, {world.topic: 2})
    producer = Producer({**world.config, "transactional.id": uuid.uuid4().hex, "retry.backoff.ms": 1})
    producer.init_transactions(30)
    for held in records.values():
        for transaction in transactions(held):
            producer.begin_transaction()
            for r in transaction:
                producer.produce(
                    r.topic,
                    r.value,
                    r.key,
                    r.partition,
                    timestamp=r.timestamp_ms,
                    headers=list(r.headers),
                    on_delivery=note_undelivered,
                )
            producer.commit_transaction(30)


def transactions(held: list[Record]) -> list[list[Record]]:
    """The records between two markers; a marker takes one offset."""
    found = [held[:1]] if held else []
    for before, record in pairwise(held):
        if record.offset == before.offset + 1:
            found[-1].append(record)
        else:
            found.append([record])
    return found


def findings_of(world: World) -> Findings:
    findings, source = Findings(), world.source()
    check_seal(source, source, Sealing(world.key.public, world.files.seals, (), (world.topic,)), findings)
    return findings


def _edit(held: list[Record]) -> list[Record]:
    return [*held[:1], msgspec.structs.replace(held[1], value=b"valve 2"), *held[2:]]


def _rewrite(held: list[Record]) -> list[Record]:
    return [*held[:6], *(msgspec.structs.replace(record, value=b"rewritten") for record in held[6:])]


def _swap(held: list[Record]) -> list[Record]:
    return [held[1], held[0], *held[2:]]


# Ten records a partition, in transactions of five: offsets 0 to 4 and 6 to 10, each transaction with a seal of its own.
CHANGES: dict[str, tuple[Change, str]] = {
    "a byte": (_edit, "0 to 4"),
    "two swapped": (_swap, "0 to 4"),
    "one deleted": (lambda held: [*held[:7], *held[8:]], "5 to 10"),
    "one inserted": (lambda held: [*held[:8], held[8], *held[8:]], "5 to 10"),
    "tail cut": (lambda held: held[:-2], "5 to 10"),
    "old copy": (lambda held: held[:5], "5 to 10"),
    "rewritten": (_rewrite, "5 to 10"),
    "emptied": (lambda held: [], "0 to 4"),
}


@pytest.mark.slow
def test_an_altered_copy_of_a_topic_is_found_where_it_differs(world: World) -> None:
    for count in (10, 20):
        world.write(10)
        world.sealed(count)
    original = world.records()
    assert [record.offset for record in original[0]] == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10]
    assert world.chain().size == 2

    exchange(world, original)  # a copy that is right in all is the log that was sealed
    assert world.records() == original
    assert findings_of(world).kept == []

    for name, (change, place) in CHANGES.items():
        exchange(world, {**original, 0: change(original[0])})
        [finding] = findings_of(world).kept
        assert (finding.check, finding.place) == (Check.SEAL, f"{world.topic}:0:{place}"), name

    # The sealer, too, signs nothing more: with what it has kept, and without.
    exchange(world, {**original, 0: _edit(original[0])})
    world.write(2)
    assert "was made anew" in str(refused(world))
    world.files.state.unlink()
    assert "another root" in str(refused(world))
    assert len(world.seals()) == 2


def refused(world: World) -> SealRefused:
    error = world.refusal()
    assert isinstance(error, SealRefused)
    return error
