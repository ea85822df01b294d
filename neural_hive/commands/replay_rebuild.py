"""`neural-hive replay rebuild`: read models made anew from the archive, beside the live ones."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from neural_hive.commands.replay_source import AsJson, Config, Data, print_json, tables_of
from neural_hive.quiet import logs_to_stderr
from neural_hive.settings import BadSettings, load_settings

if TYPE_CHECKING:
    from neural_hive.replay.rebuild import Outcome

EXIT_NOT_LIVE = 2


def rebuild(
    names: Annotated[list[str] | None, typer.Argument(help="Read models, such as tickets")] = None,
    all_: Annotated[bool, typer.Option("--all", help="All of them")] = False,
    wait_s: Annotated[
        float, typer.Option("--wait", help="How long to wait for the projector, s", min=0)
    ] = 60.0,
    give_up: Annotated[
        bool, typer.Option("--give-up", help="Give up what was begun; the live tables stay")
    ] = False,
    as_json: AsJson = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Make read models anew from the archive, beside the live ones, and put them in their place.

    Readers see the old table until the whole new one takes its place. If it is interrupted, call it again: it goes on
    where it was. Exit code 0: all are live. 2: some are not yet, for no projector runs, or it has refused them.
    """
    from neural_hive.projections.catalogue import PROJECTIONS
    from neural_hive.projections.rebuilds import Progress as Filled
    from neural_hive.replay.rebuild import NoSuchReadModel, abandon, named
    from neural_hive.replay.rebuild import rebuild as make_anew

    logs_to_stderr()
    if bool(names) == all_:
        raise BadSettings("name the read models to make anew, or all of them with --all")
    try:
        projections = named(names or [projection.name for projection in PROJECTIONS])
    except NoSuchReadModel as error:
        raise BadSettings(str(error)) from None
    store = tables_of(load_settings(config, data=data)).store
    if give_up:
        typer.echo(f"given up: {', '.join(abandon(store, projections)) or 'nothing was begun'}")
        return
    bars: dict[str, TaskID] = {}
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("slices, {task.fields[rows]:,} rows"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        disable=as_json,
    ) as progress:

        def told(projection: object, filled: Filled) -> None:
            name = str(getattr(projection, "name", ""))
            if name not in bars:
                bars[name] = progress.add_task(name, total=filled.slices, rows=0)
            progress.update(bars[name], completed=filled.slices_done, total=filled.slices, rows=filled.rows)

        outcomes = make_anew(store, projections, told, wait_s)
    if as_json:
        print_json(outcomes)
    else:
        table = Table(
            "read model", "now", "rows", "the live one was", title="Made anew", title_justify="left"
        )
        for outcome in outcomes:
            table.add_row(outcome.name, *_told(outcome))
        Console().print(table)
    if not all(outcome.is_live for outcome in outcomes):
        raise typer.Exit(EXIT_NOT_LIVE)


def _told(outcome: "Outcome") -> tuple[str, str, str]:
    from neural_hive.projections.rebuilds import Step

    waits = "filled; the projector puts it in its place when it runs"
    now = {Step.SWAPPED: "live", Step.GIVEN_UP: f"given up: {outcome.detail}"}.get(outcome.step, waits)
    before = outcome.before
    if before is None:
        return now, "", "compared before the interruption"
    if before.equal:
        return now, f"{before.rows_expected:,}", "the same"
    keys = ", ".join(" ".join(key) for key in before.differing_keys)
    return now, f"{before.rows_expected:,}", f"another: {before.rows_found:,} rows; differing: {keys}"
