"""What SQL says of SLOs is what the calculator has said: the same events, in tables."""

from collections.abc import Iterator

import pytest

from neural_hive.aggregates.budget import AdjustmentKind, Counted, minute_of
from neural_hive.aggregates.freeze_exception import Scope
from neural_hive.aggregates.sla_window import MINUTE
from neural_hive.projections.budget_adjustments import BUDGET_ADJUSTMENTS
from neural_hive.projections.budgets import BUDGETS
from neural_hive.projections.freeze_exceptions import FREEZE_EXCEPTIONS
from neural_hive.projections.freeze_policies import FREEZE_POLICIES
from neural_hive.projections.freezes import FREEZES
from neural_hive.projections.http_store import HttpStore
from neural_hive.projections.sli_counts import SLI_COUNTS
from neural_hive.projections.slos import SLOS
from neural_hive.projections.violations import VIOLATIONS
from neural_hive.streams.sla.messages import (
    AdjustBudget,
    ApproveFreezeException,
    CountSli,
    DefineFreezePolicy,
    DefineSlo,
    RejectFreezeException,
    RemoveSlo,
    RequestFreezeException,
    RevokeFreezeException,
)
from neural_hive.streams.sla.system import build
from tests.projections.conftest import database, store
from tests.projections.grammar import filled, given
from tests.sla.kernel_unit import SlaUnit
from tests.sla.test_freeze_exception import ANN, BOB
from tests.sla.test_sla import DEFINITION, POLICY

__all__ = ["database", "store"]
TABLES = (SLOS, FREEZE_POLICIES, BUDGETS, SLI_COUNTS, BUDGET_ADJUSTMENTS, FREEZES, VIOLATIONS)


@pytest.fixture
def unit() -> Iterator[SlaUnit]:
    made = SlaUnit(build())
    yield made
    made.close()


def test_what_was_said_is_in_the_tables(store: HttpStore, unit: SlaUnit) -> None:
    unit.handle(DefineSlo("shop", DEFINITION))
    unit.handle(DefineFreezePolicy("careful", POLICY))
    first = minute_of(unit.now)
    unit.handle(CountSli("shop", 1, (Counted(first, 8, 10),), "t:0:1"))
    unit.pass_time(90)
    second = minute_of(unit.now)
    unit.handle(CountSli("shop", 1, (Counted(second, 90, 100), Counted(first, 5, 5)), "t:0:2"))
    unit.pass_time(90)
    away = AdjustBudget(
        "shop", "m", AdjustmentKind.EXCLUDE, second, second + MINUTE, "the database was moved"
    )
    unit.handle(away)
    unit.pass_time(90)
    unit.handle(RemoveSlo("shop", reason="nobody needs it"))
    given(store, *(output.value for output in unit.log))
    filled(store, *TABLES)
    assert store.rows("SELECT status, name, target, good, valid, reason FROM slos") == [
        ("REMOVED", DEFINITION.name, 0.9, "status = 'COMPLETED'", "plan_id = 'shop'", "nobody needs it")
    ]
    assert store.rows("SELECT policy_id, scope, subject, actions FROM freeze_policies") == [
        ("careful", "SERVICE", "shop", ["BLOCK_DEPLOY"])
    ]
    [(good, valid, remaining, status)] = store.rows("SELECT good, valid, remaining, status FROM budgets")
    assert (good, valid, status) == (13, 15, "EXHAUSTED")
    assert remaining == pytest.approx(1 - 2 / 15 / 0.1)
    # Believed then: after each look, with what was known at that time.
    looks = store.rows("SELECT sums.valid[1] FROM budgets_versions ORDER BY version")
    assert [found for (found,) in looks] == [10, 115, 115, 15]
    # Known now: each event in its minute, however late it came.
    minutes = "SELECT toUnixTimestamp64Micro(minute), good, valid FROM sli_minutes ORDER BY minute"
    assert store.rows(minutes) == [(first, 13, 15), (second, 90, 100)]
    assert store.rows("SELECT kind, reason FROM budget_adjustments") == [
        ("EXCLUDE", "the database was moved")
    ]
    assert store.rows("SELECT status, policy_id, slo_id, subject FROM freezes") == [
        ("ACTIVE", "careful", "shop", "shop")
    ]
    kinds = store.rows("SELECT kind, status, severity FROM violations ORDER BY kind")
    assert ("EXHAUSTED", "OPEN", "CRITICAL") in kinds


def test_what_is_excepted_and_by_whom(store: HttpStore, unit: SlaUnit) -> None:
    for name in ("held", "no", "late", "back"):
        unit.handle(RequestFreezeException(name, Scope.SERVICE, "shop", 600_000, f"{name} is urgent", ANN))
    unit.handle(ApproveFreezeException("held", "go", BOB))
    unit.handle(RejectFreezeException("no", "wait", BOB))
    unit.handle(ApproveFreezeException("back", "go", BOB))
    unit.handle(RevokeFreezeException("back", "not needed", ANN))
    approved_at = unit.now
    unit.pass_time(60)
    given(store, *(output.value for output in unit.log))
    filled(store, FREEZE_EXCEPTIONS)
    persons = f"requested_by = '{ANN}', approved_by = '{BOB}'"
    told = (
        f"SELECT exception_id, status, reason, answer, {persons} FROM freeze_exceptions ORDER BY exception_id"
    )
    rows = store.rows(told)
    assert rows == [
        ("back", "REVOKED", "back is urgent", "not needed", 1, 1),
        ("held", "APPROVED", "held is urgent", "go", 1, 1),
        ("late", "REQUESTED", "late is urgent", None, 1, None),
        ("no", "REJECTED", "no is urgent", "wait", 1, None),
    ]
    ends = "SELECT toUnixTimestamp64Micro(expires_at) FROM freeze_exceptions WHERE exception_id = 'held'"
    assert store.rows(ends) == [(approved_at + 600_000_000,)]
    unit.pass_time(86_400)
    given(store, *(output.value for output in unit.log))
    filled(store, FREEZE_EXCEPTIONS)
    statuses = store.rows("SELECT status FROM freeze_exceptions ORDER BY exception_id")
    assert statuses == [("REVOKED",), ("EXPIRED",), ("EXPIRED",), ("REJECTED",)]
