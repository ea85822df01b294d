"""Whom the group has given a partition to, as the broker says."""

from collections.abc import Mapping
from typing import Any, Final

from confluent_kafka import ConsumerGroupState
from confluent_kafka.admin import AdminClient

from neural_hive.connectors.kafka_log import told

ASK_TIMEOUT_S: Final = 10.0


def owner_of(config: Mapping[str, Any], group: str, partition: int) -> str:
    """The instance id of the member that has this partition of the group's inputs.

    Empty: nobody has, or it is just being decided. Raises KafkaException: no answer.
    """
    admin = AdminClient({"log_level": 2, **config})
    asked = admin.describe_consumer_groups([group], request_timeout=ASK_TIMEOUT_S)
    found = told(asked[group], ASK_TIMEOUT_S + 1)
    if found.state == ConsumerGroupState.STABLE:
        for member in found.members:
            if any(place.partition == partition for place in member.assignment.topic_partitions):
                return member.group_instance_id or ""
    return ""
