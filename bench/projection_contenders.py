"""Who brings the log into ClickHouse, and what each has in its tables at a time."""

import os
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from bench.kernel_contenders import PEERS
from bench.projection_worker import ALL, ARCHIVE
from bench.topics import Stopped
from neural_hive.connectors.child import Child, tail
from neural_hive.projections.avro_types import quoted
from neural_hive.projections.http_store import HttpStore
from neural_hive.settings import Settings
from tests.toy.harness import ROOT

_LOOK_EVERY_S: Final = 0.05
_STILL_MAX_S: Final = 180.0


class Contender(msgspec.Struct, frozen=True):
    """Whose code, and into how many tables."""

    name: str
    is_hive: bool
    all_tables: bool = True


HIVE: Final = Contender("Neural Hive, all tables", is_hive=True)
HIVE_ARCHIVE: Final = Contender("Neural Hive, events alone", is_hive=True, all_tables=False)
ROWS: Final = Contender("row inserts, all tables", is_hive=False)
ROWS_ARCHIVE: Final = Contender("row inserts, events alone", is_hive=False, all_tables=False)
CONTENDERS: Final = (HIVE_ARCHIVE, HIVE, ROWS_ARCHIVE, ROWS)


class Server:
    """The embedded ClickHouse, and the contenders that write into it, each into a database of its own."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._at = (settings.clickhouse_host, settings.clickhouse_port, settings.clickhouse_user)
        self._password = settings.password_of(settings.clickhouse_user)
        self.store = HttpStore(*self._at, self._password, "system")

    @contextmanager
    def follower(self, contender: Contender, topics: Sequence[str]) -> Iterator[tuple[str, Child]]:
        """A contender at work, and the name of its database; both are gone in the end."""
        database = f"bench_{uuid.uuid4().hex[:8]}"
        child = self._started(contender, database, topics)
        try:
            yield database, child
        finally:
            child.kill()
            self.store.command(f"DROP DATABASE IF EXISTS {database} SYNC")

    def _started(self, contender: Contender, database: str, topics: Sequence[str]) -> Child:
        tables = ALL if contender.all_tables else ARCHIVE
        if contender.is_hive:
            line = [sys.executable, "-m", "bench.projection_worker", database, tables, *topics]
        else:
            to = (self.settings.kafka_bootstrap, *map(str, self._at), database, database)
            line = [sys.executable, str(PEERS / "row_inserts.py"), *to, tables, *topics]
        known = {"PYTHONPATH": str(ROOT), "BENCH_PASSWORD": self._password}
        environment = os.environ | self.settings.environment() | known
        return Child(line, self._log, environment=environment)

    @property
    def _log(self) -> Path:
        return self.settings.data / "contenders.log"

    def rows(self, database: str) -> dict[str, int]:
        """The rows that a SELECT finds now, by table."""
        where = f"database = {quoted(database)} AND total_rows IS NOT NULL"
        found = self.store.rows(f"SELECT name, total_rows FROM system.tables WHERE {where}")
        return {str(name): int(rows) for name, rows in found}

    def until_there(self, child: Child, database: str, due: dict[str, int]) -> None:
        """Waits until a contender's tables have these rows. Raises Stopped."""
        self.until(child, lambda: self.rows(database), lambda rows: due.items() <= rows.items())

    def until(self, child: Child, look: Callable[[], object], is_enough: Callable[[object], bool]) -> None:
        """Looks until it is enough. Raises Stopped: the contender has ended, or nothing changes any more."""
        before: object = None
        moved_at = time.monotonic()
        while not is_enough(found := look()):
            if found != before:
                before, moved_at = found, time.monotonic()
            if not child.alive or time.monotonic() - moved_at > _STILL_MAX_S:
                raise Stopped(f"{found}, and nothing came for a while\n{tail(self._log)}")
            time.sleep(_LOOK_EVERY_S)
