"""One pass over topics: the records up to a moment, those that hold a text, and those that lie at given places."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from neural_hive.connectors.kafka_log import LostLog, Record, UnreadableLog
from neural_hive.replay.moment import BadMoment, Cut, Gate, Place
from neural_hive.replay.reader import LogSource, NothingArchived, Range

WHOLE: Final = Cut()
_GAP_MAX: Final = 2_000  # records between two wanted ones that are read over rather than asked for anew


def records(
    source: LogSource, topics: Iterable[str], until: Cut = WHOLE, needles: Iterable[str] = ()
) -> Iterator[Record]:
    """The records before a moment, topic by topic and partition by partition; only those that hold one of the needles.

    Ids stand in a value as they are written, so who looks for one decodes only what holds it.
    """
    for record, _ in divided(source, topics, None, until, needles):
        yield record


def divided(
    source: LogSource, topics: Iterable[str], since: Cut | None, until: Cut, needles: Iterable[str] = ()
) -> Iterator[tuple[Record, bool]]:
    """The records before `until`, and of each whether it comes after `since`; None: all do.

    Raises BadMoment: `since` is not before `until`, in some partition; and what the source and `Cut.gate` raise.
    """
    wanted = [needle.encode() for needle in needles]
    ranges = {topic: ranges_of(source, topic) for topic in topics}  # all ends at one time: the log goes on
    for topic, partitions in ranges.items():
        for partition, bounds in sorted(partitions.items()):
            earlier = None if since is None else since.gate(topic, partition)
            gates = earlier, until.gate(topic, partition)
            for record, is_new in _partition(source, topic, partition, bounds, gates):
                value = record.value or b""
                if not wanted or any(needle in value for needle in wanted):
                    yield record, is_new


def _partition(
    source: LogSource, topic: str, partition: int, bounds: Range, gates: tuple[Gate | None, Gate]
) -> Iterator[tuple[Record, bool]]:
    was_there, is_there = gates
    is_new = False
    for batch in source.batches(topic, partition, *bounds):
        for record in batch:
            is_new = is_new or was_there is None or not was_there(record)
            if not is_there(record):
                if not is_new:
                    raise BadMoment(
                        f"the first moment is not before the second one: between them lies "
                        f"{topic}:{partition}:{record.offset}"
                    )
                return
            yield record, is_new


def ranges_of(source: LogSource, topic: str) -> Mapping[int, Range]:
    """What there is of a topic; nothing, if nothing of it was ever archived and the archive is what is read."""
    try:
        return source.ranges(topic)
    except NothingArchived:
        return {}


def records_at(source: LogSource, places: Iterable[Place]) -> dict[Place, Record]:
    """The records at these places; those that are there no more are left out."""
    found: dict[Place, Record] = {}
    by_partition: dict[tuple[str, int], list[int]] = {}
    for place in sorted(set(places)):
        by_partition.setdefault((place.topic, place.partition), []).append(place.offset)
    for (topic, partition), offsets in by_partition.items():
        wanted = set(offsets)
        for first, last in _runs(offsets):
            for record in _there(source, topic, partition, first, last + 1):
                if record.offset in wanted:
                    found[Place(topic, partition, record.offset)] = record
    return found


def _runs(offsets: list[int]) -> Iterator[tuple[int, int]]:
    first = last = offsets[0]
    for offset in offsets[1:]:
        if offset - last > _GAP_MAX:
            yield first, last
            first = offset
        last = offset
    yield first, last


def _there(source: LogSource, topic: str, partition: int, first: int, end: int) -> Iterator[Record]:
    """Inputs expire: what is gone is left out."""
    try:
        begin, stop = ranges_of(source, topic).get(partition, (0, 0))
        for batch in source.batches(topic, partition, max(first, begin), min(end, stop)):
            yield from batch
    except (UnreadableLog, LostLog):
        return
