"""What is asked of a cluster to save its topics and groups, and what sets them up again on another one."""

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from typing import Any, Final, TypeVar

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewTopic,
    ResourceType,
)

from neural_hive.connectors.kafka_admin import KafkaUnreachable, WrongTopic, unreachable
from neural_hive.connectors.kafka_log import told
from neural_hive.connectors.kafka_offsets import CALL_TIMEOUT_S, Place

_TIMEOUT_S: Final = 60.0
_CRITICAL: Final = 2  # of syslog's levels: what goes wrong comes as an exception
_PAUSE_S: Final = 0.2
_PASSING: Final = (  # a group's coordinator is being found, or reads its log
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
)
T = TypeVar("T")


class FoundTopic(msgspec.Struct, frozen=True):
    """A topic as a cluster has it."""

    name: str
    topic_id: str
    partitions: int
    config: dict[str, str]  # what was set for this topic; the rest is the broker's


class Cluster:
    """One cluster, asked and changed. Raises KafkaUnreachable: nobody answers; WrongTopic: it refuses."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = {"log_level": _CRITICAL, **config}
        self._admin = AdminClient(self._config)

    @property
    def cluster_id(self) -> str:
        """The id that the cluster was made with."""
        return str(self._metadata().cluster_id)

    def brokers(self) -> int:
        """How many there are."""
        return len(self._metadata().brokers)

    def topics(self, names: Iterable[str]) -> dict[str, FoundTopic]:
        """Those of the topics that are there."""
        known = self._metadata().topics
        there = sorted(name for name in set(names) if name in known and known[name].error is None)
        if not there:
            return {}
        described = self._admin.describe_topics(TopicCollection(there), request_timeout=_TIMEOUT_S)
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in there]
        configs = self._admin.describe_configs(resources, request_timeout=_TIMEOUT_S)
        set_here = {resource.name: _set_here(_answer(found)) for resource, found in configs.items()}
        found = {name: _answer(answer) for name, answer in described.items()}
        return {
            name: FoundTopic(name, str(found[name].topic_id), len(found[name].partitions), set_here[name])
            for name in there
        }

    def create(self, name: str, partitions: int, replication: int, config: Mapping[str, str]) -> None:
        """Creates a topic."""
        wanted = NewTopic(name, partitions, replication, config=dict(config))
        _answer(self._admin.create_topics([wanted], request_timeout=_TIMEOUT_S)[name])

    def wait_led(self, topics: Mapping[str, int], wait_s: float = 60.0) -> None:
        """Returns when every partition of new topics has a leader: Kafka says that they are there before they are."""
        until = time.monotonic() + wait_s
        while True:
            known = self._metadata().topics
            late = [
                name for name, count in topics.items() if name not in known or not _is_led(known[name], count)
            ]
            if not late:
                return
            if time.monotonic() > until:
                raise KafkaUnreachable(
                    f"topic {late[0]} has no leader after {wait_s:g} s: is a broker missing?"
                )
            time.sleep(0.1)

    def set_config(self, name: str, config: Mapping[str, str], unset: Iterable[str] = ()) -> None:
        """Sets some of a topic's settings, and gives others back to the broker's."""
        entries = [
            ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
            for key, value in config.items()
        ] + [
            ConfigEntry(key, None, incremental_operation=AlterConfigOpType.DELETE)
            for key in unset
            if key not in config
        ]
        resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
        for answer in self._admin.incremental_alter_configs([resource], request_timeout=_TIMEOUT_S).values():
            _answer(answer)

    def delete_before(self, offsets: Mapping[Place, int]) -> None:
        """Deletes what lies before the offsets, as retention does."""
        wanted = [TopicPartition(topic, partition, offset) for (topic, partition), offset in offsets.items()]
        answers = self._admin.delete_records(wanted, request_timeout=_TIMEOUT_S) if wanted else {}
        for answer in answers.values():
            _answer(answer)

    def committed(self, group: str, places: Iterable[Place]) -> dict[Place, int]:
        """How far a group has come, where it has come at all: what a transaction that goes on commits is not there."""
        asked = [TopicPartition(*place) for place in places]
        with closing(self._member(group)) as consumer:
            found = self._asked(lambda: consumer.committed(asked, CALL_TIMEOUT_S)) if asked else []
        return {(at.topic, at.partition): int(at.offset) for at in found if at.offset >= 0}

    def commit(self, group: str, offsets: Mapping[Place, int]) -> None:
        """Sets the offsets of a group that nobody is in."""
        wanted = [TopicPartition(topic, partition, offset) for (topic, partition), offset in offsets.items()]
        if wanted:
            with closing(self._member(group)) as consumer:
                self._asked(lambda: consumer.commit(offsets=wanted, asynchronous=False))

    def _member(self, group: str) -> Consumer:
        return Consumer({**self._config, "group.id": group, "enable.auto.commit": False})

    def _metadata(self) -> Any:
        return self._asked(lambda: self._admin.list_topics(timeout=_TIMEOUT_S))

    def _asked(self, question: Callable[[], T]) -> T:
        until = time.monotonic() + _TIMEOUT_S
        while True:
            try:
                return question()
            except KafkaException as error:
                if error.args[0].code() not in _PASSING or time.monotonic() > until:
                    raise unreachable(str(self._config["bootstrap.servers"]), error) from error
            time.sleep(_PAUSE_S)


def _answer(answer: Any) -> Any:
    try:
        return told(answer, _TIMEOUT_S)
    except KafkaException as error:
        reason = error.args[0]
        if reason.code() in (KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN):
            raise KafkaUnreachable(f"Kafka does not answer: {reason.str()}") from error
        raise WrongTopic(f"Kafka refuses: {reason.str()}") from error


def _is_led(topic: Any, partitions: int) -> bool:
    led = [p for p in topic.partitions.values() if p.error is None and p.leader >= 0]
    return topic.error is None and len(led) == partitions


def _set_here(entries: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: str(entry.value)
        for name, entry in entries.items()
        if entry.source == ConfigSource.DYNAMIC_TOPIC_CONFIG.value and entry.value is not None
    }
