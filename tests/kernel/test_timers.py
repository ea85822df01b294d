"""Timers survive restarts and never overtake what waits in the inputs."""

import time
from typing import Any

from neural_hive.connectors.kafka_log import Record
from neural_hive.schemas.envelope import Envelope
from tests.kernel.conftest import ToyFactory
from tests.toy.harness import Toy


def _wait_for(toy: Toy, kind: str, wait_s: float = 120) -> None:
    deadline = time.monotonic() + wait_s
    while time.monotonic() < deadline:
        if any(e.event_type == kind for _, e, _ in toy.events(toy.event_topics[0])):
            return
        toy.replace_fenced()
        time.sleep(0.3)
    raise AssertionError(f"no {kind} after {wait_s} s\n{toy.explain()}")


def test_a_timer_fires_at_its_due_time(make_toy: ToyFactory) -> None:
    toy = make_toy()
    toy.start()
    toy.send(toy.commands, "StartCountdown", "counter-1", {"delay_ms": 1_000})
    toy.producer.flush()
    _wait_for(toy, "CounterClosed")
    toy.stop()
    due = [p["due_at"] for _, e, p in toy.events(toy.event_topics[0]) if e.event_type == "CountdownStarted"]
    (closed,) = [e for _, e, _ in toy.events(toy.event_topics[0]) if e.event_type == "CounterClosed"]
    assert [closed.occurred_at] == due
    assert closed.source_topic == ""
    assert toy.check_state() == toy.partitions


def test_after_an_outage_results_come_before_the_time_out(make_toy: ToyFactory) -> None:
    """What was in the topic before the timer's due time is processed first, however late the worker is."""
    toy = make_toy()
    toy.start()
    toy.add(1, keys=1)
    toy.wait_until_done()  # the worker is up: on a busy machine that takes longer than the countdown
    toy.send(toy.commands, "StartCountdown", "counter-1", {"delay_ms": 15_000})
    toy.producer.flush()
    _wait_for(toy, "CountdownStarted")
    toy.kill(0)
    for _ in range(500):
        toy.send(toy.results, "AddToCounter", "counter-1", {"amount": 1})
    toy.producer.flush()
    (due_s,) = [
        p["due_at"] / 1e6 for _, e, p in toy.events(toy.event_topics[0]) if e.event_type == "CountdownStarted"
    ]
    assert time.time() < due_s, "the machine was too slow for the countdown"
    time.sleep(due_s - time.time())
    toy.start()
    _wait_for(toy, "CounterClosed")
    toy.stop()
    kinds = [e.event_type for _, e, _ in sorted_by_version(toy) if e.aggregate_id == "counter-1"]
    assert kinds == ["CountdownStarted", *["CounterRaised"] * 500, "CounterClosed"]
    assert toy.dead_letters() == []


def sorted_by_version(toy: Toy) -> list[tuple[Record, Envelope, dict[str, Any]]]:
    found = list(toy.events(toy.event_topics[0]))
    return sorted(found, key=lambda item: item[1].version)
