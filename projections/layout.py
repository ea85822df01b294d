"""The topics as they are, and whether the positions still fit them."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import structlog
from confluent_kafka import TopicCollection
from confluent_kafka.admin import AdminClient

from neural_hive.projections.positions import Position
from neural_hive.projections.source import LogLost

_CALL_TIMEOUT_S: Final = 30.0

log = structlog.get_logger(__name__)


def check(position: Position, topic_id: str, begin: int, end: int, reached: int = 0) -> None:
    """Raises LogLost: the log is not the one that was archived, or does not have what comes next.

    `reached`: up to where the archive has more than the position says, from a batch that was not finished.
    """
    where = f"{position.topic}:{position.partition}"
    if position.topic_id != topic_id:
        raise LogLost(
            f"topic {position.topic} was made anew (id {topic_id}, archived was {position.topic_id}): its archive "
            "may be the only copy. Restore the topic, or archive into another database"
        )
    if position.next > end:
        raise LogLost(
            f"{where} ends at offset {end}, and is archived up to {position.next}: the log has lost committed "
            "records, and the archive may be the only copy. Restore the log before anything is written to it"
        )
    if max(position.next, reached) < begin:
        raise LogLost(
            f"{where} begins at offset {begin}, and is archived up to {position.next} only: the records between "
            "were deleted before they were archived"
        )


def past_expired(position: Position, begin: int) -> Position:
    """The position, moved to where a stream of measurements begins: what expired unread is no part of history."""
    if position.next >= begin:
        return position
    log.warning(
        "measurements expired before they were archived",
        topic=position.topic,
        partition=position.partition,
        first=position.next,
        begin=begin,
    )
    return msgspec.structs.replace(position, next=begin)


def layout(config: Mapping[str, Any], topics: list[str]) -> dict[str, tuple[str, int]]:
    """Each topic's id and partition count. Raises LogLost: a topic is not there."""
    admin = AdminClient({"log_level": 3, **config})
    asked = admin.describe_topics(TopicCollection(topics), request_timeout=_CALL_TIMEOUT_S)
    found: dict[str, tuple[str, int]] = {}
    for name, answer in asked.items():
        try:
            told = answer.result(_CALL_TIMEOUT_S + 1)
        except Exception as error:
            raise LogLost(f"topic {name} cannot be described: {error}") from error
        found[name] = (str(told.topic_id), len(told.partitions))
    return found
