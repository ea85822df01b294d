"""The archive for a measurement: the embedded ClickHouse engine, and a projector that fills it from the log.

python -m bench.archive TOPIC ...

In a process of its own event topics are archived whose schemas the measuring process does not know.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from bench.orchestration import wait_ready
from neural_hive.connectors.child import Child
from neural_hive.connectors.kafka_log import Offsets
from neural_hive.connectors.ports import free_port
from neural_hive.projections.archive_reader import ArchiveReader
from neural_hive.projections.http_store import HttpStore
from neural_hive.projections.projector import Projector, persist
from neural_hive.schemas.topics import Kind
from neural_hive.settings import Settings, load_settings
from neural_hive.system import command_line

_MARKERS_MAX: Final = 10  # what stands behind the last record of a partition: ends of transactions
_STILL_S: Final = 3.0
_LOOK_EVERY_S: Final = 0.5
_STILL_MAX_S: Final = 180.0


class NotArchived(RuntimeError):
    """The archive does not reach the end of the log, and does not come nearer."""


@contextmanager
def clickhouse(bootstrap: str, data: Path) -> Iterator[Settings]:
    """The engine on a free port; gives the settings by which it is reached."""
    port = free_port()
    ports = {"clickhouse_port": port, "clickhouse_http_port": port}
    settings = load_settings(running=False, data=data, kafka_bootstrap=bootstrap, **ports)
    environment = {**os.environ, **settings.environment()}
    engine = Child(command_line("clickhouse"), data / "clickhouse.log", environment=environment)
    try:
        wait_ready(data, "clickhouse", engine)
        yield settings
    finally:
        engine.stop(30)


def archive(settings: Settings, kinds: Mapping[str, Kind]) -> None:
    """Brings these topics into the archive, and into no read model. Raises NotArchived."""
    store = HttpStore.of(settings)
    stopping = threading.Event()
    with closing(store):
        persist(store.create_database, stopping)
        projector = Projector(store, settings.kafka_config(), kinds, stopping, projections=())
        thread = threading.Thread(target=projector.run, name="projector", daemon=True)
        thread.start()
        try:
            wait_archived(settings, tuple(kinds), thread.is_alive)
        finally:
            stopping.set()
            thread.join()


def wait_archived(settings: Settings, topics: tuple[str, ...], lives: Callable[[], bool]) -> None:
    """Until the archive has all records of the topics and stands still; `lives`: the projector. Raises NotArchived."""
    ends = _ends(settings, topics)
    before: dict[tuple[str, int], int] = {}
    moved_at = time.monotonic()
    with closing(ArchiveReader.of(settings)) as reader:
        while True:
            now = {place: position.next for place, position in reader.positions().items()}
            still_s = time.monotonic() - moved_at
            if now != before:
                before, moved_at = now, time.monotonic()
            elif still_s > _STILL_S and not (missing := _missing(now, ends)):
                return
            elif still_s > _STILL_MAX_S or not lives():
                raise NotArchived(f"the archive stands still, or its projector has ended: {missing}")
            time.sleep(_LOOK_EVERY_S)


def _ends(settings: Settings, topics: tuple[str, ...]) -> dict[tuple[str, int], int]:
    offsets = Offsets(settings.kafka_config())
    return {
        (topic, partition): end for topic in topics for partition, (_, end) in offsets.ranges(topic).items()
    }


def _missing(now: Mapping[tuple[str, int], int], ends: Mapping[tuple[str, int], int]) -> dict[str, str]:
    return {
        f"{topic}:{partition}": f"{now.get((topic, partition), 0)} of {end}"
        for (topic, partition), end in ends.items()
        if end - now.get((topic, partition), 0) > _MARKERS_MAX
    }


if __name__ == "__main__":
    archive(load_settings(running=False), dict.fromkeys(sys.argv[1:], Kind.EVENT))
