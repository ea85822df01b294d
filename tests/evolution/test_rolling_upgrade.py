"""Two builds of one system on one log: what the newer one writes is held back until nobody of the older one is left."""

import json
import time
from collections import Counter
from pathlib import Path

import pytest

from neural_hive.schemas.codec import schema_id
from tests.evolution.conftest import FIRST_RAISED, OLDEST, SECOND, Knowing
from tests.evolution.newer_counter import COUNTER, LARGE_FROM, NOTED
from tests.kernel.conftest import ToyFactory
from tests.toy.harness import Toy
from tests.toy.system import build

pytestmark = pytest.mark.long

WAIT_S = 120


def _newer(toy: Toy, schemas: Path, until: int | None) -> None:
    """Workers that start from now on are of the newer build, and write schemas up to an id."""
    toy.module = "tests.evolution.newer_counter"
    toy.environment["NEURAL_HIVE_SCHEMAS"] = str(schemas)
    toy.environment["TOY_SCHEMAS_UNTIL"] = json.dumps([until] if until else [])


def _older(toy: Toy) -> None:
    toy.module = "tests.toy.system"
    toy.environment.clear()


def _log(toy: Toy) -> str:
    """What the worker that was started last has logged."""
    path: Path = toy.folder / f"worker-{len(toy.workers) - 1}.log"
    return path.read_text()


def _written(toy: Toy) -> Counter[int]:
    """How many events of the counters were written with each schema."""
    found: Counter[int] = Counter()
    for partition in range(toy.partitions):
        found.update(schema_id(m.value or b"") for m in toy._read(toy.event_topics[0], partition))
    return found


def test_a_mixed_fleet_writes_what_the_older_build_can_fold(
    make_toy: ToyFactory, newer_schemas: Path, knowing: Knowing
) -> None:
    """Partitions go to and fro between the builds under kill -9; then the older one is gone, and the words are free."""
    toy = make_toy(4)
    toy.start()
    toy.add(1_000)
    toy.wait_until_done()
    _newer(toy, newer_schemas, until=OLDEST)
    toy.start()
    toy.add(1_000)
    toy.wait_until_done()
    toy.kill(0)  # the older one; the newer takes all
    toy.add(1_000)
    toy.wait_until_done()
    _older(toy)
    toy.start()
    toy.kill(1)  # the newer one; the older takes all
    toy.add(1_000)
    toy.wait_until_done()
    toy.stop()
    assert toy.check()["CounterRaised"] == len(toy.sent) == 4_000
    assert toy.check_state() == toy.partitions, "the older build's state is the fold of all of it"
    assert max(_written(toy)) <= OLDEST

    _newer(toy, newer_schemas, until=OLDEST)
    toy.start()
    toy.add(500)
    toy.wait_until_done()
    toy.stop()
    with knowing(newer_schemas):
        toy.system = build(toy.suffix, COUNTER)
        assert toy.check_state() == toy.partitions, (
            "what was decided in newer words is folded as it is written"
        )
    assert max(_written(toy)) <= OLDEST

    _newer(toy, newer_schemas, until=None)
    toy.start()
    toy.add(500)
    toy.wait_until_done()
    toy.stop()
    with knowing(newer_schemas):
        assert toy.check()["CounterRaised"] == len(toy.sent) == 5_000
        assert toy.check_state() == toy.partitions
        written = _written(toy)
    assert written[SECOND + 1] == 500
    assert written[FIRST_RAISED] == 4_500


def test_an_older_worker_stops_at_what_it_cannot_fold(
    make_toy: ToyFactory, newer_schemas: Path, knowing: Knowing
) -> None:
    toy = make_toy(1)
    toy.start()
    toy.add(100)
    toy.wait_until_done()
    toy.stop()
    _newer(toy, newer_schemas, until=None)
    toy.start()
    toy.add(100)
    toy.wait_until_done()
    toy.stop()

    _older(toy)
    toy.add(100)
    log = toy.start_stopped()
    assert "a newer build wrote it, update this worker" in log
    assert f"schema id {SECOND + 1} is not known to this build" in log
    assert f"{toy.event_topics[0]}:0 offset " in log
    assert "Traceback" not in log
    assert toy.lag() >= 100, "nothing was done with it"
    toy.stop()

    _newer(toy, newer_schemas, until=None)
    toy.start()
    toy.wait_until_done()
    toy.stop()
    with knowing(newer_schemas):
        toy.system = build(toy.suffix, COUNTER)
        assert toy.check()["CounterRaised"] == len(toy.sent) == 300
        assert toy.check_state() == 1


def test_what_cannot_be_said_yet_waits(make_toy: ToyFactory, newer_schemas: Path, knowing: Knowing) -> None:
    """An enum symbol and an event type of the third version: not guessed, not left out, not a dead letter."""
    toy = make_toy(1)
    _newer(toy, newer_schemas, until=SECOND)
    toy.start()
    toy.send(toy.commands, "AddToCounter", "counter-1", {"amount": 7})
    toy.producer.flush()
    toy.wait_until_done()
    for amount, word in ((LARGE_FROM, "fits only a version"), (NOTED, "RaiseNoted is not written yet")):
        before = _log(toy).count("waiting for the word to write newer events")
        toy.send(toy.commands, "AddToCounter", "counter-2", {"amount": 3})
        toy.send(toy.commands, "AddToCounter", "counter-1", {"amount": amount})
        toy.send(toy.commands, "AddToCounter", "counter-3", {"amount": 3})
        toy.producer.flush()
        until = time.monotonic() + WAIT_S
        while _log(toy).count("waiting for the word to write newer events") < before + 2:
            assert time.monotonic() < until, _log(toy)
            time.sleep(0.1)
        assert word in _log(toy)
        assert toy.workers[-1].poll() is None
        assert toy.dead_letters() == []
        with knowing(newer_schemas):
            raised = [e.aggregate_id for _, e, _ in toy.events(toy.event_topics[0])]
        assert raised.count("counter-3") == raised.count("counter-2") - 1, "what is behind it waits too"
        toy.stop()
        _newer(toy, newer_schemas, until=SECOND + 1 if amount == LARGE_FROM else None)
        toy.start()
        toy.wait_until_done()
    toy.stop()
    with knowing(newer_schemas):
        toy.system = build(toy.suffix, COUNTER)
        events = [(e.event_type, e.causation_id) for _, e, _ in toy.events(toy.event_topics[0])]
        assert sorted(cause for kind, cause in events if kind == "CounterRaised") == sorted(toy.sent)
        assert len([kind for kind, _ in events if kind == "RaiseNoted"]) == 1
        assert toy.check_state() == 1
