"""The accounts of the embedded engine: what each of the system's users, and each role of SQL users, may use."""

import os
from pathlib import Path
from typing import Final

from neural_hive.connectors.clickhouse_lanes import Lane, Lanes
from neural_hive.connectors.clickhouse_logins import Logins
from neural_hive.connectors.clickhouse_request import Account
from neural_hive.connectors.sql_users import SqlUser

_INGEST: Final = {"async_insert": "0", "max_execution_time": "600"}
# What no reader may exceed, whoever he is.
_READERS: Final = {
    "allow_ddl": "0",
    "max_ast_elements": "50000",
    "max_block_size": "65409",
    "max_hyperscan_regexp_length": "10000",
    "max_hyperscan_regexp_total_length": "100000",
    "max_recursive_cte_evaluation_depth": "1000",
    "max_result_rows": "10000000",
    "max_subquery_depth": "50",
    "max_temporary_data_on_disk_size_for_query": str(4 << 30),
    "max_threads": str(min(os.cpu_count() or 1, 4)),
    "use_query_cache": "0",
}


def _limits(execution_s: int, memory_mb: int, result_mb: int) -> dict[str, str]:
    return _READERS | {
        "max_execution_time": str(execution_s),
        "max_memory_usage": str(memory_mb << 20),
        "max_result_bytes": str(result_mb << 20),
    }


_API: Final = _limits(30, 2048, 256)
_DEFAULT: Final = _limits(60, 2048, 512)
ROLES: Final = {"reader": _limits(30, 2048, 512), "analyst": _limits(300, 4096, 1024)}
_AT_ONCE: Final = {"reader": 2, "analyst": 3}
_WAITING: Final = 16


class Accounts:
    """The lanes and the logins of one engine. `users` is the file of SQL users, which need not be there."""

    def __init__(self, ingest_password: str, api_password: str, users: Path) -> None:
        self._lanes = {
            name: Lane(name, slots, queue)
            for name, slots, queue in (
                ("ingest", 4, 32),
                ("api", 4, 64),
                ("users", 2, 16),
                ("sql-users", 4, 64),
            )
        }
        api = self._lanes["api"]
        own = {
            "ingest": Account(self._lanes["ingest"], ingest_password, False, _INGEST),
            "api": Account(api, api_password, True, _API, Lanes(api, 2, _WAITING)),
        }
        unlocked = Account(self._lanes["users"], None, True, _DEFAULT)
        self.logins = Logins(own, unlocked, users, self._account)

    def running(self) -> dict[str, int]:
        """How many statements run and wait, of the SQL users together: their names are nobody's business."""
        found = {name: lane.inside for name, lane in self._lanes.items()}
        return found | {"sql-users": sum(lane.inside for lane in self.logins.lanes_of_users())}

    def close(self) -> None:
        """Ends the threads when what runs has ended."""
        self.logins.close()
        for lane in self._lanes.values():
            lane.close()

    def _account(self, name: str, user: SqlUser) -> Account:
        limits = dict(ROLES[user.role])
        for setting, value, unit in (
            ("max_execution_time", user.max_execution_s, 1),
            ("max_memory_usage", user.max_memory_mb, 1 << 20),
            ("max_result_bytes", user.max_result_mb, 1 << 20),
            ("max_result_rows", user.max_result_rows, 1),
        ):
            if value is not None:
                limits[setting] = str(value * unit)
        at_once = user.queries_at_once or _AT_ONCE[user.role]
        return Account(Lane(name, at_once, _WAITING, self._lanes["sql-users"]), None, True, limits)
