"""How the work stands, as the tables tell it: by status, what may miss its deadline, dead letters.

One look for the terminal and the page, so that both tell the same.
"""

from datetime import datetime
from typing import Final

import msgspec

from neural_hive.sdk.tables import Reader
from neural_hive.sdk.views import rows_as, select
from neural_hive.streams.flow_c.active import ACTIVE, APPROACHING

AT_RISK_MAX: Final = 10
_ACTIVE: Final = ", ".join(f"'{status}'" for status in ACTIVE)
# As the metric deadlines_approaching counts it.
_IS_AT_RISK: Final = (
    f"status IN ({_ACTIVE}) AND dateDiff('microsecond', now64(6, 'UTC'), deadline_at) "
    f"<= {APPROACHING} * dateDiff('microsecond', started_at, deadline_at)"
)
_WORKFLOWS: Final = f"SELECT status, count(), countIf({_IS_AT_RISK}) FROM workflows GROUP BY status"
_LEFT: Final = "dateDiff('second', now64(6, 'UTC'), deadline_at) AS left_s"
_LETTERS: Final = "SELECT count(), countIf(valid_from > now64(3, 'UTC') - INTERVAL 1 HOUR) FROM dead_letters"
_REDRIVEN: Final = "SELECT uniqExact(dead_letter) FROM redrives WHERE outcome = 'REDRIVEN'"


class AtRisk(msgspec.Struct, frozen=True):
    """A workflow that goes on with a tenth of its time left, or less, or none."""

    workflow_id: str
    plan_id: str
    status: str
    deadline_at: datetime
    left_s: int  # below 0: it is over
    completed_count: int = 0
    task_count: int = 0


class Work(msgspec.Struct, frozen=True):
    """All of it, at one time."""

    workflows: dict[str, int] = {}  # by status
    tickets: dict[str, int] = {}
    agents: dict[str, int] = {}
    at_risk_count: int = 0
    at_risk: tuple[AtRisk, ...] = ()  # the AT_RISK_MAX whose deadlines are first
    dead_letters: int = 0
    dead_letters_last_hour: int = 0
    dead_letters_redriven: int = 0


def work(reader: Reader) -> Work:
    """How it stands now. Raises ClickHouseError."""
    workflows = reader.rows(_WORKFLOWS)
    at_risk_count = sum(int(count) for _, _, count in workflows)
    [(letters, last_hour)] = reader.rows(_LETTERS)
    [(redriven,)] = reader.rows(_REDRIVEN)
    return Work(
        {str(status): int(count) for status, count, _ in workflows},
        _by_status(reader, "tickets"),
        _by_status(reader, "agents"),
        at_risk_count,
        _at_risk(reader) if at_risk_count else (),
        int(letters),
        int(last_hour),
        int(redriven),
    )


def _by_status(reader: Reader, table: str) -> dict[str, int]:
    rows = reader.rows(f"SELECT status, count() FROM {table} GROUP BY status")
    return {str(status): int(count) for status, count in rows}


def _at_risk(reader: Reader) -> tuple[AtRisk, ...]:
    rest = f"WHERE {_IS_AT_RISK} ORDER BY deadline_at LIMIT {AT_RISK_MAX}"
    return rows_as(AtRisk, reader.rows(select(AtRisk, f"(SELECT *, {_LEFT} FROM workflows)", rest)))
