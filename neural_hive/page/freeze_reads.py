"""Freezes, policies and what is held back, as the tables tell them, for the page."""

from datetime import UTC, datetime
from typing import Final

from neural_hive.sdk.tables import Reader
from neural_hive.sdk.views import rows_as, select
from neural_hive.slo_times import moment_text
from neural_hive.slo_views import FreezeInfo, PolicyInfo

ROWS_MAX: Final = 500


def freezes(
    reader: Reader, only_active: bool = True, budget_id: str = "", most: int = ROWS_MAX
) -> tuple[FreezeInfo, ...]:
    """Freezes, of one budget or of all, the newest first. Raises ClickHouseError."""
    rest = (
        "WHERE (status = 'ACTIVE' OR NOT {active:Bool}) AND {budget:String} IN ('', budget_id) "
        "ORDER BY activated_at DESC, freeze_id LIMIT {most:UInt32}"
    )
    asked = {"active": int(only_active), "budget": budget_id, "most": most}
    return rows_as(FreezeInfo, reader.rows(select(FreezeInfo, "freezes", rest), asked))


def frozen_times(
    reader: Reader, budget_id: str, since: datetime, most: int = 100
) -> tuple[tuple[datetime, datetime], ...]:
    """From when to when a budget has frozen something, as far as it is over, the newest first.

    Raises ClickHouseError.
    """
    sql = (
        "SELECT resolved_at - toIntervalMillisecond(duration_ms), resolved_at FROM freezes_versions "
        "WHERE event_type = 'FreezeResolved' AND budget_id = {budget:String} "
        "AND resolved_at >= {since:DateTime64(6, 'UTC')} ORDER BY resolved_at DESC LIMIT {most:UInt32}"
    )
    rows = reader.rows(sql, {"budget": budget_id, "since": moment_text(since), "most": most})
    return tuple((began.replace(tzinfo=UTC), ended.replace(tzinfo=UTC)) for began, ended in rows)


def policies(reader: Reader, most: int = ROWS_MAX) -> tuple[PolicyInfo, ...]:
    """The policies that are defined, by their ids. Raises ClickHouseError."""
    rest = "WHERE status != 'REMOVED' ORDER BY policy_id LIMIT {most:UInt32}"
    return rows_as(PolicyInfo, reader.rows(select(PolicyInfo, "freeze_policies", rest), {"most": most}))


def held_tickets(reader: Reader) -> dict[str, int]:
    """How many tickets each freeze holds back now. Raises ClickHouseError."""
    sql = (
        "SELECT freeze_id, count() FROM (SELECT held_by FROM tickets WHERE ticket_id IN "
        "(SELECT ticket_id FROM tickets_versions WHERE event_type = 'TicketHeld')) "
        "ARRAY JOIN held_by.freeze_id AS freeze_id GROUP BY freeze_id"
    )
    return {str(freeze_id): int(count) for freeze_id, count in reader.rows(sql)}
