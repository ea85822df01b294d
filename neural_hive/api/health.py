"""How the system does: each consumer of the log with how far it is behind, and what it needs."""

import threading
import time
from typing import Any, Final

import msgspec

from neural_hive.connectors.clickhouse import ClickHouseError
from neural_hive.following import Unreachable
from neural_hive.process import stopped_partitions
from neural_hive.projections.positions import read_standing
from neural_hive.schemas.extensions import all_topics
from neural_hive.sdk.breaker import CircuitOpen
from neural_hive.sdk.log_places import LogPlaces
from neural_hive.sdk.tables import Tables
from neural_hive.settings import Settings
from neural_hive.state import RUNNING, running_state
from neural_hive.streams.systems import SYSTEMS

KEPT_S: Final = 2.0  # anybody may ask, and often
KAFKA_TIMEOUT_S: Final = 3.0  # a probe does not wait long
PROJECTOR: Final = "projector"


class ConsumerHealth(msgspec.Struct, frozen=True):
    """Who reads the log, and how far behind its end."""

    name: str
    records_behind: int | None  # transactions' markers count too; null: that cannot be told now
    stopped_partitions: dict[str, str] = {}  # those that may not go on, and why


class ProcessHealth(msgspec.Struct, frozen=True):
    """A process that runs beside the API."""

    name: str
    status: str
    restarts: int


class Health(msgspec.Struct, frozen=True):
    """`down`: Kafka or ClickHouse does not answer. `degraded`: something does not run as it should."""

    status: str  # ok, degraded, down
    needs: dict[str, str]  # kafka, clickhouse → ok, or why not
    consumers: tuple[ConsumerHealth, ...]
    processes: tuple[ProcessHealth, ...]  # none are known if they run elsewhere


class HealthLook:
    """Looks, and keeps what it saw for a moment. May be used from many threads."""

    def __init__(self, settings: Settings, tables: Tables) -> None:
        self._settings, self._tables = settings, tables
        self._log = LogPlaces(settings.kafka_config(), KAFKA_TIMEOUT_S)
        self._lock = threading.Lock()
        self._seen: tuple[float, Health] | None = None

    def health(self) -> Health:
        """How it does now, or did KEPT_S ago."""
        with self._lock:
            if self._seen is None or time.monotonic() - self._seen[0] > KEPT_S:
                found = self._look()
                self._seen = time.monotonic(), found
            return self._seen[1]

    def close(self) -> None:
        """Lets the broker go."""
        self._log.close()

    def _look(self) -> Health:
        stopped = stopped_partitions(self._settings.data)
        needs, consumers = {"kafka": "ok", "clickhouse": "ok"}, []
        for name, build in SYSTEMS.items():
            if name in self._settings.systems:
                own = {place: why for place, why in stopped.items() if place.startswith(f"{name}.")}
                behind = self._asked(needs, lambda b=build: self._system_behind(b(self._settings)))
                consumers.append(ConsumerHealth(name, behind, own))
        consumers.append(ConsumerHealth(PROJECTOR, self._asked(needs, self._projector_behind)))
        state = running_state(self._settings.data)
        processes = (
            tuple(ProcessHealth(p.name, p.status, p.restarts) for p in state.processes) if state else ()
        )
        return Health(_status(needs, stopped, processes), needs, tuple(consumers), processes)

    def _asked(self, needs: dict[str, str], ask: Any) -> int | None:
        """A count; None if who is asked is away, and `needs` says so. Who was away is not asked again."""
        if needs["kafka"] != "ok":
            return None
        try:
            return int(ask())
        except Unreachable as error:
            needs["kafka"] = str(error)
        except (ClickHouseError, CircuitOpen) as error:
            needs["clickhouse"] = str(error)
        return None

    def _system_behind(self, system: Any) -> int:
        ends = self._ends(system.inputs)
        read = self._log.all_read_by(system.name, ends)
        return sum(end - read.get(place, 0) for place, end in ends.items())

    def _projector_behind(self) -> int:
        archived = {place: found.next for place, found in read_standing(self._tables).positions.items()}
        ends = self._ends({topic for topic, _ in archived})
        return sum(max(end - archived.get(place, 0), 0) for place, end in ends.items())

    def _ends(self, topics: Any) -> dict[tuple[str, int], int]:
        known = [topic for topic in topics if topic in all_topics()]
        return self._log.ends([(t, number) for t in known for number in range(self._log.partitions(t))])


def _status(needs: dict[str, str], stopped: dict[str, str], processes: tuple[ProcessHealth, ...]) -> str:
    if any(why != "ok" for why in needs.values()):
        return "down"
    return "degraded" if stopped or any(p.status != RUNNING for p in processes) else "ok"
