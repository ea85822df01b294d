"""Reads an input whose partition count differs from its system's, and hands every record on by its routing id.

A router is a system without aggregates: the same processor, a group of its own, offsets in the same transactions
as the records that it writes to the repartition topic.
"""

from typing import Any

from neural_hive.streams.kernel.inbox import check_forwarding
from neural_hive.streams.kernel.system import Addressed, System


def router_name(system: str, topic: str) -> str:
    """The name of the router of one input of a system: its group, and the processor of its dead letters."""
    return f"{system}.router.{topic}"


def router_of(system: System, topic: str) -> System:
    """The router of one input of a system. Raises ValueError: the system has no repartition topic."""
    target = system.repartition
    if target is None:
        raise ValueError(f"{system.name} has no repartition topic to route {topic} to")
    router = System(router_name(system.name, topic), (), (__name__,))

    @router.on_addressed(topic)
    def hand_on(unit: Any, mail: Addressed) -> None:
        check_forwarding(mail.record)
        unit.forward(target, mail.record, mail.routing_id)

    return router
