"""Reports in files: what was signed is what is read, and nothing else is taken for it."""

from io import StringIO
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from neural_hive.replay.report import Check, Findings, LookedAt, Part, Report, SealSummary, render
from neural_hive.replay.seal.note import LOG, PrivateKey, signed_note
from neural_hive.replay.signed_report import FORMAT, ReportRefused, Verified, checked, markdown, signed

KEY, OTHER = PrivateKey.make("auditor", LOG), PrivateKey.make("auditor", LOG)


def _report(damaged: bool = True) -> Report:
    found = Findings()
    found.examined[Check.CHAIN] = 7
    found.skip(Check.STATE, "left out")
    found.counts["events"] = 7
    found.leave_out(Check.DECISION, "of another build", "execution.tickets:0:3", 2)
    if damaged:
        found.add(Check.CHAIN, "execution.tickets:0:5", "ticket a|b", "hash <1>", "hash\n2")
    found.seal = SealSummary(3, 7, 1_700_000_000_000_000, 1, 2.5, "agrees", {"w": 3})
    report = found.report([Part("kafka", "execution.tickets", 0, 0, 8, 7)], 1.25)
    looked_at = (
        LookedAt("events of orchestrator 0", "2026-01-02T03:00:00+00:00", "2026-01-02T03:00:09+00:00", True),
        LookedAt("inputs of orchestrator", "2026-01-02T03:04:01+00:00", "2026-01-02T03:04:02+00:00"),
    )
    return msgspec.structs.replace(report, looked_at=looked_at)


def _verified(damaged: bool = True) -> Verified:
    report = _report(damaged)
    return Verified("2026-01-02T03:04:05+00:00", "broker:9092", "kafka", report.exit_code, report)


@pytest.mark.parametrize("damaged", [False, True])
def test_what_is_signed_is_read_again(damaged: bool) -> None:
    verified = _verified(damaged)
    assert checked(signed(verified, KEY), KEY.public) == verified
    assert verified.exit_code == int(damaged)


def _changed(**fields: Any) -> bytes:
    file = msgspec.json.decode(signed(_verified(), KEY))
    return msgspec.json.encode({**file, **fields})


def _with_report(**fields: Any) -> dict[str, Any]:
    verified: dict[str, Any] = msgspec.to_builtins(_verified())
    return {"verified": {**verified, "report": {**verified["report"], **fields}}}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "not a signed report"),
        (b"[]", "not a signed report"),
        (b"\xff\xfe", "not a signed report"),
        (signed(_verified(), KEY)[:-10], "not a signed report"),
        (_changed(format="neural-hive verification v2"), "is of format"),
        (_changed(more=1), "not a signed report"),
        (_changed(signature="no note"), "not a signed report"),
        (_changed(signature=msgspec.json.decode(signed(_verified(False), KEY))["signature"]), "was changed"),
        (_changed(**_with_report(findings=[], findings_count=0)), "was changed"),
        (_changed(**_with_report(duration_s=1.26)), "was changed"),
        (signed(_verified(), KEY).replace(b"execution.tickets:0:5", b"execution.tickets:0:6"), "was changed"),
        (signed(_verified(), KEY).replace(b'"verified_at": ', b'"verified_at":  '), "was changed"),
        (signed(_verified(), OTHER), "is not signed by auditor"),
    ],
)
def test_what_is_not_as_it_was_signed_is_refused(content: bytes, why: str) -> None:
    with pytest.raises(ReportRefused, match=why):
        checked(content, KEY.public)


def test_a_signer_who_lies_about_the_exit_code_is_found() -> None:
    lie = msgspec.structs.replace(_verified(), exit_code=0)
    with pytest.raises(ReportRefused, match="exit code"):
        checked(signed(lie, KEY), KEY.public)


def test_a_signature_for_something_else_is_none() -> None:
    note = signed_note(f"{FORMAT}\nanything\n", KEY).content
    with pytest.raises(ReportRefused, match="was changed"):
        checked(_changed(signature=note), KEY.public)


def test_the_page_says_it_all_and_no_cell_breaks_a_table(tmp_path: Path) -> None:
    page = markdown(_verified(), KEY.public)
    assert page.startswith("# Verification\n\n**1 findings: ")
    assert "| hash chain per aggregate | 7 | 1 |" in page
    assert "| state equals fold of the log | 0 | skipped: left out |" in page
    assert "| execution.tickets:0:5 | ticket a\\|b | hash &lt;1> | hash 2 |" in page
    assert "| kafka | execution.tickets | 0 | 0 | 8 | 7 |" in page
    assert (
        "| events of orchestrator 0 | 2026-01-02T03:00:00+00:00 | 2026-01-02T03:00:09+00:00 | an earlier run |"
        in page
    )
    assert "| 2026-01-02T03:04:02+00:00 | this run |" in page
    assert "of another build" in page and KEY.public.text in page and "3 checkpoints" in page
    assert "## Accepted" not in page


def test_a_person_is_told_what_an_earlier_run_has_looked_at() -> None:
    console = Console(file=StringIO(), width=200)
    render(_report(), console)
    assert isinstance(console.file, StringIO)
    told = "Looked at by an earlier run: 1 of 2 steps, from 2026-01-02T03:00:00+00:00 to 2026-01-02T03:00:09+00:00"
    assert told in console.file.getvalue()
