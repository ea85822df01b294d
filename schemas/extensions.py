"""What installed packages add: topics, read models and systems, each declared as an entry point of the package.

    [project.entry-points."neural_hive.systems"]
    doors = "doors.streams.doors:build"

Their schemas are folders named in NEURAL_HIVE_SCHEMAS: see catalogue.py.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Final

from neural_hive.schemas.topics import TOPICS, Topic

TOPICS_GROUP: Final = "neural_hive.topics"  # an iterable of Topic
PROJECTIONS_GROUP: Final = "neural_hive.projections"  # a Projection
SYSTEMS_GROUP: Final = "neural_hive.systems"  # a function: settings → System


class BadExtension(RuntimeError):
    """An installed package declares something that cannot be used; the text says which, and why."""


def declared(group: str, own: Iterable[str]) -> dict[str, Any]:
    """What the installed packages declare in a group, by name. `own` are names that are taken already.

    Raises BadExtension: it cannot be imported, or two have one name.
    """
    found: dict[str, Any] = {}
    taken = set(own)
    for entry in sorted(entry_points(group=group), key=lambda entry: entry.name):
        if entry.name in taken:
            raise BadExtension(f"{_told(entry)}: the name is taken; give it another")
        taken.add(entry.name)
        try:
            found[entry.name] = entry.load()
        except Exception as error:
            raise BadExtension(
                f"{_told(entry)} cannot be loaded: {type(error).__name__}: {error}. Mend or uninstall the package"
            ) from error
    return found


def _told(entry: Any) -> str:
    package = f" of package {entry.dist.name}" if entry.dist else ""
    return f'entry point {entry.name} = "{entry.value}" in {entry.group}{package}'


@cache
def all_topics() -> Mapping[str, Topic]:
    """The topics of this project and of all installed extensions. Raises BadExtension."""
    topics = dict(TOPICS)
    for name, added in declared(TOPICS_GROUP, ()).items():
        for topic in added:
            if topic.name in topics:
                raise BadExtension(f"{TOPICS_GROUP} {name}: the topic {topic.name} is declared already")
            topics[topic.name] = topic
    return topics
