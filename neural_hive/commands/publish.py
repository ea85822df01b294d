"""`publish plan`: a plan file becomes a decision in the log. Beside it: `publish command`, `publish windows`."""

from pathlib import Path
from typing import Annotated, Any, NoReturn

import orjson
import typer
from rich.console import Console
from rich.live import Live

from neural_hive.aggregates.decision import DecisionConsolidated
from neural_hive.settings import NothingRuns, Settings, load_settings

Data = Annotated[Path | None, typer.Option("--data", help="Data folder of a running system", file_okay=False)]
Config = Annotated[Path | None, typer.Option("--config", help="Settings file (TOML or YAML)", dir_okay=False)]
Wait = Annotated[bool, typer.Option("--wait", help="Follow the workflow to its end")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document")]
Timeout = Annotated[float, typer.Option("--timeout", help="Give up waiting after so many seconds", min=0.1)]
DEFAULT_TIMEOUT_S = 4 * 3_600.0


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    from neural_hive.commands import publish_command, publish_windows

    told = "Publish a plan, a command to a running workflow, or metric windows."
    group = typer.Typer(help=told, no_args_is_help=True)
    group.command()(plan)
    group.command()(publish_windows.windows)
    publish_command.register(group)
    app.add_typer(group, name="publish")


def plan(
    file: Annotated[Path, typer.Argument(help="Plan in YAML or JSON")],
    wait: Wait = False,
    json: Json = False,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    no_validate: Annotated[bool, typer.Option(help="Leave the rules to the orchestrator")] = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Publish a plan; with --wait, show its tasks as they run.

    Exit code: 0 completed (or published), 1 failed or rejected, 2 bad plan, 3 no answer in time.
    """
    from neural_hive.plans import BadPlan, read_plan
    from neural_hive.publishing import ExitCode

    try:
        decision = read_plan(file, check=not no_validate)
    except BadPlan as error:
        refuse(error.errors, ExitCode.BAD_PLAN, json)
    send(decision, wait, json, timeout, data, config)


def send(
    decision: DecisionConsolidated,
    wait: bool,
    json: bool,
    timeout_s: float,
    data: Path | None,
    config: Path | None,
) -> None:
    """Publishes a decision, says so, and ends with the exit code."""
    from neural_hive.connectors.personal import Personal
    from neural_hive.connectors.publisher import TooLarge
    from neural_hive.following import Unreachable
    from neural_hive.publishing import ExitCode
    from neural_hive.schemas.codec import BadRecord
    from neural_hive.sdk.sender import Sender
    from neural_hive.streams.kernel.reading import RegistryAway
    from neural_hive.tracing import traced

    settings = reachable(data, config, json)
    try:
        with traced(settings, "publish"):
            if wait:
                raise typer.Exit(_follow(settings, decision, timeout_s, json))
            Sender(settings.kafka_config(), personal=Personal.of(settings)).plan(decision)
    except (TooLarge, BadRecord) as error:
        refuse([str(error)], ExitCode.BAD_PLAN, json)
    except (Unreachable, RegistryAway) as error:
        refuse([str(error)], ExitCode.NO_ANSWER, json)
    if json:
        typer.echo(orjson.dumps({"workflow_id": decision.decision_id, "status": "PUBLISHED"}))
    else:
        typer.echo(decision.decision_id)


def reachable(data: Path | None, config: Path | None, json: bool) -> Settings:
    """The settings of the system that is meant; ends with an exit code if nothing runs there."""
    from neural_hive.publishing import ExitCode

    try:
        return load_settings(config, data=data)
    except NothingRuns as error:
        refuse([str(error)], ExitCode.NO_ANSWER, json)


def _follow(settings: Settings, decision: DecisionConsolidated, timeout_s: float, json: bool) -> int:
    from neural_hive.connectors.personal import Personal
    from neural_hive.publishing import exit_code, publish_and_follow

    def fetch(number: int) -> dict[str, Any]:
        from neural_hive.connectors.foreign_schemas import ForeignSchemas

        return ForeignSchemas(settings.schema_registry_url).schema(number)

    kafka, personal = settings.kafka_config(), Personal.of(settings)
    if json:
        view = publish_and_follow(kafka, decision, timeout_s, lambda _: None, fetch, personal)
        typer.echo(orjson.dumps(view.document(), option=orjson.OPT_INDENT_2))
        return exit_code(view)
    console = Console()
    with Live(console=console, auto_refresh=False, transient=True) as live:
        view = publish_and_follow(
            kafka, decision, timeout_s, lambda now: live.update(now, refresh=True), fetch, personal
        )
    console.print(view)
    if not view.is_over:
        Console(stderr=True).print(
            f"no end within {timeout_s:g} s: workflow {view.workflow_id} goes on without being watched"
            if view.status != "PUBLISHED"
            else f"no word of workflow {view.workflow_id} within {timeout_s:g} s: "
            "does the orchestrator run (`neural-hive status`), or was this decision published before?"
        )
    return exit_code(view)


def refuse(errors: list[str], code: int, json: bool) -> NoReturn:
    """Says what is wrong, and ends with the exit code."""
    if json:
        typer.echo(orjson.dumps({"status": "REFUSED", "errors": errors}))
    else:
        for error in errors:
            typer.echo(error, err=True)
    raise typer.Exit(code)
