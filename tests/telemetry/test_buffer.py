"""What waits for Kafka: in order, bounded in number and age, by a clock of the test's own."""

import contextlib
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from confluent_kafka import KafkaException
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from neural_hive.schemas.codec import BadRecord
from neural_hive.schemas.envelope import Header
from neural_hive.streams.telemetry import Buffer, Measurement

TOPIC = "telemetry-flow-c"


class Broker:
    """A publisher whose broker is there or not."""

    def __init__(self) -> None:
        self.is_up = True
        self.is_broken = False
        self.arrived: list[int] = []
        self._sent: list[tuple[int, Callable[[str], None]]] = []
        self.connections = 0

    def connect(self) -> "Broker":
        self.connections += 1
        return self

    def header(
        self, message_type: str, message_id: str, routing_id: str, *, trace_id: str, span_id: str
    ) -> Header:
        return Header(message_id, message_type, 0, routing_id, "", "", trace_id, span_id, "test")

    def publish(
        self, topic: str, header: Header, payload: dict[str, Any], delivered: Callable[[str], None]
    ) -> None:
        if self.is_broken:
            self.is_broken = False
            raise KafkaException("fatal")
        if not payload["fits"]:
            raise BadRecord("it does not fit")
        self._sent.append((payload["number"], delivered))

    def flush(self, timeout_s: float) -> int:
        if self.is_up:
            sent, self._sent = self._sent, []
            for number, delivered in sent:
                self.arrived.append(number)
                delivered("")
        return len(self._sent)

    def take_back(self, timeout_s: float) -> None:
        sent, self._sent = self._sent, []
        for _, delivered in sent:
            delivered("purged")


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Payload(msgspec.Struct):
    number: int
    fits: bool


def measured(number: int, fits: bool = True) -> Measurement:
    return Measurement(TOPIC, "FlowStepMeasured", (str(number),), "w-1", Payload(number, fits))


def dropped(reason: str) -> float:
    return REGISTRY.get_sample_value("neural_hive_flow_c_telemetry_dropped_total", {"reason": reason}) or 0.0


def published() -> float:
    name = "neural_hive_flow_c_telemetry_published_total"
    return REGISTRY.get_sample_value(name, {"topic": TOPIC}) or 0.0


def test_all_arrives_in_order(broker: Broker, clock: Clock) -> None:
    buffer, before = Buffer(broker.connect, clock=clock), published()
    buffer.put(measured(n) for n in range(2_500))
    while len(buffer):
        buffer.step(0)
    assert broker.arrived == list(range(2_500))
    assert published() - before == 2_500


def test_while_kafka_is_away_it_waits_and_nothing_is_lost(broker: Broker, clock: Clock) -> None:
    buffer = Buffer(broker.connect, clock=clock)
    broker.is_up = False
    for n in range(2_000):
        buffer.put([measured(n)])
        buffer.step(0)
    assert (len(buffer), broker.arrived) == (2_000, [])
    clock.now_s = 3_600
    broker.is_up = True
    while len(buffer):
        buffer.step(0)
    assert broker.arrived == list(range(2_000))


def test_a_full_buffer_drops_the_oldest_that_wait(broker: Broker, clock: Clock) -> None:
    buffer, before = Buffer(broker.connect, size_max=10, clock=clock), dropped("full")
    broker.is_up = False
    buffer.put(measured(n) for n in range(4))
    buffer.step(0)  # these are on their way
    buffer.put(measured(n) for n in range(4, 20))
    assert len(buffer) == 10
    assert dropped("full") - before == 10
    broker.is_up = True
    while len(buffer):
        buffer.step(0)
    assert broker.arrived == [*range(4), *range(14, 20)]


def test_what_is_older_than_an_hour_is_dropped_on_its_way_too(broker: Broker, clock: Clock) -> None:
    buffer, before = Buffer(broker.connect, clock=clock), dropped("too_old")
    broker.is_up = False
    buffer.put(measured(n) for n in range(3))
    buffer.step(0)
    clock.now_s = 10
    buffer.put(measured(n) for n in range(3, 6))
    buffer.step(0)
    clock.now_s = 3_601
    buffer.step(0)
    assert len(buffer) == 3
    assert dropped("too_old") - before == 3
    broker.is_up = True
    buffer.step(0)
    assert broker.arrived == [3, 4, 5]


def test_what_does_not_fit_its_schema_is_dropped_alone(broker: Broker, clock: Clock) -> None:
    buffer, before = Buffer(broker.connect, clock=clock), dropped("refused")
    buffer.put([measured(1), measured(2, fits=False), measured(3)])
    buffer.step(0)
    assert broker.arrived == [1, 3]
    assert dropped("refused") - before == 1
    assert len(buffer) == 0


def test_a_broken_connection_is_made_anew_and_the_order_kept(broker: Broker, clock: Clock) -> None:
    buffer = Buffer(broker.connect, clock=clock)
    broker.is_up = False
    buffer.put([measured(1), measured(2)])
    buffer.step(0)
    broker.is_broken = True
    buffer.put([measured(3)])
    with pytest.raises(KafkaException):
        buffer.step(0)
    broker.is_up = True
    buffer.step(0)
    assert broker.connections == 2
    assert broker.arrived == [1, 2, 3]


def test_what_is_given_up_at_the_end_is_counted(broker: Broker, clock: Clock) -> None:
    buffer, before = Buffer(broker.connect, clock=clock), dropped("shutdown")
    broker.is_up = False
    buffer.put([measured(1), measured(2)])
    buffer.step(0)
    buffer.give_up("shutdown")
    assert (len(buffer), dropped("shutdown") - before) == (0, 2)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(1, 8)),
        st.tuples(st.sampled_from(["step", "up", "down", "break"]), st.just(0)),
        st.tuples(st.just("pass"), st.integers(1, 60)),
    ),
    max_size=60,
)


@given(steps)
def test_whatever_happens_each_arrives_once_and_in_order_or_is_counted(steps: list[tuple[str, int]]) -> None:
    broker, clock, put = Broker(), Clock(), 0
    buffer = Buffer(broker.connect, size_max=20, age_max_s=100, clock=clock)
    before = {reason: dropped(reason) for reason in ("full", "too_old", "refused")}
    for step, amount in steps:
        match step:
            case "put":
                buffer.put(measured(put + n) for n in range(amount))
                put += amount
            case "step":
                with contextlib.suppress(KafkaException):
                    buffer.step(0)
            case "pass":
                clock.now_s += amount
            case "break":
                broker.is_broken = True
            case _:
                broker.is_up = step == "up"
        assert len(buffer) <= 20
    lost = sum(dropped(reason) - count for reason, count in before.items())
    assert broker.arrived == sorted(set(broker.arrived))
    assert len(broker.arrived) + len(buffer) + lost == put
