"""What a worker has taken from the log and not yet finished, and how far it may therefore commit."""

from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar

import msgspec

from neural_hive.aggregates.vocabulary import Artifact, DeliveryMode
from neural_hive.connectors.process_executor import Cancellation
from neural_hive.schemas.envelope import Envelope


class Dispatch(msgspec.Struct, frozen=True):
    """What a worker reads of a TicketDispatched."""

    ticket_id: str
    workflow_id: str
    task_id: str
    task_type: str
    attempt: int
    allocated_agent_id: str
    command: tuple[str, ...]
    parameters: dict[str, str]
    environment: dict[str, str]
    timeout_ms: int
    deadline_at: int
    inputs: tuple[Artifact, ...]
    compensates: bool = False
    start_by: int = 0
    begun_at: int = 0  # not in the log: when an earlier process began this attempt, in µs; 0: none did
    is_announced: bool = False  # nor this: whether the log has that start
    delivery_mode: DeliveryMode = DeliveryMode.UNKNOWN


Key = tuple[str, int]  # id of a ticket, or of what else is attempted; attempt


class Held(Protocol):
    """What a ledger keeps until it is finished."""

    places: list[tuple[int, int]]  # partition and offset of what asks for it

    @property
    def key(self) -> Key:
        """Which attempt it is."""
        ...


W = TypeVar("W", bound=Held)


class Work(msgspec.Struct):
    """One ticket's attempt, from its dispatch until its result is delivered or unwanted."""

    dispatch: Dispatch
    cause: Envelope
    cancellation: Cancellation = msgspec.field(default_factory=Cancellation)
    places: list[tuple[int, int]] = []  # partition and offset of its dispatch; repeats add theirs
    begun: bool = False  # by this process, or it has said so
    started_at: int = 0  # µs since 1970 UTC, by an earlier process, as the log tells; 0: it does not

    @property
    def key(self) -> Key:
        return self.dispatch.ticket_id, self.dispatch.attempt


class _Partition(msgspec.Struct, Generic[W]):
    next_offset: int | None = None
    caught_up: bool = False
    unfinished: dict[int, Key] = {}  # by offset, in the log's order
    waiting: list[W] = []  # taken, not yet given to be started


class Ledger(Generic[W]):
    """The books of one worker, or of who else takes work from the log; used by its loop alone.

    Until a partition is caught up (read to its end once), its tickets wait: the rest of the log may say that
    they are over.
    """

    def __init__(self) -> None:
        self._partitions: dict[int, _Partition[W]] = {}
        self._work: dict[Key, W] = {}

    def __len__(self) -> int:
        return len(self._work)

    def assign(self, partitions: Iterable[int]) -> None:
        """These partitions are read from now on, from wherever they were committed."""
        for waiting in (work for book in self._partitions.values() for work in book.waiting):
            self._work.pop(waiting.key, None)  # read again, if it is ours again
        self._partitions = {partition: _Partition() for partition in partitions}

    def has(self, partition: int) -> bool:
        """Whether the partition is assigned."""
        return partition in self._partitions

    def read_to(self, partition: int, next_offset: int) -> None:
        """All records below `next_offset` have been read."""
        self._partitions[partition].next_offset = next_offset

    def take(self, partition: int, offset: int, work: W) -> None:
        """Notes a dispatch. A repeat of one that is not finished is the same work."""
        known = self._work.setdefault(work.key, work)
        known.places.append((partition, offset))
        self._partitions[partition].unfinished[offset] = work.key
        if known is work:
            self._partitions[partition].waiting.append(work)

    def caught_up(self, partition: int) -> None:
        """The partition has been read to its end."""
        self._partitions[partition].caught_up = True

    def all_caught_up(self) -> None:
        """Waits no longer, though the end is not reached: too much is waiting."""
        for partition in self._partitions.values():
            partition.caught_up = True

    def to_start(self, partition: int) -> list[W]:
        """The partition's tickets that should run and do not yet, in the log's order; each is given once."""
        book = self._partitions[partition]
        if not book.caught_up:
            return []
        due, book.waiting = book.waiting, []
        return [work for work in due if work.key in self._work]

    def of_ticket(self, ticket_id: str, attempt: int | None) -> list[W]:
        """The unfinished attempts of a ticket; all of them, or one."""
        if attempt is not None:
            work = self._work.get((ticket_id, attempt))
            return [work] if work else []
        return [work for work in self._work.values() if work.key[0] == ticket_id]

    def finish(self, key: Key) -> None:
        """The ticket's attempt no longer holds back the offset; finishing twice does nothing."""
        work = self._work.pop(key, None)
        for partition, offset in work.places if work else ():
            if partition in self._partitions:
                self._partitions[partition].unfinished.pop(offset, None)

    def unfinished(self) -> list[W]:
        """All that is taken and not finished."""
        return list(self._work.values())

    def committable(self) -> dict[int, int]:
        """Per partition, the offset below which everything is finished."""
        found = {n: next(iter(p.unfinished), p.next_offset) for n, p in self._partitions.items()}
        return {partition: offset for partition, offset in found.items() if offset is not None}
