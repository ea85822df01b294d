"""A right log verifies; every way of making it wrong is found, and its place named."""

from collections.abc import Callable

import pytest

from neural_hive.connectors.kafka_log import end_offsets
from neural_hive.replay.report import Check
from neural_hive.schemas.codec import decode, encode_message
from neural_hive.schemas.envelope import NO_HASH, Header
from tests.replay.conftest import LogFactory, verified
from tests.replay.written_log import T0, TRACE, Log, Written

Tamper = Callable[[list[Written]], list[Written]]


def test_a_right_log_verifies_through_markers_and_aborted_transactions(new_log: LogFactory) -> None:
    log = new_log()
    log.write(workflows=4, rounds=3)
    report = verified(log)
    assert report.findings == ()
    assert report.problem == ""
    assert report.exit_code == 0
    assert report.counts["events"] == 36
    assert report.counts["inputs"] == 12
    examined = {outcome.check: outcome.examined for outcome in report.outcomes}
    assert examined[Check.CHAIN] == examined[Check.SEQUENCE] == 36
    assert examined[Check.ANSWERED] == 12
    markers = sum(part.end_offset - part.first_offset - part.records for part in report.parts)
    assert markers > 36, "the test wants aborted events and markers in the log"


def _edit_payload_byte(events: list[Written]) -> list[Written]:
    first = events[0]
    at = first.value.index(b"workflow-0", -30)
    value = first.value[: at + 9] + b"7" + first.value[at + 10 :]
    return [Written(first.topic, first.partition, first.key, value, first.headers), *events[1:]]


def _on(number: int, change: Callable[[Written], list[Written]]) -> Tamper:
    return lambda events: [*events[:number], *change(events[number]), *events[number + 1 :]]


def _swap(events: list[Written]) -> list[Written]:
    return [events[1], events[0], *events[2:]]


def _move(event: Written) -> list[Written]:
    return [Written(event.topic, 1 - event.partition, event.key, event.value, event.headers)]


def _rekey(event: Written) -> list[Written]:
    other = next(k for k in (b"a", b"b", b"c", b"d", b"e", b"f") if k != event.key)
    return [Written(event.topic, event.partition, other, event.value, event.headers)]


def _header(event: Written) -> list[Written]:
    headers = [("traceparent", b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01"), event.headers[1]]
    return [Written(event.topic, event.partition, event.key, event.value, headers)]


def _garbage(event: Written) -> list[Written]:
    return [Written(event.topic, event.partition, event.key, event.value[:40], event.headers)]


def _fork(event: Written) -> list[Written]:
    return [event, event.edited(occurred_at=T0 + 77)]


@pytest.mark.parametrize(
    ("tamper", "check", "says"),
    [
        pytest.param(_edit_payload_byte, Check.CHAIN, "hash of version 1", id="edited byte"),
        pytest.param(_on(1, lambda e: []), Check.VERSION, "version 2", id="missing version"),
        pytest.param(_on(1, lambda e: []), Check.SEQUENCE, "sequence 2", id="missing sequence"),
        pytest.param(_on(1, lambda e: [e, e]), Check.SEQUENCE, "again", id="duplicate"),
        pytest.param(_swap, Check.SEQUENCE, "after 2", id="swapped, sequence"),
        pytest.param(_swap, Check.VERSION, "version 1", id="swapped, version"),
        pytest.param(_on(2, lambda e: [e.edited(sequence=9)]), Check.SEQUENCE, "9", id="sequence gap"),
        pytest.param(_on(1, _fork), Check.SEQUENCE, "a fork", id="fork of sequence"),
        pytest.param(_on(1, lambda e: [e.edited(version=5)]), Check.VERSION, "version 5", id="version gap"),
        pytest.param(_on(1, lambda e: [e.edited(prev_hash=NO_HASH)]), Check.CHAIN, "0000", id="chain cut"),
        pytest.param(_on(1, lambda e: [e.edited(prev_hash=b"")]), Check.CHAIN, "32 bytes", id="no hash"),
        pytest.param(_on(1, lambda e: [e.edited(occurred_at=5)]), Check.TIME, "5 µs", id="time steps back"),
        pytest.param(
            _on(1, lambda e: [e.edited(event_id="00000000-0000-5000-8000-000000000000")]),
            Check.IDENTITY,
            "00000000-0000-5000",
            id="foreign event id",
        ),
        pytest.param(_on(0, _move), Check.PLACE, "partition", id="wrong partition"),
        pytest.param(_on(1, _rekey), Check.PLACE, "key workflow-0", id="wrong key"),
        pytest.param(_on(1, _header), Check.ENVELOPE, "traceparent", id="wrong header"),
        pytest.param(_on(1, _garbage), Check.DECODE, "cannot be read", id="garbage"),
        pytest.param(
            _on(1, lambda e: [e.edited(producer="another")]), Check.ENVELOPE, "producer", id="other writer"
        ),
        pytest.param(
            _on(1, lambda e: [e.edited(schema_version=9)]),
            Check.ENVELOPE,
            "schema version",
            id="schema version",
        ),
        pytest.param(
            _on(0, lambda e: [e.edited(source_partition=1 - e.partition)]),
            Check.PLACE,
            "a cause in partition",
            id="foreign cause",
        ),
        pytest.param(
            _on(0, lambda e: [e.edited(source_offset=99)]),
            Check.CAUSED,
            "committed offset",
            id="future cause",
        ),
    ],
)
def test_tampering_is_found_where_it_is(new_log: LogFactory, tamper: Tamper, check: Check, says: str) -> None:
    log = new_log()
    log.write(workflows=1, rounds=2, tamper=tamper)
    report = verified(log)
    assert report.exit_code == 1
    found = [f for f in report.findings if f.check == check and says in f"{f.expected} {f.found}"]
    assert found, report.findings
    topics = (log.tickets, log.workflows, log.inputs)
    assert found[0].place.startswith(tuple(f"{topic}:" for topic in topics))
    assert len(found[0].place.split(":")) == 3


def test_the_edited_event_is_named_by_the_next_one_of_its_aggregate(new_log: LogFactory) -> None:
    log = new_log()
    log.write(workflows=1, rounds=2, tamper=_edit_payload_byte)
    (finding,) = verified(log).findings
    partition = _partition(log)
    assert finding.check == Check.CHAIN
    assert finding.place == f"{log.tickets}:{partition}:1"
    assert finding.aggregate.startswith("ticket ")


def _partition(log: Log) -> int:
    ends = end_offsets(log.config, [(log.tickets, p) for p in range(log.partitions)])
    return next(p for (_, p), end in ends.items() if end)


def test_a_repeat_is_counted_and_a_lost_input_is_named(new_log: LogFactory) -> None:
    log = new_log()
    answered = log.message("workflow-0")
    log.commit(log.unit("workflow-0", answered), {answered[1]: answered[2] + 1})
    _, partition, offset = log.message("workflow-0", message_id=answered[0])
    _, _, lost = log.message("workflow-0")
    log.commit([], {partition: offset + 2})
    report = verified(log)
    assert report.counts["repeats"] == 1
    (finding,) = report.findings
    assert (finding.check, finding.place) == (Check.ANSWERED, f"{log.inputs}:{partition}:{lost}")


def test_a_dead_letter_answers_an_input(new_log: LogFactory) -> None:
    log = new_log()
    _, partition, offset = log.message("workflow-0")
    log.commit([_letter(log, partition, offset)], {partition: offset + 1})
    report = verified(log)
    assert report.findings == ()
    assert report.counts["dead_letters"] == 1


def _letter(log: Log, partition: int, offset: int) -> Written:
    header = Header("letter-1", "DeadLetter", T0, "", "", "", TRACE, "b" * 16, log.name)
    payload = {
        "source_topic": log.inputs,
        "source_partition": partition,
        "source_offset": offset,
        "source_timestamp_ms": 0,
        "key": None,
        "value": b"",
        "headers": [],
        "reason": "it breaks a rule",
        "error_type": "Rejected",
        "processor": f"{log.name}.{partition}",
        "aggregate_id": "",
    }
    return Written(log.letters, 0, b"", encode_message(header, payload), [])


def test_inputs_above_the_committed_offset_may_wait(new_log: LogFactory) -> None:
    log = new_log()
    log.message("workflow-0")
    report = verified(log)
    assert report.findings == ()
    assert report.exit_code == 0


def test_a_cut_tail_leaves_its_inputs_unanswered(new_log: LogFactory) -> None:
    log = new_log()
    log.write(workflows=1, rounds=2, tamper=lambda events: events[:3])
    report = verified(log)
    assert [f.check for f in report.findings] == [Check.ANSWERED]


def test_the_same_message_decided_twice_is_found_by_its_event_ids(new_log: LogFactory) -> None:
    log = new_log()
    cause = log.message("workflow-0")
    other = log.message("workflow-0")
    for each in (cause, other, (cause[0], other[1], log.message("workflow-0", cause[0])[2])):
        log.commit([log.event("ticket", "ticket-1", "workflow-0", each)], {each[1]: each[2] + 1})
    (finding,) = verified(log).findings
    assert finding.check == Check.IDENTITY
    assert "as at" in finding.found


def test_an_open_transaction_is_named_and_not_waited_for(new_log: LogFactory) -> None:
    log = new_log()
    cause = log.message("workflow-0")
    events = log.unit("workflow-0", cause)
    log.commit(events, {cause[1]: cause[2] + 1})
    log._producer.begin_transaction()
    log._producer.produce(log.tickets, events[0].value, events[0].key, cause[1])
    log._producer.flush()
    report = verified(log)
    log._producer.abort_transaction(30)
    assert report.exit_code == 2
    assert "a transaction is open" in report.problem
    assert report.findings == ()


def test_an_unknown_topic_is_a_problem_not_a_finding(new_log: LogFactory) -> None:
    log = new_log()
    log.target = type(log.target)(log.name, ("no.such.topic",), (log.inputs,), log.letters)
    report = verified(log)
    assert report.exit_code == 2
    assert "no.such.topic" in report.problem


def test_written_events_are_what_the_codec_reads(new_log: LogFactory) -> None:
    log = new_log()
    event = log.event("ticket", "t", "w", ("m", 0, 0))
    assert decode(event.value, "event").head.producer == log.name
