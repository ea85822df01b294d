"""The part of the SLA calculator that keeps exceptions from freezes: requested, answered, taken back, over.

Each stands in a partition of its own id: what it is for may be anything.
"""

from typing import Final

from neural_hive.aggregates.aggregate import Rejected
from neural_hive.aggregates.freeze_exception import (
    EXPIRE_TIMER,
    FREEZE_EXCEPTION,
    OPEN_MAX,
    Approve,
    Expire,
    Reject,
    Request,
    Revoke,
)
from neural_hive.streams.exceptions_view import Frozen
from neural_hive.streams.kernel.system import System, Unit
from neural_hive.streams.sla.messages import (
    COMMANDS,
    ApproveFreezeException,
    RejectFreezeException,
    RequestFreezeException,
    RevokeFreezeException,
)

VIEW: Final = "exceptions"
_ROUTE: Final = "exception_id"


def register(sla: System) -> None:
    """Adds what the system does with exceptions."""

    @sla.on(COMMANDS, RequestFreezeException, route=_ROUTE)
    def request(unit: Unit, wanted: RequestFreezeException) -> None:
        _request(unit, wanted)

    @sla.on(COMMANDS, ApproveFreezeException, route=_ROUTE)
    def approve(unit: Unit, answer: ApproveFreezeException) -> None:
        command = Approve(answer.requested_by, answer.reason, unit.now)
        unit.execute(FREEZE_EXCEPTION, answer.exception_id, command)

    @sla.on(COMMANDS, RejectFreezeException, route=_ROUTE)
    def reject(unit: Unit, answer: RejectFreezeException) -> None:
        command = Reject(answer.requested_by, answer.reason, unit.now)
        unit.execute(FREEZE_EXCEPTION, answer.exception_id, command)

    @sla.on(COMMANDS, RevokeFreezeException, route=_ROUTE)
    def revoke(unit: Unit, wanted: RevokeFreezeException) -> None:
        command = Revoke(wanted.requested_by, wanted.reason, unit.now)
        unit.execute(FREEZE_EXCEPTION, wanted.exception_id, command)

    @sla.on_timer(FREEZE_EXCEPTION, EXPIRE_TIMER)
    def expire(unit: Unit, exception_id: str) -> None:
        unit.execute(FREEZE_EXCEPTION, exception_id, Expire(unit.now))


def _request(unit: Unit, wanted: RequestFreezeException) -> None:
    known: Frozen = unit.view(VIEW).value
    if wanted.exception_id not in known.exceptions and len(known.exceptions) >= OPEN_MAX:
        raise Rejected(f"there are {OPEN_MAX:,} exceptions, and there can be no more: revoke one of them")
    command = Request(
        wanted.exception_id,
        wanted.scope,
        wanted.subject,
        wanted.duration_ms,
        wanted.requested_by,
        wanted.reason,
        unit.now,
    )
    unit.execute(FREEZE_EXCEPTION, wanted.exception_id, command)
