"""Compares the recorders of `neural_hive.eventsourcing` with the library's own on SQLite: `python -m bench.recorders`.

Wall-clock time on one machine, with the broker on it; SQLite in a file, with the library's settings.
"""

import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any, Final
from uuid import uuid4

from eventsourcing.persistence import InfrastructureFactory, ProcessRecorder, StoredEvent
from eventsourcing.utils import Environment

from neural_hive.connectors.kafka_embedded import EmbeddedKafka

STATE: Final = b'{"amount":{"_type_":"decimal_str","_data_":"10.00"},"timestamp":"2026-01-01T00:00:00+00:00"}'
INSERTS: Final = 200
THREADS: Final = 16
MANY: Final = 100  # events in one insert, and of one aggregate
READS: Final = 200


def events(count: int) -> list[StoredEvent]:
    """The first events of an aggregate."""
    originator_id = uuid4()
    return [StoredEvent(originator_id, n + 1, "bench:Credited", STATE) for n in range(count)]


def each_ms(times: int, act: Callable[[], Any]) -> float:
    """The median time of an act."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        act()
        took.append(time.perf_counter() - began)
    return median(took) * 1_000


def per_s(count: int, act: Callable[[], Any]) -> float:
    """How many of what an act does, in a second."""
    began = time.perf_counter()
    act()
    return count / (time.perf_counter() - began)


def measured(recorder: ProcessRecorder) -> dict[str, float]:
    """What a recorder takes for what applications do."""
    recorder.insert_events(events(1))

    def at_once() -> None:
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(lambda _: recorder.insert_events(events(1)), range(INSERTS * 4)))

    found = {
        "insert of 1 event, ms": each_ms(INSERTS, lambda: recorder.insert_events(events(1))),
        f"insert of {MANY} events, ms": each_ms(INSERTS // 4, lambda: recorder.insert_events(events(MANY))),
        f"inserts of 1 event by {THREADS} threads, per s": per_s(INSERTS * 4, at_once),
    }
    (one, *_) = many = events(MANY)
    recorder.insert_events(many)
    found[f"select of {MANY} events, ms"] = each_ms(READS, lambda: recorder.select_events(one.originator_id))
    found["select of the last event, ms"] = each_ms(
        READS, lambda: recorder.select_events(one.originator_id, desc=True, limit=1)
    )
    found["select of 10 notifications, ms"] = each_ms(READS, lambda: recorder.select_notifications(500, 10))
    return found


def factory(**variables: str) -> InfrastructureFactory[Any]:
    """Of one application."""
    return InfrastructureFactory.construct(Environment("Bench", variables))


def followed(writer: ProcessRecorder, reader: ProcessRecorder) -> float:
    """The median time from the call of an insert until another process's subscription has the event, ms."""
    seen = threading.Event()
    took = []
    with reader.subscribe(gt=reader.max_notification_id()) as subscription:

        def follow() -> None:
            for _ in subscription:
                seen.set()

        thread = threading.Thread(target=follow)
        thread.start()
        for _ in range(30):
            seen.clear()
            began = time.perf_counter()
            writer.insert_events(events(1))
            seen.wait(30)
            took.append(time.perf_counter() - began)
            time.sleep(0.05)
        subscription.stop()
        thread.join()
    return median(took) * 1_000


def main() -> None:
    """Prints both."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedKafka(Path(folder) / "kafka") as kafka:
        ours = {
            "PERSISTENCE_MODULE": "neural_hive.eventsourcing",
            "NEURAL_HIVE_KAFKA_BOOTSTRAP": kafka.bootstrap,
        }
        sqlite = factory(PERSISTENCE_MODULE="eventsourcing.sqlite", SQLITE_DBNAME=f"{folder}/bench.sqlite")
        log = factory(**ours, NEURAL_HIVE_DATA=f"{folder}/one")
        writer = log.process_recorder()
        peers, own = measured(sqlite.process_recorder()), measured(writer)
        for what, figure in own.items():
            print(f"{what:45} {figure:10.2f}   SQLite {peers[what]:10.2f}")

        other = factory(**ours, NEURAL_HIVE_DATA=f"{folder}/other")
        count = writer.max_notification_id() or 0
        print(
            f"{'index made anew, events per s':45} {per_s(count, other.process_recorder):10.0f}   of {count:,}"
        )
        reader = other.process_recorder()
        print(
            f"{'max_notification_id of a reader, ms':45} {each_ms(READS, reader.max_notification_id):10.2f}"
        )
        print(f"{'from insert to a reader that subscribes, ms':45} {followed(writer, reader):10.2f}")
        log.close()
        sqlite.close()
        other.close()


if __name__ == "__main__":
    main()
