"""Which processes a system on one machine has, for given settings: what is given is used, the rest is started."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from neural_hive.connectors.kafka_admin import check_brokers, ensure_topics
from neural_hive.connectors.kafka_embedded import STOP_TIMEOUT_S, EmbeddedKafka
from neural_hive.connectors.ports import HOST, answers_ok, free_port, listens
from neural_hive.process import processor_name, processors_of, ready_file
from neural_hive.schemas.extensions import all_topics
from neural_hive.settings import PREFIX, Settings
from neural_hive.supervisor import Service, Stage

BROKER_BACKOFF_MAX_S: Final = 5.0  # everything else waits for it
SUPERVISOR: Final = "supervisor"
_OTHERS: Final = (
    "projector",
    "worker",
    "clickhouse",
    "schema-registry",
    "sealer",
    "witness",
    "api",
    "webhook-sender",
    "sli-prometheus",
    "sli-history",
    "alertmanager-sender",
    SUPERVISOR,
)  # beside the processor
WEBHOOKS: Final = "webhooks"  # the system whose deliveries the sender posts
SLA: Final = "sla"  # the system for which Prometheus is asked, and of which Alertmanager is told
SLI: Final = "sli"  # the system that counts events as they come: what was before is counted beside it
METRICS_PORT: Final = f"{PREFIX}METRICS_PORT"


class NoClickHouse(RuntimeError):
    """The ClickHouse server of the settings cannot be used; the text says why, and what to do."""


class Plan(msgspec.Struct, frozen=True):
    """What to run, how it is reached, and what the user should know about it."""

    stages: list[Stage]
    settings: Settings
    endpoints: dict[str, str]
    notes: list[str]
    kafka: EmbeddedKafka | None
    metrics_port: int = 0  # of the supervisor; 0: any free one


def command_line(*arguments: str) -> list[str]:
    """This project's command in a process of its own; -P: a file of the user's folder must not shadow a module."""
    return [sys.executable, "-P", "-m", "neural_hive.cli", *arguments]


def plan_system(settings: Settings, brokers: int = 1, lost: frozenset[int] = frozenset()) -> Plan:
    """Fetches what is missing, chooses ports and lists the processes.

    `settings` must not come from a running system; `lost` are ports that others were faster to take, however free
    they look now. Raises JarsRefused, KafkaFailed, NoFreePort, NoClickHouse.
    """
    notes: list[str] = []
    chosen, kafka = _choose(settings, brokers, notes, lost)
    environment = {**os.environ, **chosen.environment()}
    metrics = _metrics_ports(chosen, notes, lost)
    servers = {
        "clickhouse": chosen.clickhouse_http_port,
        "schema-registry": chosen.schema_registry_port,
        "api": chosen.api_port,
    }

    def ours(name: str, *arguments: str) -> Service:
        port = {} if name not in metrics else {METRICS_PORT: str(metrics[name])}
        service = _ours(chosen, name, arguments or [name], environment | port)
        ports = [of[name] for of in (servers, metrics) if name in of]
        return msgspec.structs.replace(service, ports=ports)

    base = _brokers(kafka) if kafka else []
    if settings.is_given("clickhouse_host", "clickhouse_port"):
        check_clickhouse(settings)
    else:
        base.append(ours("clickhouse"))
    given = settings.is_given("schema_registry_url")
    registry = [] if given else [_registry(chosen, ours("schema-registry"))]
    names = chosen.systems
    last = [ours(processor_name(some), "processor", *some) for some in processors_of(chosen)]
    last += [ours("projector"), ours("worker")]
    if chosen.api:
        last.append(ours("api"))
    if WEBHOOKS in names:
        last.append(ours("webhook-sender"))
    if SLA in names and chosen.prometheus_url:
        last.append(ours("sli-prometheus"))
    if SLA in names and SLI in names:
        last.append(ours("sli-history"))
    if SLA in names and chosen.alertmanager_url:
        last.append(ours("alertmanager-sender"))
    # Nothing waits for them: what they refuse to sign must not stop what they watch.
    watchers = [
        name for name, is_wanted in (("sealer", chosen.seal), ("witness", chosen.witness)) if is_wanted
    ]
    last += [msgspec.structs.replace(ours(name), is_awaited=False) for name in watchers]
    stages = [
        Stage(base, lambda: prepare_topics(chosen)),
        Stage(registry, lambda: register_schemas(chosen)),
        Stage(last),
    ]
    return Plan(stages, chosen, _endpoints(chosen), notes, kafka, metrics.get(SUPERVISOR, 0))


def register_schemas(settings: Settings) -> None:
    """Registers every schema of this build; refuses a registry that says something else."""
    from neural_hive.connectors.schema_registry import register_all

    register_all(settings.schema_registry_url)


def check_clickhouse(settings: Settings) -> None:
    """Raises NoClickHouse if the server of the settings does not answer or refuses the user."""
    from neural_hive.connectors.clickhouse import ClickHouse, ClickHouseError

    host, port, user = settings.clickhouse_host, settings.clickhouse_port, settings.clickhouse_user
    server = ClickHouse(
        host,
        port,
        user=user,
        password=settings.password_of(user),
        database="system",  # ours may not be there yet
        secure=settings.clickhouse_secure,
        timeout_s=10,
    )
    try:
        server.rows("SELECT 1")
    except ClickHouseError as error:
        raise NoClickHouse(
            f"ClickHouse at {host}:{port} cannot be used as {user}: {error}. Start it or mend the settings "
            f"clickhouse_*; without clickhouse_host and clickhouse_port one is started here"
        ) from None
    finally:
        server.close()


def prepare_topics(settings: Settings) -> list[str]:
    """Creates the topics that are missing, and gives their names."""
    security = settings.kafka_security()
    check_brokers(settings.kafka_bootstrap, security)
    return ensure_topics(
        settings.kafka_bootstrap, all_topics().values(), settings.partitions, settings.replication, security
    )


def _choose(
    settings: Settings, brokers: int, notes: list[str], lost: frozenset[int]
) -> tuple[Settings, EmbeddedKafka | None]:
    """The settings with the addresses of what will be started here."""
    taken = set(lost)
    changes: dict[str, Any] = {}
    kafka = None

    def port(what: str, wanted: int) -> int:
        found = free_port(wanted, frozenset(taken))
        taken.add(found)
        if found != wanted:
            notes.append(f"port {wanted} is taken: {what} listens on {found}")
        return found

    if not settings.is_given("kafka_bootstrap"):
        ports = [port(f"Kafka broker {n + 1}", settings.kafka_port + n) for n in range(brokers)]
        kafka = EmbeddedKafka(settings.data, brokers, ports)
        changes |= {
            "kafka_bootstrap": kafka.bootstrap,
            "kafka_port": ports[0],
            "replication": kafka.replication,
        }
    if not settings.is_given("schema_registry_url"):
        registry = port("the schema registry", settings.schema_registry_port)
        changes |= {"schema_registry_url": f"http://{HOST}:{registry}", "schema_registry_port": registry}
    if not settings.is_given("clickhouse_host", "clickhouse_port"):
        found = port("ClickHouse", settings.clickhouse_http_port)
        changes |= {"clickhouse_port": found, "clickhouse_http_port": found}
    if settings.api:
        changes["api_port"] = port("the HTTP API", settings.api_port)
    return settings.model_copy(update=changes), kafka


def process_names(settings: Settings) -> tuple[str, ...]:
    """The names of our processes in the order of their metrics' ports."""
    return (*(processor_name(names) for names in processors_of(settings)), *_OTHERS)


def _metrics_ports(settings: Settings, notes: list[str], lost: frozenset[int]) -> dict[str, int]:
    """Where each process serves its metrics, if a port is given: that one and the next ones, in this order."""
    if not settings.metrics_port:
        return {}
    names = process_names(settings)
    ports: dict[str, int] = {}
    for wanted, name in enumerate(names, settings.metrics_port):
        ports[name] = free_port(wanted, lost.union(ports.values()))
        if ports[name] != wanted:
            notes.append(f"port {wanted} is taken: {name} has its metrics on {ports[name]}")
    return ports


def _endpoints(settings: Settings) -> dict[str, str]:
    names = (
        "kafka_bootstrap",
        "schema_registry_url",
        "clickhouse_host",
        "clickhouse_port",
        "partitions",
        "replication",
        "agent_id",
        *(("api_port",) if settings.api else ()),
    )
    return {name: str(getattr(settings, name)) for name in names}


def _brokers(kafka: EmbeddedKafka) -> list[Service]:
    kafka.prepare()
    return [_broker(kafka, number) for number in kafka.numbers]


def _broker(kafka: EmbeddedKafka, number: int) -> Service:
    return Service(
        name=f"kafka-{number}",
        command=lambda: kafka.command(number),
        is_ready=lambda pid: kafka.is_ready(number, pid),
        environment=dict(os.environ),
        log=kafka.log(number),
        stop_timeout_s=STOP_TIMEOUT_S,
        backoff_max_s=BROKER_BACKOFF_MAX_S,
        ports=[kafka.ports[number - 1]],
    )


def _registry(settings: Settings, service: Service) -> Service:
    port, url = settings.schema_registry_port, f"{settings.schema_registry_url}/ready"
    return msgspec.structs.replace(
        service,
        is_ready=lambda pid: listens(pid, port) and answers_ok(url),
    )


def _ours(settings: Settings, name: str, arguments: Sequence[str], environment: Mapping[str, str]) -> Service:
    return Service(
        name=name,
        command=lambda: command_line(*arguments),
        is_ready=lambda pid: ready_file(settings.data, name, pid).exists(),
        environment=environment,
        log=log_file(settings.data, name),
    )


def log_file(data: Path, name: str) -> Path:
    """Where a process of the system logs."""
    return data / "logs" / f"{name}.log"
