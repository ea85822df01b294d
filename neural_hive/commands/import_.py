"""`import wfformat`: a recorded workflow becomes a plan."""

from pathlib import Path
from typing import Annotated

import typer

from neural_hive.aggregates.decision import DecisionConsolidated
from neural_hive.commands.publish import DEFAULT_TIMEOUT_S, Config, Data, Json, Timeout, Wait, refuse, send


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    group = typer.Typer(help="Turn what other tools recorded into plans.", no_args_is_help=True)
    group.callback()(lambda: None)
    group.command()(wfformat)
    app.add_typer(group, name="import")


def wfformat(
    file: Annotated[Path, typer.Argument(help="An execution in WfFormat 1.5 (WfCommons)")],
    time_scale: Annotated[
        float, typer.Option(help="Seconds per recorded second", min=0.0, max=1_000.0)
    ] = 1.0,
    out: Annotated[Path | None, typer.Option(help="Write the plan here", dir_okay=False)] = None,
    publish: Annotated[bool, typer.Option("--publish", help="Publish the plan")] = False,
    wait: Wait = False,
    json: Json = False,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    data: Data = None,
    config: Config = None,
) -> None:
    """Make a plan whose tasks take their recorded time, in the recorded order.

    Exit code: 0 completed (or written, published), 1 failed or rejected, 2 bad file or place, 3 no answer in time.
    """
    from neural_hive.publishing import ExitCode
    from neural_hive.wfformat import BadRecording, read_recording

    if wait and not publish:
        raise typer.BadParameter("needs --publish", param_hint="--wait")
    if not publish and not out:
        raise typer.BadParameter("say where the plan shall go: --out PLAN or --publish")
    try:
        decision = read_recording(file, time_scale)
    except BadRecording as error:
        refuse(str(error).splitlines(), ExitCode.BAD_PLAN, json)
    if out:
        try:
            _write(decision, out)
        except OSError as error:
            refuse([f"{out}: cannot be written: {error.strerror}"], ExitCode.BAD_PLAN, json)
    if publish:
        send(decision, wait, json, timeout, data, config)


def _write(decision: DecisionConsolidated, out: Path) -> None:
    import orjson
    import yaml

    from neural_hive.plans import plan_document

    document = plan_document(decision)
    del document["decision_id"]  # each publication is a decision of its own
    if out.suffix.lower() == ".json":
        out.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    else:
        dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
        out.write_text(yaml.dump(document, Dumper=dumper, sort_keys=False, allow_unicode=True))
