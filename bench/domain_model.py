"""Compares the `eventsourcing` library's domain model with ours: `python -m bench.domain_model`.

One aggregate, one creation and 100 changes. "stored" includes what each needs to get from its stored form (JSON in
the library's mapper; a decoded Avro record, a dict, in ours) back to event objects.
"""

import time
from collections.abc import Callable
from typing import Any, assert_never

import msgspec
from eventsourcing.domain import Aggregate as LibraryAggregate
from eventsourcing.domain import event as changes
from eventsourcing.persistence import DatetimeAsISO, JSONTranscoder, Mapper, UUIDAsHex

from neural_hive.aggregates.aggregate import Aggregate, Command, Event, event_of

CHANGES = 100
EVENTS = CHANGES + 1
SECONDS_MIN = 1.0
ROUNDS = 5


class LibraryAccount(LibraryAggregate):
    """The library's form: an object that records its own events."""

    @changes("Opened")
    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.total = 0

    @changes("Raised")
    def raise_by(self, amount: int, at: int) -> None:
        self.total += amount


class Open(Command, frozen=True):
    owner: str


class Raise(Command, frozen=True):
    amount: int
    at: int


class Opened(Event, frozen=True):
    owner: str


class Raised(Event, frozen=True):
    amount: int
    at: int


class Account(msgspec.Struct, frozen=True):
    owner: str
    total: int = 0


def decide(account: Account | None, command: Open | Raise) -> list[Opened | Raised]:
    match command:
        case Open():
            return [Opened(command.owner)]
        case Raise():
            return [Raised(command.amount, command.at)]
        case _:
            assert_never(command)


def evolve(account: Account | None, event: Opened | Raised) -> Account:
    if isinstance(event, Opened):
        return Account(event.owner)
    assert account is not None
    return msgspec.structs.replace(account, total=account.total + event.amount)


ACCOUNT = Aggregate("account", "accounts", Account, (Opened, Raised), decide, evolve)


def write_library() -> list[Any]:
    account = LibraryAccount("x")
    for at in range(CHANGES):
        account.raise_by(1, at)
    return list(account.collect_events())


def write_ours() -> list[Any]:
    account: Account | None = None
    log: list[Any] = []
    for command in (Open("x"), *(Raise(1, at) for at in range(CHANGES))):
        for event in decide(account, command):
            account = evolve(account, event)
            log.append(event)
    return log


def replay_library(log: list[Any]) -> Any:
    account = None
    for event in log:
        account = event.mutate(account)
    return account


def replay_ours(log: list[Any]) -> Any:
    account = None
    for event in log:
        account = evolve(account, event)
    return account


def rate(work: Callable[[], object]) -> float:
    """Events a second of processor time, so that a busy machine does not decide: the best round of several."""
    best = 0.0
    for _ in range(ROUNDS):
        start, times = time.thread_time(), 0
        while time.thread_time() - start < SECONDS_MIN / ROUNDS:
            work()
            times += 1
        best = max(best, times * EVENTS / (time.thread_time() - start))
    return best


def main() -> None:
    """Prints a line for each way of each form."""
    transcoder = JSONTranscoder()
    transcoder.register(UUIDAsHex())
    transcoder.register(DatetimeAsISO())
    mapper: Mapper[Any] = Mapper(transcoder)
    library, ours = write_library(), write_ours()
    stored_library = [mapper.to_stored_event(event) for event in library]
    stored_ours = [(type(event).__name__, msgspec.to_builtins(event)) for event in ours]

    def restore_library() -> Any:
        return replay_library([mapper.to_domain_event(stored) for stored in stored_library])

    def restore_ours() -> Any:
        return replay_ours([event_of(ACCOUNT, name, payload) for name, payload in stored_ours])

    assert restore_library().total == restore_ours().total == CHANGES
    rows = (
        ("write", write_library, write_ours),
        ("replay objects", lambda: replay_library(library), lambda: replay_ours(ours)),
        ("replay stored", restore_library, restore_ours),
    )
    for name, theirs, own in rows:
        print(f"{name:15} library {rate(theirs):10,.0f} events/s   ours {rate(own):10,.0f} events/s")


if __name__ == "__main__":
    main()
