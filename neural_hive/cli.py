"""The `neural-hive` command. Only the module of the command that is run is imported."""

import gc
import importlib
import os
import sys
import traceback
from pathlib import Path
from typing import Final

import typer

DEBUG: Final = "--debug"
FAILED: Final = 1
# Loading modules makes objects that stay: looking for cycles among them takes a tenth of its time.
MODULES_GC: Final = (100_000, 50, 100)
UNEXPECTED: Final = 70  # EX_SOFTWARE of sysexits.h

# command: the module in neural_hive/commands that registers it, and its line in the help
COMMANDS: Final = {
    "up": (
        "system",
        "Start the system here: Kafka, schema registry, ClickHouse, processors, projector, one worker.",
    ),
    "down": ("system", "Stop the system that runs on a data folder, in order."),
    "status": ("system", "Show the processes of the system."),
    "demo": ("demo", "Start a system, run a real plan to the end and check the outcome."),
    "publish": ("publish", "Publish a plan."),
    "query": ("query", "Ask ClickHouse in SQL."),
    "top": ("top", "Watch the system: rates, lag, health, workflows, agents, dead letters."),
    "workflows": ("workflows", "List workflows, the newest first; show one."),
    "tickets": ("workflows", "List tickets, the newest first; show one."),
    "events": ("events", "Show events as they stand in the log, and as they come."),
    "dead-letters": ("dead_letters", "List what could not be processed; show one; write them again."),
    "sql-user": ("sql_user", "Say who may ask ClickHouse in SQL, with a password each."),
    "agents": ("agents", "Show the agents that do the work, and how each is doing."),
    "flow-c": ("flow_c", "Show how plans become done work: rates, times, and whether objectives are kept."),
    "webhooks": ("webhooks", "Tell others of events by HTTP: subscribe, list, deliveries, redeliver."),
    "slo": ("slo", "SLOs, error budgets and freezes: list, explain, correct, freeze."),
    "webhook-sender": ("webhooks", "Post the webhooks that are due."),
    "sli-prometheus": ("slo_prometheus", "Count SLIs that Prometheus knows."),
    "sli-history": ("slo_history", "Count what happened before SLOs were defined."),
    "alertmanager-sender": ("slo_alertmanager", "Tell an Alertmanager of violations and exclusions."),
    "replay": ("replay", "Verify what the log and the tables say; ask what was, and why."),
    "recover": ("recover", "Go on with a log that lost or changed committed events."),
    "backup": ("backup", "Save log, archive, keys and artifacts, so that they fit together."),
    "restore": ("backup", "Restore a backup into an empty cluster."),
    "erase": ("erase", "Destroy a person's key: what the log says of the person is readable no more."),
    "subject": ("erase", "Print the pseudonym by which the log knows a person."),
    "import": ("import_", "Turn what other tools recorded into plans."),
    "processor": ("processes", "Run one worker of the processors of systems."),
    "api": ("api", "Serve the HTTP API."),
    "api-key": ("api_key", "Make, list and remove keys of the HTTP API."),
    "projector": ("processes", "Bring the log into ClickHouse, exactly once."),
    "worker": ("processes", "Execute the tickets of this machine's agent."),
    "sealer": ("seal", "Sign from time to time that the log is as it is, and only grew."),
    "witness": ("seal", "Cosign what the sealer signs, if it fits all that was seen before."),
    "keys": ("seal", "Show the public keys of sealer and witness."),
    "clickhouse": ("processes", "Serve the embedded ClickHouse engine over ClickHouse's HTTP protocol."),
    "schema-registry": ("processes", "Serve the schema registry's REST API."),
    "monitoring": ("monitoring", "Write Grafana dashboards and Prometheus rules as files."),
    "topics": ("processes", "Create the topics that are missing, and check the others."),
}


def build(arguments: list[str]) -> typer.Typer:
    """The command with all its names, of which only those among the arguments can run."""
    app = typer.Typer(
        name="neural-hive",
        help="Approved plans become executed work, with an audit trail that proves itself.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(_options)
    needed = {COMMANDS[argument][0] for argument in arguments if argument in COMMANDS}
    for module in sorted(needed):
        importlib.import_module(f"neural_hive.commands.{module}").register(app)
    for name, (module, line) in COMMANDS.items():
        if module not in needed:
            app.command(name, help=line)(_not_imported)
    return app


def _options(debug: bool = typer.Option(False, DEBUG, help="Show where an error came from")) -> None:
    """Takes the options of all commands; `main` looks at them itself."""


def _not_imported() -> None:
    raise AssertionError("a command among the arguments is imported before it runs")


def main() -> None:
    """Runs the command: an error is one line that says what to do, and an exit code."""
    gc.set_threshold(*MODULES_GC)
    arguments = sys.argv[1:]
    debug = DEBUG in arguments
    # The option may stand anywhere.
    arguments = [argument for argument in arguments if argument != DEBUG]
    try:
        build(arguments)(args=arguments, prog_name="neural-hive")
    except Exception as error:
        if debug:
            raise
        sys.exit(_explain(error))


def _explain(error: Exception) -> int:
    """Says what went wrong; gives the exit code. Our own errors say what to do."""
    from neural_hive.explain import explained

    if told := explained(error):
        sys.stderr.write(f"error: {told}\n")
        return FAILED
    text = " ".join(str(error).split())
    kept = _keep(error)
    sys.stderr.write(
        f"error: {type(error).__name__}: {text}. This was not foreseen: "
        f"run the command again with {DEBUG}{f', or see {kept}' if kept else ''}\n"
    )
    return UNEXPECTED


def _keep(error: Exception) -> Path | None:
    """Writes the trace of an unforeseen error where it can be found; None if it cannot be written."""
    file = (
        Path(os.environ.get("NEURAL_HIVE_CACHE") or Path.home() / ".cache" / "neural-hive") / "last-error.log"
    )
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(traceback.format_exception(error)))
    except OSError:
        return None
    return file


if __name__ == "__main__":
    main()
