"""`slo test`: what SLOs would have counted; nothing is changed."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neural_hive.commands.common import Common
from neural_hive.commands.shown import print_json, tables_of
from neural_hive.sdk.asking import CannotDo
from neural_hive.settings import load_settings
from neural_hive.slo_times import Over

if TYPE_CHECKING:
    from neural_hive.aggregates.slo import Definition
    from neural_hive.slo_files import Report


def test(
    common: Common,
    what: Annotated[str, typer.Argument(help="A file of SLOs, or the id of an SLO", metavar="FILE_OR_SLO")],
    over: Annotated[
        Over,
        typer.Option("--over", help="Which time: the last hour, the last day, or the window of its budget"),
    ] = Over.HOUR,
) -> None:
    """Show what SLOs would have counted, of how many events, and some that were bad; nothing is changed.

    Over Prometheus it is always the last hour.
    """
    report = _read(what)
    found = _tried(common, report.definitions if report else _known(common, what), over)
    wrong = [] if report is None or report.is_whole else [report]
    if common.as_json:
        print_json({"tested": found, "wrong": wrong})
    else:
        typer.echo("\n".join(each.text() for each in (*found, *wrong)))
    if wrong or not all(each.is_well for each in found):
        raise typer.Exit(1)


def _read(what: str) -> "Report | None":
    """A file; None: it is none. Raises CannotDo: it holds no SLO, and nothing that may be one."""
    if not Path(what).is_file():
        return None
    from neural_hive.slo_applying import understood

    report = understood(Path(what))
    if not report.definitions and report.is_whole:
        raise CannotDo(f"{what} has no SLO that could be tested")
    return report


def _known(common: Common, slo_id: str) -> "Sequence[Definition]":
    """An SLO that is defined. Raises CannotDo: there is none."""
    from neural_hive.slo_trying import definition_of

    with tables_of(*common.place) as (tables, _):
        found = definition_of(tables, slo_id)
    if found is None:
        raise CannotDo(f"{slo_id!r} is no file with SLOs, and no SLO: `neural-hive slo list` shows all")
    return (found,)


def _tried(common: Common, definitions: "Sequence[Definition]", over: Over) -> list[Any]:
    """What each would have counted."""
    from neural_hive.aggregates.sli_source import Source

    asked = [d for d in definitions if d.indicator.source is Source.PROMQL]
    told = [d for d in definitions if d.indicator.source is not Source.PROMQL]
    return [*_of_tables(common, told, over), *_of_prometheus(common, asked)]


def _of_tables(common: Common, definitions: "Sequence[Definition]", over: Over) -> list[Any]:
    from neural_hive.slo_trying import tried

    if not definitions:
        return []
    with tables_of(*common.place) as (tables, _):
        now = time.time_ns() // 1_000
        return [tried(tables, definition, over, now) for definition in definitions]


def _of_prometheus(common: Common, definitions: "Sequence[Definition]") -> list[Any]:
    if not definitions:
        return []
    from neural_hive.asked_prometheus import dry_run, prometheus_of
    from neural_hive.streams.sli_prometheus.promql_counts import Queries

    prometheus = prometheus_of(load_settings(common.config, running=False, data=common.data))
    try:
        return [
            dry_run(
                prometheus, d.slo_id, d.target, Queries(d.indicator.good_promql, d.indicator.valid_promql)
            )
            for d in definitions
        ]
    finally:
        prometheus.close()
