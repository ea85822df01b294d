"""Whether all still holds: the seal of the log, and `replay verify` on request."""

from asyncio import to_thread
from typing import Any, Final

from nicegui import ui

from neural_hive.api.auth import Identity
from neural_hive.page.frame import lets_in
from neural_hive.page.parts import columns, heading, live, time_text
from neural_hive.page.site import Site
from neural_hive.page.verification_run import Verified
from neural_hive.replay.report import Outcome

REFRESH_S: Final = 1.0
_FINDINGS_SHOWN: Final = 100


async def show(site: Site, identity: Identity) -> None:
    """The view."""
    heading(
        "Verification", "Chains, versions, inputs, archive, read models, state and seal against each other."
    )
    if not lets_in(identity, "Verification", "GET", "/api/v1/replay/checkpoint"):
        return
    verification = site.verification
    with ui.row().classes("items-center gap-4"):
        start = ui.button("Verify now", icon="verified", on_click=lambda: begin())
        status = ui.label()
    result = ui.column().classes("w-full")
    shown: list[Verified | None] = []

    async def begin() -> None:
        if await to_thread(verification.run) is None:
            ui.notify("Another verification runs", type="info")

    async def refresh() -> None:
        running_s = verification.running_s
        start.set_enabled(running_s is None)
        status.text = "" if running_s is None else f"verifying for {running_s:.0f} s"
        if shown != [verification.last]:
            shown[:] = [verification.last]
            result.clear()
            with result:
                _show(verification.last)

    await refresh()
    live(REFRESH_S, refresh)


def _show(last: Verified | None) -> None:
    if last is None:
        ui.label("Nothing was verified from here since the API began.")
        return
    when = f"{time_text(last.began_at)} UTC, {last.took_s:.1f} s"
    report = last.report
    if report is None or report.problem:
        problem = last.problem if report is None else report.problem
        ui.label(f"Not verified to the end ({when}): {problem}").classes("text-negative").props(
            'role="alert"'
        )
    elif report.findings_count:
        ui.label(f"{report.findings_count:,} findings ({when})").classes("text-negative text-xl").props(
            'role="alert"'
        )
    else:
        ui.label(f"All that was looked at holds ({when})").classes("text-positive text-xl")
    if report is None:
        return
    ui.table(
        columns=columns("check", "examined", "findings", "skipped", right=("examined", "findings")),
        rows=[_outcome_row(outcome) for outcome in report.outcomes],
        row_key="check",
        title="Checks",
    )
    if report.seal is not None:
        seal = report.seal
        ui.label(
            f"{seal.checkpoints:,} checkpoints over {seal.records:,} records; {seal.unsealed_records:,} are not "
            f"sealed yet, the oldest of them for {seal.unsealed_s:.0f} s."
        )
    if report.findings:
        rows = [
            {
                "key": n,
                "check": f.check,
                "place": f.place,
                "of": f.aggregate,
                "expected": f.expected,
                "found": f.found,
            }
            for n, f in enumerate(report.findings[:_FINDINGS_SHOWN])
        ]
        ui.table(
            columns=columns("check", "place", "of", "expected", "found"),
            rows=rows,
            row_key="key",
            title="Findings",
        )


def _outcome_row(outcome: Outcome) -> dict[str, Any]:
    return {
        "check": outcome.check,
        "examined": f"{outcome.examined:,}",
        "findings": f"{outcome.findings:,}",
        "skipped": outcome.skipped,
    }
