"""Reads an input whose partition count differs from its system's, and hands every record on by its routing id.

A router is a system without aggregates: the same processor, a group of its own, offsets in the same transactions
as the records that it writes to the repartition topic.
"""

from typing import Any

from neural_hive.schemas.codec import decode
from neural_hive.schemas.envelope import Header
from neural_hive.streams.kernel.inbox import check_forwarding, check_header
from neural_hive.streams.kernel.system import System


def router_of(system: System, topic: str) -> System:
    """The router of one input of a system. Raises ValueError: the system has no repartition topic."""
    target = system.repartition
    if target is None:
        raise ValueError(f"{system.name} has no repartition topic to route {topic} to")
    router = System(f"{system.name}.router.{topic}", (), (__name__,))

    @router.on_raw(topic)
    def hand_on(unit: Any, record: Any) -> None:
        header = decode(record.value or b"", "message").head
        assert isinstance(header, Header)
        check_header(header)
        check_forwarding(record)
        unit.forward(target, record, header.routing_id)

    return router
