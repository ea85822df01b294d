"""What is known of a source's partition while its history is read, and what each of its records says.

A source is one line in `SOURCES`: its topic, and who turns its records into samples. They say the same as they have
said to the system `sli` when they came, so it makes no difference whether something is counted as it comes or from the
log.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

import msgspec

from neural_hive.aggregates.metric_window import TOPIC as WINDOWS
from neural_hive.aggregates.sli_source import Source
from neural_hive.connectors.record import Record
from neural_hive.projections.whole_log import Readable
from neural_hive.streams.kernel.reading import MessageReader
from neural_hive.streams.sli.facts import Sample
from neural_hive.streams.sli_history.subjects import tickets, workflows
from neural_hive.streams.sli_history.windows import Windows


class Facts(Protocol):
    """What is known of a partition up to a place, and what the next record says."""

    @property
    def forgotten(self) -> int:
        """Of how many things the beginning was let go of, since there were too many."""
        ...

    def beside(self, log: Readable) -> AbstractContextManager[object]:
        """Within it records are read on. `log`: the same partition of all topics, as far as it goes now."""
        ...

    def read(self, record: Record) -> Any | None:
        """The next record; None: it says nothing.

        Raises BadRecord: nobody can read it; UnknownSchema, RegistryAway: not now.
        """
        ...

    def take(self, said: Any) -> Iterable[Sample]:
        """What has happened by what `read` has given."""
        ...


class HistorySource(msgspec.Struct, frozen=True):
    """Where a source's records stand, and how they are read."""

    topic: str
    facts: Callable[[MessageReader], Facts]  # of a partition of which nothing was read yet


SOURCES: Final[Mapping[Source, HistorySource]] = {
    Source.TICKETS: HistorySource("execution.tickets", tickets),
    Source.WORKFLOWS: HistorySource("orchestration.workflows", workflows),
    Source.TELEMETRY: HistorySource(WINDOWS, Windows),
}
