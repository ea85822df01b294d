"""The journals of this process: all who use an application's log here share one, and do not fence each other."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple
from weakref import WeakValueDictionary

from neural_hive.eventsourcing.journal import Journal
from neural_hive.eventsourcing.writing import Role


class Key(NamedTuple):
    """What makes two journals the same."""

    bootstrap: str
    topic: str
    data: Path


_lock: Final = threading.Lock()
_open: Final = WeakValueDictionary[Key, Journal]()  # who forgets to close a journal drops it


def join(key: Key, opened: Callable[[], Journal]) -> Journal:
    """The journal of a key, opened if nobody here has it, or if it may not write any more. `leave` it."""
    with _lock:
        journal = _open.get(key)
        if journal is None or journal.users == 0 or journal.role is Role.REPLACED:
            journal = _open[key] = opened()
        journal.users += 1
        return journal


def leave(journal: Journal) -> None:
    """Closes the journal if nobody else uses it."""
    with _lock:
        journal.users -= 1
        if journal.users == 0:
            journal.close()
