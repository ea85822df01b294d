"""What of a writer's log is verified, settled before anything is read: the system may be at work."""

from collections.abc import Callable

import msgspec

from neural_hive.replay.checks.committed import NotVerified, Offsets
from neural_hive.replay.reader import LogSource, Range
from neural_hive.replay.steps.target import Target


class Scope(msgspec.Struct, frozen=True):
    """The ranges of one writer's topics, and how far its inputs were read before they were looked up."""

    name: str
    partitions: int  # of its event topics
    events: dict[str, dict[int, Range]]
    letters: dict[int, Range]
    before: list[tuple[str, int, int]] | None  # topic, partition, committed offset; None: it cannot be known

    @property
    def committed(self) -> Offsets | None:
        """`before`, by topic and partition."""
        return None if self.before is None else {(t, p): offset for t, p, offset in self.before}

    @property
    def records(self) -> int:
        """How many event records there are at most."""
        return sum(end - first for ranges in self.events.values() for first, end in ranges.values())


def scope_of(target: Target, source: LogSource, committed: Callable[[], Offsets] | None) -> Scope:
    """Looks it up. Raises NotVerified, UnreadableLog."""
    # In this order: what was committed first is answered in what is read after.
    before = committed() if committed is not None and target.whole else None
    events = {topic: dict(source.ranges(topic)) for topic in target.event_topics}
    counts = {len(partitions) for partitions in events.values()}
    if len(counts) != 1:
        raise NotVerified(f"the event topics of {target.name} differ in their partition counts")
    letters = dict(source.ranges(target.dead_letters)) if before is not None else {}
    kept = None if before is None else [(t, p, offset) for (t, p), offset in before.items()]
    return Scope(target.name, counts.pop(), events, letters, kept)
