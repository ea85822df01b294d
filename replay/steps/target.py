"""One writer of events: what it writes and reads."""

from typing import Final

import msgspec

from neural_hive.streams.kernel.router import router_name
from neural_hive.streams.kernel.system import System

DEAD_LETTERS: Final = "dead.letters"


class Target(msgspec.Struct, frozen=True):
    """One writer: the name that its events carry as producer, and the topics it owns and reads."""

    name: str
    event_topics: tuple[str, ...]
    input_topics: tuple[str, ...]
    dead_letters: str = DEAD_LETTERS
    whole: bool = (
        True  # False: not all its event topics, so `sequence` has gaps and inputs may be answered elsewhere
    )
    repartition: str = ""  # the input topic that holds copies of records from the others

    def reader(self, topic: str, routed: bool) -> str:
        """The group that reads an input: a router's, if its partition count is not the event topics'."""
        return router_name(self.name, topic) if routed else self.name

    def narrowed(self, topics: tuple[str, ...]) -> "Target":
        """Only these of its event topics; () = all."""
        if not topics:
            return self
        events = tuple(topic for topic in self.event_topics if topic in topics)
        return msgspec.structs.replace(self, event_topics=events, whole=events == self.event_topics)


def target_of(system: System) -> Target:
    """What a system writes and reads. Foreign topics, whose records are no messages, are left out."""
    inputs = (
        topic for topic in system.topics if topic not in system.inputs or not system.inputs[topic].is_foreign
    )
    return Target(
        system.name, tuple(system.event_topics), tuple(inputs), repartition=system.repartition or ""
    )
