"""Topics on a Kafka cluster: made as declared, compared with what is there, known by their ids."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from neural_hive.schemas.topics import Topic

_TIMEOUT_S: Final = 60.0
_ENVELOPE_BYTES: Final = 64 * 1024  # key, headers and batch around the largest value
_CRITICAL: Final = 2  # of syslog's levels: what goes wrong comes as an exception
OFFSETS_RETENTION_MIN: Final = 2147483647


class WrongTopic(RuntimeError):
    """A topic or the cluster is not as the system needs it; the text says which, what was found and expected."""


class KafkaUnreachable(RuntimeError):
    """No broker answered in time."""


def topic_config(topic: Topic, replication: int) -> dict[str, str]:
    """The broker-side settings of a topic."""
    return {
        "message.timestamp.type": "LogAppendTime",
        "cleanup.policy": "delete",
        "retention.ms": str(-1 if topic.retention_ms is None else topic.retention_ms),
        "retention.bytes": "-1",
        "max.message.bytes": str(topic.bytes_max + _ENVELOPE_BYTES),
        "compression.type": topic.compression,
        "min.insync.replicas": str(min(replication, 2)),
    }


def ensure_topics(
    bootstrap: str,
    topics: Iterable[Topic],
    partitions: int | None = None,
    replication: int = 1,
    security: Mapping[str, str] | None = None,
) -> list[str]:
    """Creates the topics that are missing and gives their names.

    `partitions` overrides every topic's own count, but for those that must have one. Raises WrongTopic if one is there
    with another partition count or setting, KafkaUnreachable if nobody answers.
    """
    wanted = {topic.name: topic for topic in topics}
    counts = {
        name: 1 if topic.is_single else partitions or topic.partitions for name, topic in wanted.items()
    }
    admin = _admin(bootstrap, security)
    there = _partition_counts(admin, bootstrap)
    missing = [name for name in wanted if name not in there]
    _create(admin, [wanted[name] for name in missing], counts, replication)
    present = [wanted[name] for name in wanted if name in there]
    _check_counts({topic.name: there[topic.name] for topic in present}, counts)
    _check_configs(admin, {topic.name: topic_config(topic, replication) for topic in present})
    return missing


def topic_id(bootstrap: str, name: str, security: Mapping[str, str] | None = None) -> str:
    """The id that Kafka gave a topic when it was made: one made anew under the same name has another."""
    admin = _admin(bootstrap, security)  # to be kept until the answer is there
    futures = admin.describe_topics(TopicCollection([name]), request_timeout=_TIMEOUT_S)
    try:
        return str(futures[name].result().topic_id)
    except KafkaException as error:
        raise WrongTopic(f"cannot look up topic {name}: {_reason(error)}") from error


def check_brokers(bootstrap: str, security: Mapping[str, str] | None = None) -> None:
    """Raises WrongTopic if a broker forgets input offsets: a system that pauses would lose its place."""
    admin = _admin(bootstrap, security)
    brokers = [str(broker) for broker in _metadata(admin, bootstrap).brokers]
    for broker, found in _describe(admin, ResourceType.BROKER, brokers).items():
        minutes = found.get("offsets.retention.minutes")
        if minutes is not None and int(minutes) < OFFSETS_RETENTION_MIN:
            raise WrongTopic(
                f"broker {broker} forgets the offsets of a group that has been empty for {minutes} minutes. "
                f"Set offsets.retention.minutes={OFFSETS_RETENTION_MIN} in its server.properties"
            )


def _admin(bootstrap: str, security: Mapping[str, str] | None) -> AdminClient:
    return AdminClient({"bootstrap.servers": bootstrap, "log_level": _CRITICAL, **(security or {})})


def unreachable(bootstrap: str, error: KafkaException) -> KafkaUnreachable:
    """The error that says so, and what to do."""
    return KafkaUnreachable(
        f"no Kafka broker answers at {bootstrap} ({_reason(error)}). Is it running, and is the setting "
        "kafka_bootstrap right? `neural-hive up` starts one here"
    )


def _metadata(admin: AdminClient, bootstrap: str) -> Any:
    try:
        return admin.list_topics(timeout=_TIMEOUT_S)
    except KafkaException as error:
        raise unreachable(bootstrap, error) from error


def _partition_counts(admin: AdminClient, bootstrap: str) -> dict[str, int]:
    return {name: len(topic.partitions) for name, topic in _metadata(admin, bootstrap).topics.items()}


def _create(admin: AdminClient, topics: list[Topic], counts: Mapping[str, int], replication: int) -> None:
    new = [
        NewTopic(
            topic.name,
            num_partitions=counts[topic.name],
            replication_factor=replication,
            config=topic_config(topic, replication),
        )
        for topic in topics
    ]
    answers = admin.create_topics(new, request_timeout=_TIMEOUT_S) if new else {}
    for name, future in answers.items():
        try:
            future.result(_TIMEOUT_S)
        except KafkaException as error:
            # It may be there by now: another process was faster, with the same declaration.
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise WrongTopic(f"cannot create topic {name}: {_reason(error)}") from error


def _check_counts(found: Mapping[str, int], expected: Mapping[str, int]) -> None:
    for name, count in found.items():
        if count != expected[name]:
            raise WrongTopic(
                f"topic {name} has {count} partitions, expected {expected[name]}. "
                f"Set NEURAL_HIVE_PARTITIONS={count}, or use another cluster: records would change their partition"
            )


def _check_configs(admin: AdminClient, expected: Mapping[str, Mapping[str, str]]) -> None:
    for name, found in _describe(admin, ResourceType.TOPIC, list(expected)).items():
        for setting, value in expected[name].items():
            if found.get(setting) != value:
                raise WrongTopic(
                    f"topic {name} has {setting}={found.get(setting)}, expected {value}. "
                    f"Change it with Kafka's tools: kafka-configs --alter --topic {name} "
                    f"--add-config {setting}={value}"
                )


def _describe(admin: AdminClient, kind: ResourceType, names: list[str]) -> dict[str, dict[str, str | None]]:
    resources = [ConfigResource(kind, name) for name in names]
    # Every broker must be asked on its own, topics may be asked together.
    calls = [[resource] for resource in resources] if kind == ResourceType.BROKER else [resources]
    found = {}
    for call in filter(None, calls):
        for resource, future in admin.describe_configs(call, request_timeout=_TIMEOUT_S).items():
            try:
                entries = future.result(_TIMEOUT_S)
            except KafkaException as error:
                raise WrongTopic(f"cannot read the settings of {resource.name}: {_reason(error)}") from error
            found[resource.name] = {name: entry.value for name, entry in entries.items()}
    return found


def _reason(error: KafkaException) -> str:
    return str(error.args[0].str()) if error.args else str(error)
