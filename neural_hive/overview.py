"""How a system does right now, in one look: processes, lag, rates, workflows, deadlines, agents, dead letters.

What cannot be asked is named in `troubles`, and the rest is told all the same.
"""

import time
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException
from confluent_kafka.admin import AdminClient
from prometheus_client.parser import text_string_to_metric_families

from neural_hive.connectors.clickhouse import ClickHouseError
from neural_hive.connectors.kafka_log import told
from neural_hive.connectors.kafka_offsets import Offsets, Place, UnreadableLog
from neural_hive.connectors.publisher import KAFKA_LOG
from neural_hive.discovery import Load, slot_loads
from neural_hive.listing.pages import plain_row
from neural_hive.process import metrics_url, stopped_partitions
from neural_hive.sdk.breaker import CircuitOpen
from neural_hive.sdk.tables import Tables
from neural_hive.settings import Settings
from neural_hive.state import running_state
from neural_hive.streams.kernel.router import router_name
from neural_hive.streams.kernel.system import System
from neural_hive.work import AtRisk, work

AGENTS_MAX: Final = 100
_TIMEOUT_S: Final = 5.0
_SCRAPE_TIMEOUT_S: Final = 2.0
_RECORDS: Final = "neural_hive_records_total"
_EVENTS: Final = "neural_hive_events_total"
_PROJECTED: Final = "neural_hive_projector_records_total"
_PROJECTOR_LAG: Final = "neural_hive_projector_lag_records"
_AGENTS_SQL: Final = (
    "SELECT agent_id, status, capacity, load, success_rate, seen_at FROM agents "
    f"WHERE status NOT IN ('REMOVED', 'DEREGISTERED') ORDER BY agent_id LIMIT {AGENTS_MAX}"
)


class Process(msgspec.Struct, frozen=True):
    """One process of the system that runs here."""

    name: str
    status: str
    restarts: int
    stopped_partitions: dict[str, str]  # those that may not go on, and why


class Reading(msgspec.Struct, frozen=True):
    """Who reads the log: how far it is behind, and how much it does; null: nobody tells."""

    name: str
    lag_records: int | None
    records_per_s: float | None
    events_per_s: float | None


class Overview(msgspec.Struct, frozen=True):
    """All of it; what is null could not be asked."""

    at: float  # s since 1970 UTC
    processes: tuple[Process, ...] = ()
    readers: tuple[Reading, ...] = ()
    workflows: dict[str, int] | None = None  # by status
    at_risk_count: int | None = None
    at_risk: tuple[AtRisk, ...] = ()
    tickets: dict[str, int] | None = None
    agents: tuple[dict[str, Any], ...] | None = None
    dead_letters: int | None = None
    dead_letters_last_hour: int | None = None
    dead_letters_redriven: int | None = None
    troubles: tuple[str, ...] = ()


class Overlook:
    """Looks again and again; for one thread. Rates are those since the look before."""

    def __init__(self, settings: Settings, systems: tuple[System, ...]) -> None:
        self._settings, self._systems = settings, systems
        kafka = settings.kafka_config()
        self._admin = AdminClient({**kafka, "log_level": 2}, logger=KAFKA_LOG)
        self._offsets = Offsets(kafka, timeout_s=_TIMEOUT_S)
        self._tables = Tables(settings)
        self._counted: dict[str, float] = {}
        self._counted_at = 0.0

    def look(self) -> Overview:
        """How it stands now. Never fails for what does not answer."""
        found: dict[str, Any] = {"at": time.time()}
        troubles: list[str] = []
        figures = self._figures()
        for part in (
            self._processes,
            lambda: self._readers(figures),
            self._work,
            self._agents,
        ):
            try:
                found |= part()
            except (ClickHouseError, CircuitOpen, UnreadableLog) as error:
                troubles.append(str(error))
            except KafkaException as error:
                troubles.append(f"Kafka does not answer: {error.args[0].str()}")
        return Overview(**found, troubles=tuple(dict.fromkeys(troubles)))

    def close(self) -> None:
        """Lets the servers go."""
        self._offsets.close()
        self._tables.close()

    def _processes(self) -> dict[str, Any]:
        data = self._settings.data
        state = running_state(data)
        return {
            "processes": tuple(
                Process(
                    process.name,
                    process.status,
                    process.restarts,
                    stopped_partitions(data, process.name, process.pid) if process.pid else {},
                )
                for process in (state.processes if state else ())
            )
        }

    def _readers(self, figures: Mapping[str, "_Figure"]) -> dict[str, Any]:
        topics = self._admin.list_topics(timeout=_TIMEOUT_S).topics
        counts = {name: len(topic.partitions) for name, topic in topics.items()}
        committed = {system.name: self._committed(system, counts) for system in self._systems}
        ends = self._offsets.ends({place for of in committed.values() for place in of})
        readers = [
            Reading(
                name,
                sum(max(ends[place] - max(offset, 0), 0) for place, offset in of.items()),
                *(_rate(figures, f"{metric} {name}") for metric in (_RECORDS, _EVENTS)),
            )
            for name, of in committed.items()
            if of
        ]
        lag = figures.get(_PROJECTOR_LAG)
        lag_records = int(lag.value) if lag else None
        return {"readers": (*readers, Reading("projector", lag_records, _rate(figures, _PROJECTED), None))}

    def _committed(self, system: System, counts: Mapping[str, int]) -> dict[Place, int]:
        """Where the system goes on, in all its inputs; empty: it was never here."""
        own = next((counts.get(topic, 0) for topic in system.event_topics), 0)
        routed = [topic for topic in system.inputs if counts.get(topic, own) != own]
        found: dict[Place, int] = {}
        for group in (system.name, *(router_name(system.name, topic) for topic in routed)):
            asked = self._admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])
            answer = told(next(iter(asked.values())), _TIMEOUT_S)
            found |= {(at.topic, at.partition): at.offset for at in answer.topic_partitions or ()}
        return {place: offset for place, offset in found.items() if place[0] in counts}

    def _work(self) -> dict[str, Any]:
        found = msgspec.structs.asdict(work(self._tables))
        del found["agents"]  # told one by one
        return found

    def _agents(self) -> dict[str, Any]:
        names = ("agent_id", "status", "capacity", "load", "success_rate", "seen_at")
        found, loads = self._tables.rows(_AGENTS_SQL), slot_loads(self._tables)
        agents = [plain_row(names, row) for row in found]
        return {
            "agents": tuple(
                agent | msgspec.to_builtins(loads.get(agent["agent_id"], Load())) for agent in agents
            )
        }

    def _figures(self) -> dict[str, "_Figure"]:
        """What the processes of this machine count, and how fast; those that do not answer are left out."""
        state = running_state(self._settings.data)
        sums: dict[str, float] = {}
        for process in state.processes if state else ():
            if url := metrics_url(self._settings.data, process.name, process.pid):
                _add(sums, url)
        now = time.monotonic()
        since_s = now - self._counted_at if self._counted else 0.0
        before, self._counted, self._counted_at = self._counted, sums, now
        return {
            name: _Figure(value, (value - before[name]) / since_s if since_s and name in before else None)
            for name, value in sums.items()
        }


class _Figure(msgspec.Struct, frozen=True):
    value: float
    per_s: float | None  # null: not known yet; below 0: its process began anew


def _rate(figures: Mapping[str, _Figure], name: str) -> float | None:
    found = figures.get(name)
    return None if found is None or found.per_s is None or found.per_s < 0 else round(found.per_s, 1)


def _add(sums: dict[str, float], url: str, open_url: Callable[..., Any] = urllib.request.urlopen) -> None:
    wanted = (_RECORDS, _EVENTS, _PROJECTED, _PROJECTOR_LAG)
    try:
        with open_url(url, timeout=_SCRAPE_TIMEOUT_S) as answer:
            text = answer.read().decode()
    except OSError:
        return
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name in wanted:
                system = sample.labels.get("system")
                name = f"{sample.name} {system}" if system else sample.name
                sums[name] = sums.get(name, 0.0) + sample.value
