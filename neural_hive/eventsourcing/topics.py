"""The topics of an application: its events, and its snapshots if it takes any."""

import re
from typing import Final

from neural_hive.schemas.topics import Kind, Topic

EVENTS: Final = "events"
SNAPSHOTS: Final = "snapshots"
PREFIX: Final = "eventsourcing"  # also the topic that the schemas name, for all of them
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")


class BadName(ValueError):
    """An application whose name cannot be that of a topic; the text says what it must be."""


def topic_name(application: str, purpose: str = EVENTS) -> str:
    """The topic of what an application records for a purpose. Raises BadName."""
    for what, name in (("application", application), ("purpose", purpose)):
        if not _NAME.fullmatch(name):
            raise BadName(
                f"the name of an {what} must be 1 to 128 letters, digits, - or _, not {name!r}: a topic is called by "
                "it. Set `name` on the class of the application"
            )
    return f"{PREFIX}.{application}" + ("" if purpose == EVENTS else f".{purpose}")


def topic_of(application: str, purpose: str = EVENTS) -> Topic:
    """The declaration of that topic: one partition, whose order is that of the notifications. Raises BadName."""
    return Topic(topic_name(application, purpose), Kind.EVENT, partitions=1, is_single=True)


def application_topics(*applications: str) -> tuple[Topic, ...]:
    """The topics of these applications, to be declared as an entry point: then they are archived. Raises BadName."""
    return tuple(topic_of(name, purpose) for name in applications for purpose in (EVENTS, SNAPSHOTS))
