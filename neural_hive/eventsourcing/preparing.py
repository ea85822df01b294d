"""Makes the topic of an application, and learns its id."""

import time
from collections.abc import Mapping
from typing import Any, Final

from neural_hive.connectors.kafka_admin import WrongTopic, ensure_topics, topic_id
from neural_hive.schemas.topics import Topic

_KNOWN_TIMEOUT_S: Final = 30.0
_PAUSE_S: Final = 0.05


def prepared(topic: Topic, kafka: Mapping[str, Any], replication: int) -> str:
    """The id of the topic, which is made if it is not there. Raises WrongTopic, KafkaUnreachable."""
    bootstrap = kafka["bootstrap.servers"]
    security = {name: value for name, value in kafka.items() if name != "bootstrap.servers"}
    ensure_topics(bootstrap, [topic], None, replication, security)
    until = time.monotonic() + _KNOWN_TIMEOUT_S
    while True:
        try:
            return topic_id(bootstrap, topic.name, security)
        except WrongTopic:  # a broker says that it has made a topic before all of it knows
            if time.monotonic() > until:
                raise
            time.sleep(_PAUSE_S)
