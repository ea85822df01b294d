"""Fills the tables of a restored system: inputs that are older than Kafka keeps them must be in the archive before it
may delete them again.
"""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from neural_hive.connectors.kafka_offsets import Place
from neural_hive.projections.http_store import HttpStore
from neural_hive.projections.positions import read_standing
from neural_hive.projections.projector import Projector
from neural_hive.projections.store import Store, StoreRefused, StoreUnavailable
from neural_hive.schemas.topics import Kind

STALL_S: Final = 180.0
_LOOK_EVERY_S: Final = 0.5


class TablesNotFilled(RuntimeError):
    """The tables do not have all that was restored."""


class TablesInUse(RuntimeError):
    """The database holds the tables of another log."""


def check_empty(store: HttpStore) -> None:
    """Raises TablesInUse: something is archived there already. Creates the database if it is not there."""
    store.create_database()
    if has_archive(store):
        raise TablesInUse(
            "the ClickHouse database holds the archive of a log already, and what is restored is another one for "
            "Kafka. Name another database in the setting clickhouse_database, or drop this one"
        )


def has_archive(store: Store) -> bool:
    """Whether a projector was ever here."""
    return bool(store.rows("EXISTS TABLE positions")[0][0]) and bool(read_standing(store).positions)


def fill(
    store: Store,
    config: Mapping[str, Any],
    kinds: Mapping[str, Kind],
    ends: Mapping[Place, int],
    tell: Callable[[int], None],
    stall_s: float = STALL_S,
) -> None:
    """Follows the log until all tables have all of it; tells how many offsets were passed. Raises TablesNotFilled."""
    stopping, failed = threading.Event(), list[BaseException]()

    def follow() -> None:
        try:
            Projector(store, config, kinds, stopping).run()
        except BaseException as error:  # told by the thread that waits
            failed.append(error)

    thread = threading.Thread(target=follow, name="projector")
    thread.start()
    try:
        _wait(store, ends, tell, failed, stall_s)
    finally:
        stopping.set()
        thread.join()


def _wait(
    store: Store,
    ends: Mapping[Place, int],
    tell: Callable[[int], None],
    failed: list[BaseException],
    stall_s: float,
) -> None:
    passed, moved_at = -1, time.monotonic()
    while True:
        if failed:
            raise TablesNotFilled(
                f"the projector ended: {failed[0]}. Mend it, and restore again"
            ) from failed[0]
        reached = _reached(store, ends)
        if all(reached[place] >= end for place, end in ends.items()):
            return
        if sum(reached.values()) > passed:
            passed, moved_at = sum(reached.values()), time.monotonic()
            tell(passed)
        elif time.monotonic() - moved_at > stall_s:
            behind = next(place for place, end in ends.items() if reached[place] < end)
            raise TablesNotFilled(
                f"the tables stay at offset {reached[behind]} of {behind[0]}:{behind[1]}, which ends at "
                f"{ends[behind]}. Is ClickHouse well, and can this build read the records? "
                "Restore again: what is in Kafka is kept"
            )
        time.sleep(_LOOK_EVERY_S)


def _reached(store: Store, ends: Mapping[Place, int]) -> dict[Place, int]:
    try:
        standing = read_standing(store).positions
    except (StoreUnavailable, StoreRefused):
        standing = {}  # the tables are not there yet, or the server is away: it is asked again
    return {place: standing[place].next if place in standing else 0 for place in ends}
