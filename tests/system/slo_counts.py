"""What counts for an SLO in all its minutes, and when it is what must count."""

import time
from typing import Protocol

from tests.system.hive import Hive, eventually


class Wanted(Protocol):
    """Of what was written: what an SLO must count."""

    good: int
    valid: int


def sums(hive: Hive, slo_id: str) -> tuple[int, int]:
    """Good and valid events in all minutes of an SLO."""
    sql = f"SELECT sum(good) AS good, sum(valid) AS valid FROM sli_minutes WHERE slo_id = '{slo_id}'"
    [row] = hive.rows(sql) or [{"good": 0, "valid": 0}]
    return int(row["good"]), int(row["valid"])


def is_counted(hive: Hive, slo_id: str, written: Wanted) -> None:
    """Waits until all counts, and then a while longer: more would be wrong too."""
    wanted = written.good, written.valid
    try:
        eventually(lambda: sums(hive, slo_id) == wanted, timeout_s=180)
    except AssertionError:
        rows = hive.rows(f"SELECT * FROM slo_history WHERE slo_id = '{slo_id}'")
        raise AssertionError(f"{slo_id}: {sums(hive, slo_id)}, expected {wanted}; {rows}") from None
    time.sleep(3)
    assert sums(hive, slo_id) == wanted
