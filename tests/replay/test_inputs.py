"""Inputs that others wrote with schemas of their own, and inputs that a router hands on."""

import io
import time
from pathlib import Path
from typing import Any

import fastavro
import msgspec
import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from neural_hive.aggregates.aggregate import Rejected
from neural_hive.connectors.foreign_schemas import ForeignSchemas
from neural_hive.connectors.kafka_log import Record
from neural_hive.connectors.ports import free_port
from neural_hive.replay.checks.refold import Refold
from neural_hive.replay.everything import Request, verify_everything
from neural_hive.replay.report import Check, Report
from neural_hive.schemas.catalogue import current, schema_of
from neural_hive.schemas.envelope import Header
from neural_hive.schemas.topics import partition_of
from neural_hive.streams.kernel.reading import MessageReader, RegistryAway
from neural_hive.streams.kernel.router import router_name
from neural_hive.streams.registry.system import build as build_registry
from tests.kernel.conftest import ToyFactory, make_toy, toy_schemas
from tests.replay.conftest import LogFactory, verified
from tests.replay.written_log import Log
from tests.toy.harness import Toy

__all__ = ["make_toy", "toy_schemas"]
FOREIGN_ID = 1_000_001


def _foreign_schema(name: str) -> dict[str, Any]:
    """A message of this system with a field more, as another producer registered it."""
    schema: dict[str, Any] = schema_of(current(name).id)
    header, payload = (dict(field) for field in schema["fields"])
    more = {"name": "colour", "type": "string", "default": ""}
    payload["type"] = {**payload["type"], "fields": [*payload["type"]["fields"], more]}
    return {**schema, "fields": [header, payload]}


def _foreign_value(name: str, message_id: str, routing_id: str, payload: dict[str, Any]) -> bytes:
    header = Header(message_id, name, 1, routing_id, "", "", "", "", "elsewhere")
    record = {"header": msgspec.structs.asdict(header), "payload": {**payload, "colour": "red"}}
    out = io.BytesIO(b"\0" + FOREIGN_ID.to_bytes(4, "big"))
    out.seek(5)
    fastavro.schemaless_writer(out, fastavro.parse_schema(_foreign_schema(name)), record)
    return out.getvalue()


def _with_a_foreign_repeat(log: Log) -> None:
    """The first message is answered; somebody else sends it again in his own words."""
    message_id, partition, offset = log.message("workflow-0")
    log.commit(log.unit("workflow-0", (message_id, partition, offset)), {partition: offset + 1})
    payload = {"workflow_id": "workflow-0", "reason": "", "requested_by": ""}
    log._plain.produce(
        log.inputs,
        _foreign_value("CancelWorkflow", message_id, "workflow-0", payload),
        b"workflow-0",
        partition,
    )
    log._plain.flush()
    log.commit([], {partition: offset + 2})


def test_a_message_with_a_schema_of_others_is_read_as_it_was_then(new_log: LogFactory) -> None:
    log = new_log()
    _with_a_foreign_repeat(log)
    report = verified(log, MessageReader(lambda number: _foreign_schema("CancelWorkflow")))
    assert (report.findings, report.problem) == ((), "")
    assert report.counts["repeats"] == 1


def test_a_registry_that_is_away_is_said_and_no_finding(new_log: LogFactory) -> None:
    log = new_log()
    _with_a_foreign_repeat(log)
    away = ForeignSchemas(f"http://127.0.0.1:{free_port()}", {"max.retries": 0})
    report = verified(log, MessageReader(away.schema))
    assert (report.findings, report.exit_code) == ((), 2)
    assert f"schema id {FOREIGN_ID} cannot be looked up" in report.problem
    assert "schema_registry_url" in report.problem


def test_a_silent_input_is_decided_again_with_schemas_of_others(tmp_path: Path) -> None:
    payload = {"agent_id": "agent-1", "success_rate": 0.9, "load": 0.1, "latency_ms": 5.0}
    value = _foreign_value("Heartbeat", "beat", "agent-1", payload)
    partition = partition_of(b"agent-1", 2)
    record = Record("registry.commands", partition, 0, 0, b"agent-1", value, ())
    system = build_registry()
    handlers = system.inputs["registry.commands"].handlers
    partitions_of = dict.fromkeys((*system.topics, *system.event_topics), 2)

    def has_no_effect(handle: Any, fetch: Any, folder: str) -> bool:
        handlers["Heartbeat"] = msgspec.structs.replace(handlers["Heartbeat"], handle=handle)
        refold = Refold(system, partition, partitions_of, tmp_path / folder, MessageReader(fetch))
        try:
            return refold.has_no_effect(record)
        finally:
            refold.close()

    def refused(unit: Any, message: Any) -> None:
        raise Rejected("never heard of")

    def away(number: int) -> dict[str, Any]:
        raise ConnectionError("no answer")

    def known(number: int) -> dict[str, Any]:
        return _foreign_schema("Heartbeat")

    assert has_no_effect(lambda unit, message: None, known, "silent")
    assert not has_no_effect(refused, known, "refused")
    with pytest.raises(RegistryAway):
        has_no_effect(refused, away, "away")


def _verified(toy: Toy) -> Report:
    return verify_everything(Request((toy.system,), toy.config, None, toy.folder, stall_s=5))


def test_inputs_that_a_router_hands_on_are_answered_too(make_toy: ToyFactory) -> None:
    toy = make_toy(2, results_partitions=3)
    toy.start()
    for number in range(40):
        topic = (toy.commands, toy.results)[number % 2]
        toy.send(topic, "AddToCounter", f"counter-{number % 7}", {"amount": 3})
    toy.producer.produce(toy.results, b"garbage", b"counter-1")
    toy.producer.flush()
    toy.wait_until_done()
    toy.wait_until_done()  # what the router wrote last
    toy.stop()

    report = _verified(toy)
    assert (report.findings, report.problem) == ((), "")
    assert report.counts["inputs"] == 61, "40, garbage, and 20 copies"
    assert report.counts["forwarded"] == 20
    assert report.counts["dead_letters"] >= 1

    lost = toy.send(toy.results, "AddToCounter", "counter-1", {"amount": 3})
    toy.producer.flush()
    partition = partition_of(b"counter-1", 3)
    group = router_name(toy.system.name, toy.results)
    _commit_end(toy, group, toy.results, partition)
    (finding,) = _verified(toy).findings
    assert finding.check == Check.ANSWERED
    assert finding.place.startswith(f"{toy.results}:{partition}:")
    assert lost in finding.found


def _commit_end(toy: Toy, name: str, topic: str, partition: int) -> None:
    """Moves a group to the end of a partition, as a router that loses what it read would."""
    group = Consumer(toy.config | {"group.id": name})
    _, end = group.get_watermark_offsets(TopicPartition(topic, partition), 30)
    producer = Producer(toy.config | {"transactional.id": f"{name}.skip"})
    producer.init_transactions(30)
    producer.begin_transaction()
    tps = [TopicPartition(topic, partition, end)]
    producer.send_offsets_to_transaction(tps, group.consumer_group_metadata(), 30)
    producer.commit_transaction(30)
    group.close()


def test_inputs_without_a_committed_offset_are_no_answered_ones(make_toy: ToyFactory) -> None:
    toy = make_toy(2, results_partitions=3)
    toy.start()
    toy.send(toy.commands, "AddToCounter", "counter-1", {"amount": 3})
    toy.producer.flush()
    toy.wait_until_done()
    toy.stop()
    group = router_name(toy.system.name, toy.results)
    _forget(toy, group)
    assert _verified(toy).findings == (), "there is nothing in that topic"
    toy.send(toy.results, "AddToCounter", "counter-1", {"amount": 3})
    toy.producer.flush()
    (finding,) = _verified(toy).findings
    assert (finding.check, finding.expected) == (Check.ANSWERED, f"a committed offset of group {group}")
    assert finding.place == f"{toy.results}:{partition_of(b'counter-1', 3)}"


def _forget(toy: Toy, group: str) -> None:
    """Deletes a group, once the session of its last member is over."""
    admin = AdminClient(toy.config)
    until = time.monotonic() + 60
    while True:
        try:
            admin.delete_consumer_groups([group])[group].result(60)
            return
        except KafkaException as error:
            if error.args[0].code() != KafkaError.NON_EMPTY_GROUP or time.monotonic() > until:
                raise
            time.sleep(0.5)


def test_a_system_that_never_ran_is_not_said_to_have_answered(new_log: LogFactory) -> None:
    log = new_log()
    log.message("workflow-0")
    report = verified(log)
    (outcome,) = [outcome for outcome in report.outcomes if outcome.check == Check.ANSWERED]
    assert f"{log.name} has never run" in outcome.skipped
    assert report.exit_code == 0
