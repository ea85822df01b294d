"""Which topics are sealed."""

from typing import Final

from neural_hive.replay.seal.leaves import COMPACTED
from neural_hive.schemas.extensions import all_topics
from neural_hive.schemas.topics import Kind

_KINDS: Final = (Kind.EVENT, Kind.INPUT, Kind.DEAD)


def sealed_topics() -> frozenset[str]:
    """Events, inputs and dead letters; and the schemas, since another schema makes another event of the same bytes."""
    return frozenset(name for name, topic in all_topics().items() if topic.kind in _KINDS) | COMPACTED
