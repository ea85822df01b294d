"""Files of SLOs: Prometheus' alert rules, OpenSLO, and our own form, as `neural-hive slo apply` takes them."""

from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from neural_hive.aggregates.slo import Definition
from neural_hive.api.answers import answered, told
from neural_hive.api.message_keys import MessageKeyOf
from neural_hive.api.pending import WaitS
from neural_hive.api.problems import unprocessable
from neural_hive.api.services import IdentityOf, Services, ServicesOf
from neural_hive.api.writing import REASON_CHARS_MAX, Sending, publish_each
from neural_hive.slo_applying import Wanted, wanted
from neural_hive.slo_files import Finding, Report, read
from neural_hive.streams.sla.messages import COMMANDS

router = APIRouter(tags=["slos"])
MANY_MAX: Final = 200  # SLOs and policies of one request
_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {"application/yaml": {"schema": {"type": "string", "description": "The file's text"}}},
    }
}


class Imported(msgspec.Struct, frozen=True):
    """What became of one. PUBLISHED: that is not known yet; UNDERSTOOD: only that was asked."""

    kind: str  # slo, policy
    id: str
    status: str  # ACCEPTED, NOTHING_NEW, REFUSED, DEAD_LETTER, PUBLISHED, UNDERSTOOD
    reason: str = ""


class ImportReport(msgspec.Struct, frozen=True):
    """What was understood of a file and what was not, each with its place; and what became of what was."""

    is_whole: bool  # something was made of all that could mean something here
    definitions: tuple[Definition, ...]
    findings: tuple[Finding, ...]
    items: tuple[Imported, ...]


@router.post("/api/v1/slos/import/alerts", responses=told(ImportReport), openapi_extra=_BODY)
async def import_slos(
    request: Request,
    services: ServicesOf,
    who: IdentityOf,
    key: MessageKeyOf,
    wait_s: WaitS,
    reason: Annotated[str, Query(max_length=REASON_CHARS_MAX, description="Why; it stays in the log")] = "",
    dry_run: Annotated[bool, Query(description="Only say what was understood")] = False,
) -> Response:
    """Lets SLOs and freeze policies be as a YAML file says; what was not understood changes nothing, and is told."""
    report = await services.testing.run(_read, await request.body())
    if len(report.definitions) + len(report.policies) > MANY_MAX:
        raise unprocessable(f"more than {MANY_MAX} SLOs and policies: divide the file")
    asked = await services.publishing.run(_wanted, services, report, reason, who.name)
    if dry_run:
        done = [Imported(each.kind, each.name, "UNDERSTOOD") for each in asked]
    else:
        messages = [Sending(w.message, key.derived(f"{w.kind} {w.name}"), w.name) for w in asked]
        became = await publish_each(services, COMMANDS, messages, key.is_keyed, wait_s, ("revision",))
        done = [
            Imported(w.kind, w.name, found.status, found.reason)
            for w, found in zip(asked, became, strict=True)
        ]
    return answered(request, ImportReport(report.is_whole, report.definitions, report.findings, tuple(done)))


def _read(body: bytes) -> Report:
    try:
        return read(body.decode(), "body")
    except UnicodeDecodeError:
        raise unprocessable("the body must be YAML in UTF-8") from None


def _wanted(services: Services, report: Report, reason: str, by: str) -> list[Wanted]:
    return list(wanted(services.tables, report, reason, by))
