"""A broker that is killed while inserts are on their way: each says truly whether it was recorded."""

import threading
import time
from pathlib import Path
from uuid import uuid4

import pytest
from eventsourcing.persistence import IntegrityError, OperationalError, StoredEvent
from eventsourcing.utils import Environment

from neural_hive.connectors.kafka_embedded import EmbeddedKafka
from neural_hive.eventsourcing import Factory
from neural_hive.eventsourcing.recorders import LogApplicationRecorder

pytestmark = pytest.mark.slow
THREADS = 3
KILLS = 2


def test_broker_killed(tmp_path: Path) -> None:
    recorded, refused, unknown = set[str](), set[str](), set[str]()
    stopping = threading.Event()

    def insert(recorder: LogApplicationRecorder) -> None:
        while not stopping.is_set():
            name = f"o-{uuid4()}"
            events = [StoredEvent(name, version, "t", b"") for version in (1, 2)]
            try:
                recorder.insert_events(events)
                recorded.add(name)
            except OperationalError as error:
                (refused if "was not recorded" in str(error) else unknown).add(name)

    with EmbeddedKafka(tmp_path / "kafka") as kafka:
        variables = {
            "NEURAL_HIVE_KAFKA_BOOTSTRAP": kafka.bootstrap,
            "NEURAL_HIVE_DATA": str(tmp_path / "data"),
        }
        factory = Factory(Environment("Killed", variables))
        recorder = factory.application_recorder()
        assert isinstance(recorder, LogApplicationRecorder)
        threads = [threading.Thread(target=insert, args=(recorder,)) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for _ in range(KILLS):
            before = len(recorded)
            while len(recorded) < before + 30:
                time.sleep(0.01)
            kafka.kill(1)
            kafka.start(1)
        before = len(recorded)
        while len(recorded) < before + 30:
            time.sleep(0.01)
        stopping.set()
        for thread in threads:
            thread.join(120)
        other = Factory(Environment("Killed", variables | {"NEURAL_HIVE_DATA": str(tmp_path / "other")}))
        for mine in (recorder, other.application_recorder()):
            notifications = mine.select_notifications(None, 1_000_000)
            assert [n.id for n in notifications] == list(range(1, len(notifications) + 1))
            names = [str(n.originator_id) for n in notifications]
            assert names[::2] == names[1::2] and len(set(names)) == len(names) // 2
            assert recorded <= set(names) <= recorded | unknown
        for name in unknown & set(names):
            with pytest.raises(IntegrityError):
                recorder.insert_events([StoredEvent(name, 1, "t", b"")])
        print(f"{len(recorded)} recorded, {len(refused)} not recorded, {len(unknown)} not known")
        factory.close()
        other.close()
