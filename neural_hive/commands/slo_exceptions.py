"""`slo except` and what follows: asking for exceptions from freezes, answering, taking them back."""

import re
import secrets
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from neural_hive.commands.common import Asking, Common
from neural_hive.commands.shown import Reason, moment, plain, print_json, print_page, status, tables_of
from neural_hive.commands.slo_shown import ROWS_MAX, Every, ask_sla
from neural_hive.sdk.asking import CannotDo

if TYPE_CHECKING:
    from neural_hive.aggregates.freeze_exception import Scope
    from neural_hive.sdk.tables import Tables

_ID_BYTES: Final = 4
_LASTING: Final = re.compile(r"(\d{1,6})([mhd])", re.ASCII)
_UNITS_MS: Final = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}
ExceptionId = Annotated[
    str, typer.Argument(help="Id of the exception: see `slo exceptions`", metavar="EXCEPTION")
]


def exceptions(
    common: Common,
    every: Every = False,
    reveal: Annotated[
        bool, typer.Option("--reveal", help="Names of persons in the clear, if their keys are here")
    ] = False,
) -> None:
    """Show what may be deployed although it is frozen, and what waits for an answer."""
    from neural_hive.connectors.personal import Personal, Shown
    from neural_hive.listing.pages import Rows, plain_row

    columns = {
        "exception_id": plain,
        "status": status,
        "scope": plain,
        "subject": plain,
        "requested_by": plain,
        "approved_by": plain,
        "expires_at": moment,
        "answer_by": moment,
        "reason": plain,
    }
    more = ("duration_ms", "rejected_by", "revoked_by", "answer", "requested_at", "approved_at", "ended_at")
    names = (*columns, *more)
    sql = (
        f"SELECT {', '.join(names)} FROM freeze_exceptions WHERE {{every:Bool}} OR status IN ('REQUESTED', "
        f"'APPROVED') ORDER BY requested_at DESC LIMIT {ROWS_MAX}"
    )
    with tables_of(*common.place) as (tables, settings):
        rows = tables.rows(sql, {"every": int(every)})
    found = [plain_row(names, row) for row in rows]
    if reveal or not common.as_json:
        found = Personal.of(settings).shown_in(found, Shown.CLEAR if reveal else Shown.SHORT)
    if common.as_json:
        print_json({"exceptions": found})
    else:
        print_page(Rows(found), columns, "no exceptions", tuple(columns)[:4])


def except_(
    asking: Asking,
    reason: Reason,
    lasting: Annotated[
        str, typer.Option("--for", help="How long it shall hold once it is approved: 30m, 4h, 2d")
    ] = "1h",
    ticket: Annotated[str, typer.Option("--ticket", help="Except this ticket")] = "",
    workflow: Annotated[str, typer.Option("--workflow", help="Or all of this workflow")] = "",
    service: Annotated[str, typer.Option("--service", help="Or all of this service")] = "",
    namespace: Annotated[str, typer.Option("--namespace", help="Or all of this namespace")] = "",
    name: Annotated[str, typer.Option("--id", help="Its id [default: a new one]")] = "",
) -> None:
    """Ask whether something may be deployed although it is frozen; another person must approve it."""
    from neural_hive.aggregates.freeze_exception import Scope
    from neural_hive.streams.sla.messages import RequestFreezeException

    wanted = {
        Scope.TICKET: ticket,
        Scope.WORKFLOW: workflow,
        Scope.SERVICE: service,
        Scope.NAMESPACE: namespace,
    }
    named = [(scope, subject) for scope, subject in wanted.items() if subject]
    if len(named) != 1:
        raise typer.BadParameter(
            "give one of --ticket, --workflow, --service, --namespace", param_hint="--ticket"
        )
    scope, subject = named[0]
    duration_ms = _duration_ms(lasting)
    with tables_of(*asking.place) as (tables, _):
        _check_known(tables, scope, subject)
    exception_id = name or secrets.token_hex(_ID_BYTES)
    message = RequestFreezeException(exception_id, scope, subject, duration_ms, reason, asking.by)
    told = f"{exception_id}: asked for; another person approves it with `neural-hive slo approve`"
    _ask(asking, exception_id, message, told)


def approve(asking: Asking, exception: ExceptionId, reason: Reason) -> None:
    """Allow an exception that another person has asked for."""
    from neural_hive.streams.sla.messages import ApproveFreezeException

    message = ApproveFreezeException(exception, reason, asking.by)
    _ask(asking, exception, message, f"{exception} is approved")


def reject(asking: Asking, exception: ExceptionId, reason: Reason) -> None:
    """Do not allow an exception that another person has asked for."""
    from neural_hive.streams.sla.messages import RejectFreezeException

    message = RejectFreezeException(exception, reason, asking.by)
    _ask(asking, exception, message, f"{exception} is rejected")


def revoke(asking: Asking, exception: ExceptionId, reason: Reason) -> None:
    """Take an exception back, approved or not: what is frozen is held again."""
    from neural_hive.streams.sla.messages import RevokeFreezeException

    message = RevokeFreezeException(exception, reason, asking.by)
    _ask(asking, exception, message, f"{exception} holds no longer")


def _ask(asking: Asking, exception_id: str, message: msgspec.Struct, told: str) -> None:
    if not asking.by.strip():
        raise typer.BadParameter("say who says so: another person must answer", param_hint="--by")
    ask_sla(asking, exception_id, message, told)


def _duration_ms(text: str) -> int:
    found = _LASTING.fullmatch(text)
    if found is None:
        raise typer.BadParameter(f"{text!r} is no duration: such as 30m, 4h or 2d", param_hint="--for")
    return int(found[1]) * _UNITS_MS[found[2]]


def _check_known(tables: "Tables", scope: "Scope", subject: str) -> None:
    """Raises CannotDo: there is no such ticket or workflow. Nobody knows all services and namespaces."""
    column: Any = {"TICKET": "ticket_id", "WORKFLOW": "workflow_id"}.get(scope)
    if column is None:
        return
    table = "tickets" if scope == "TICKET" else "workflows"
    [(count,)] = tables.rows(
        f"SELECT count() FROM {table}_versions WHERE {column} = {{id:String}}", {"id": subject}
    )
    if not count:
        raise CannotDo(
            f"there is no {scope.lower()} {subject[:100]!r}: `neural-hive {table} list` shows them"
        )


COMMANDS: Final[tuple[tuple[str, Any], ...]] = (
    ("exceptions", exceptions),
    ("except", except_),
    ("approve", approve),
    ("reject", reject),
    ("revoke", revoke),
)
