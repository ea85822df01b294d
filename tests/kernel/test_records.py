"""What becomes of records that cannot be processed, come twice, or come to the wrong partition."""

from neural_hive.schemas.topics import partition_of
from tests.kernel.conftest import ToyFactory


def test_bad_records_become_dead_letters_and_the_rest_goes_on(make_toy: ToyFactory) -> None:
    toy = make_toy()
    toy.start()
    toy.producer.produce(toy.commands, b"no framing", b"counter-1", 0)
    toy.producer.produce(toy.commands, b"\0\0\0\0\x01", b"counter-1", 0)
    toy.producer.produce(toy.commands, b"\0\x7f\0\0\0unknown id", b"counter-1", 1)
    toy.producer.produce(toy.commands, None, b"counter-1", 1)
    negative = toy.send(toy.commands, "AddToCounter", "counter-1", {"amount": -5})
    fault = toy.send(toy.commands, "AddToCounter", "counter-2", {"amount": 666})
    wrong_topic = toy.send(toy.results, "StartCountdown", "counter-2", {"delay_ms": 1})
    no_id = toy.send(toy.commands, "AddToCounter", "x" * 300, {"amount": 1})
    toy.add(200)
    toy.wait_until_done()
    toy.stop()
    letters = toy.dead_letters()
    reasons = {letter["error_type"] for letter in letters}
    assert len(letters) == 8
    assert reasons == {"BadRecord", "UnknownSchema", "Rejected", "ZeroDivisionError"}
    assert b"no framing" in {letter["value"] for letter in letters}
    assert toy.check()["CounterRaised"] == 200
    assert {negative, fault, wrong_topic, no_id} <= toy.sent


def test_a_repeated_message_yields_nothing_new(make_toy: ToyFactory) -> None:
    toy = make_toy()
    toy.start()
    for _ in range(3):
        toy.send(toy.commands, "AddToCounter", "counter-1", {"amount": 2}, message_id="once")
        toy.send(toy.results, "AddToCounter", "counter-1", {"amount": 2}, message_id="once")
    toy.add(10, keys=1)
    toy.wait_until_done()
    toy.stop()
    kinds = toy.check()
    assert kinds["CounterRaised"] == 11
    assert kinds["AmountNoted"] == 1 + 5


def test_a_misrouted_record_is_forwarded_once(make_toy: ToyFactory) -> None:
    toy = make_toy()
    toy.start()
    right = partition_of(b"counter-7", toy.partitions)
    wrong = (right + 1) % toy.partitions
    moved = toy.send(toy.commands, "AddToCounter", "counter-7", {"amount": 1}, partition=wrong)
    toy.send(
        toy.commands,
        "AddToCounter",
        "counter-7",
        {"amount": 1},
        partition=wrong,
        headers=[("origin", b"elsewhere:0:0")],
    )
    toy.add(20)
    toy.wait_until_done()
    toy.stop()
    toy.check()
    found = {e.causation_id: (m.partition, e) for m, e, _ in toy.events(toy.event_topics[0])}
    partition, envelope = found[moved]
    assert partition == right
    assert envelope.source_topic.startswith("toy.repartition")
    (letter,) = toy.dead_letters()
    assert "forwarded once already" in letter["reason"]


def test_events_carry_their_trace(make_toy: ToyFactory) -> None:
    toy = make_toy()
    toy.start()
    toy.add(1)
    toy.wait_until_done()
    toy.stop()
    (found,) = [(m, e) for m, e, _ in toy.events(toy.event_topics[0])]
    message, envelope = found
    headers = dict(message.headers)
    assert headers["traceparent"].decode() == f"00-{envelope.trace_id}-{envelope.span_id}-01"
    assert headers["event_type"] == b"CounterRaised"
    assert len(envelope.trace_id) == 32 and len(envelope.span_id) == 16
    assert message.key == b"counter-0"
