"""Inserts until it is killed: `python -m tests.eventsourcing.killed_writer NAME [STEP COUNT]`.

It takes the work up where the one before left it, and prints the number of each insert that was answered. With a step
it kills itself in its insert number COUNT: there.
"""

import itertools
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NoReturn

from eventsourcing.persistence import IntegrityError, StoredEvent, Tracking
from eventsourcing.utils import Environment

from neural_hive.eventsourcing import Factory
from neural_hive.eventsourcing.journal import Journal
from neural_hive.eventsourcing.recorders import LogProcessRecorder

SOURCE = "source"  # the upstream application
EVERY = "every"  # the originator that each insert adds to
BEFORE, PRODUCED, COMMITTED = STEPS = ("before", "produced", "committed")


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def die_at(journal: Journal, step: str, count: int) -> None:
    kafka, numbers = journal._kafka, itertools.count(1)
    commit = kafka.commit

    def commit_or_die(outputs: list[Any], offsets: Mapping[str, int]) -> dict[str, int]:
        if next(numbers) < count:
            return commit(outputs, offsets)
        if step == PRODUCED:
            assert kafka._producer
            kafka._producer.begin_transaction()
            for output in outputs:
                kafka._producer.produce(output.topic, output.value, output.key, output.partition)
            kafka._producer.flush(30)
        elif step == COMMITTED:
            commit(outputs, offsets)
        die()

    kafka.commit = commit_or_die  # type: ignore[method-assign]


def main(name: str, step: str = "", count: str = "0") -> None:
    recorder = Factory(Environment(name, dict(os.environ))).process_recorder()
    assert isinstance(recorder, LogProcessRecorder)
    if step:
        die_at(recorder.journal, step, int(count))
    while True:
        number = (recorder.max_tracking_id(SOURCE) or 0) + 1
        events = [
            StoredEvent(EVERY, number, "t", str(number).encode()),
            StoredEvent(f"only-{number}", 1, "t", b""),
        ]
        with suppress(IntegrityError):  # the one before was still writing
            recorder.insert_events(events, tracking=Tracking(SOURCE, number))
            print(number, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
