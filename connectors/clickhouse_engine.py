"""The embedded engine of one data folder.

Every request gets a connection of its own (0.1 ms), so that settings, USE and temporary tables of one request never
reach another; a request with a session id gets the session's connection.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from neural_hive.connectors.clickhouse_connection import Connection, Result, quote
from neural_hive.connectors.clickhouse_lanes import Sessions

_MADE_AGE_S = 1.0
_SERVER_LIKE = "implicit_select=0&allow_introspection_functions=0"


class DetachedPart(msgspec.Struct, frozen=True):
    """A part that the engine set aside as broken: its rows are missing from the table."""

    database: str
    table: str
    name: str
    reason: str


class Engine:
    """The engine over `folder`. A process can have one; closing waits for nothing: end the lanes first."""

    def __init__(self, folder: Path, config: Path, database: str) -> None:
        # Half a second: `--help` must not pay it.
        chdb: Any = import_module("chdb")

        address = f"{folder}?config-file={config}&{_SERVER_LIKE}"
        self._open: Callable[[], Connection] = lambda: Connection(chdb.connect(address))
        self._main = self._open()
        self.database = database
        self._main.run(f"CREATE DATABASE IF NOT EXISTS `{database}` ENGINE = Atomic", "TSV", {})
        self.version = self._column("SELECT version()")[0]
        self.timezone = self._column("SELECT timezone()")[0]
        self.input_formats = frozenset(self._column("SELECT name FROM system.formats WHERE is_input"))
        self.table_functions = frozenset(self._column("SELECT name FROM system.table_functions"))
        self.data_types = frozenset(
            name.lower() for name in self._column("SELECT name FROM system.data_type_families")
        )
        self.sessions = Sessions(self.connect)
        self._made_at = float("-inf")
        self._made_found: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset())
        self._control = ThreadPoolExecutor(1, thread_name_prefix="clickhouse-control")

    def connect(self) -> Connection:
        return self._open()

    def views(self) -> frozenset[str]:
        """The database's views, as they were within the last second."""
        return self._made()[0]

    def added_functions(self) -> frozenset[str]:
        """Functions that somebody has added, in small letters, as they were within the last second."""
        return self._made()[1]

    def _made(self) -> tuple[frozenset[str], frozenset[str]]:
        if time.monotonic() - self._made_at > _MADE_AGE_S:
            views = (
                f"SELECT name FROM system.tables WHERE database = {quote(self.database)} AND engine = 'View'"
            )
            functions = "SELECT lower(name) FROM system.functions WHERE origin != 'System'"
            connection = self.connect()
            try:
                self._made_found = (
                    frozenset(connection.lines(views, {})),
                    frozenset(connection.lines(functions, {})),
                )
            finally:
                connection.close()
            self._made_at = time.monotonic()
        return self._made_found

    def detached_parts(self) -> list[DetachedPart]:
        """Parts set aside with a reason, that is, not by a user's DETACH."""
        sql = (
            "SELECT database, table, name, reason FROM system.detached_parts "
            "WHERE reason NOT IN ('', 'ignored', 'clone') ORDER BY ALL LIMIT 1000"
        )
        lines = self._fresh(sql, "JSONEachRow").body.splitlines()
        return [msgspec.json.decode(line, type=DetachedPart) for line in lines]

    async def cancel(self, query_id: str) -> None:
        """Stops the statements that run with this id; a statement that has ended is no error."""
        sql = f"KILL QUERY WHERE Settings['log_comment'] = {quote(query_id)} ASYNC"
        await asyncio.get_running_loop().run_in_executor(self._control, self._fresh, sql, "TSV")

    def cancel_all(self) -> None:
        self._fresh("KILL QUERY WHERE query_id != queryID() ASYNC", "TSV")

    def _fresh(self, sql: str, output_format: str) -> Result:
        connection = self.connect()
        try:
            return connection.run(sql, output_format, {})
        finally:
            connection.close()

    def _column(self, sql: str) -> list[str]:
        return [
            msgspec.json.decode(line, type=list[str])[0]
            for line in self._main.run(sql, "JSONCompactEachRow", {}).body.splitlines()
        ]

    def close(self) -> None:
        self._control.shutdown(wait=True)
        self.sessions.close()
        self._main.close()
