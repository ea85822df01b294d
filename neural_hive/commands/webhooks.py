"""`webhooks`: who is told of events by HTTP, and what became of it; and the process that posts them."""

import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from neural_hive.commands.asking import CannotDo, ask, say
from neural_hive.process import process, stop_event
from neural_hive.quiet import logs_to_stderr
from neural_hive.settings import Settings, load_settings

DELIVERIES_MAX: Final = 10_000
AGENTS: Final = "agents"  # the subscription of the agents' own webhooks, if no other id is given
_SUBSCRIPTION: Final = (
    *("subscription_id", "status", "url", "event_types", "plan_ids", "task_types", "statuses"),
    *("created_at", "changed_at", "reason", "requested_by"),
)
_DELIVERY: Final = (
    *("delivery_id", "status", "subscription_id", "event_type_told", "workflow_id", "attempt", "failures"),
    *("status_code", "reason", "duration_ms", "scheduled_at", "due_at", "delivered_at", "died_at", "url"),
)

Data = Annotated[
    Path | None, typer.Option("--data", help="Data folder [default: .neural-hive]", file_okay=False)
]
Config = Annotated[Path | None, typer.Option("--config", help="Settings file (TOML or YAML)", dir_okay=False)]
Json = Annotated[bool, typer.Option("--json", help="JSON")]
By = Annotated[str, typer.Option("--by", help="Who asks for it")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it stays in the log")]
Subscription = Annotated[str, typer.Argument(help="Id of the subscription")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    group = typer.Typer(help="Tell others of events by HTTP.", no_args_is_help=True)
    group.command()(subscribe)
    group.command()(unsubscribe)
    group.command()(pause)
    group.command()(resume)
    group.command("list")(list_)
    group.command()(deliveries)
    group.command()(redeliver)
    app.add_typer(group, name="webhooks")
    app.command("webhook-sender")(webhook_sender)


def subscribe(
    url: Annotated[str, typer.Argument(help="Where to post; leave it out with --agents")] = "",
    events: Annotated[
        list[str] | None, typer.Option("--events", help="Name of an event, Ticket*, or *; repeatable")
    ] = None,
    plan: Annotated[list[str] | None, typer.Option("--plan", help="Only of this plan; repeatable")] = None,
    task_type: Annotated[
        list[str] | None, typer.Option("--task-type", help="Only of such tasks; repeatable")
    ] = None,
    status: Annotated[
        list[str] | None, typer.Option("--status", help="Only what leads there, such as FAILED; repeatable")
    ] = None,
    agents: Annotated[
        bool, typer.Option("--agents", help="Call the agents that registered a webhook about their tickets")
    ] = False,
    subscription: Annotated[
        str, typer.Option("--id", help="Its id; one that is there is changed [default: made of the rest]")
    ] = "",
    secret_file: Annotated[
        Path | None, typer.Option("--secret-file", help="Sign with the secret in this file", exists=True)
    ] = None,
    by: By = "",
    json: Json = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Tell somebody of events from now on. Without a secret one is made, and its file named."""
    from neural_hive.aggregates.vocabulary import TaskType
    from neural_hive.streams.webhooks_messages import Subscribe

    if bool(url) == agents:
        raise typer.BadParameter("give a URL, or --agents", param_hint="URL")
    kinds = [kind for kind in TaskType if kind is not TaskType.UNKNOWN]
    wanted = [kind.upper() for kind in task_type or ()]
    if unknown := [kind for kind in wanted if kind not in kinds]:
        raise typer.BadParameter(f"{unknown[0]!r} is none of {', '.join(kinds)}", param_hint="--task-type")
    settings = load_settings(config, data=data)
    types = tuple(events or (("TicketDispatched",) if agents else ("*",)))
    asked = (*types, *(plan or ()), *wanted, *(status or ()))
    name = subscription or (AGENTS if agents else _name_of(url, *asked))
    message = Subscribe(
        name, url, types, tuple(plan or ()), tuple(map(TaskType, wanted)), tuple(status or ()), by
    )
    _check(message)
    file = _keep_secret(settings, name, secret_file)
    verdict = _publish(settings, name, message)
    told = {"subscription_id": name, "verdict": verdict, "secret_file": str(file)}
    say(told, json, f"{name} {verdict}\nits secret: {file}")


def unsubscribe(
    subscription: Subscription,
    reason: Reason = "",
    by: By = "",
    json: Json = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Tell somebody of events no more. What waits for it is dropped."""
    from neural_hive.streams.webhooks_messages import Unsubscribe

    _change(Unsubscribe(subscription, reason, by), json, data, config)


def pause(
    subscription: Subscription,
    reason: Reason = "",
    by: By = "",
    json: Json = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Post nothing for a subscription for now; what happens meanwhile waits."""
    from neural_hive.streams.webhooks_messages import PauseSubscription

    _change(PauseSubscription(subscription, reason, by), json, data, config)


def resume(
    subscription: Subscription,
    reason: Reason = "",
    by: By = "",
    json: Json = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Let a subscription work again that was paused, or whose receiver had said that it is gone."""
    from neural_hive.streams.webhooks_messages import ResumeSubscription

    _change(ResumeSubscription(subscription, reason, by), json, data, config)


def list_(json: Json = False, data: Data = None, config: Config = None) -> None:
    """Show who is told of which events."""
    columns = ", ".join(_SUBSCRIPTION)
    sql = f"SELECT {columns} FROM webhook_subscriptions WHERE status != 'ENDED' ORDER BY subscription_id"
    rows = _rows(load_settings(config, data=data), sql)
    found = [dict(zip(_SUBSCRIPTION, row, strict=True)) for row in rows]
    shown = ("subscription_id", "status", "url", "event_types", "plan_ids", "task_types", "statuses")
    _show(found, shown, "nobody is told of events", json)


def deliveries(
    subscription: Annotated[str, typer.Option("--subscription", help="Only of this subscription")] = "",
    status: Annotated[
        str, typer.Option("--status", help="Only such: SENDING, WAITING, DELIVERED, DEAD, DROPPED")
    ] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=DELIVERIES_MAX)] = 50,
    json: Json = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Show what was told, or is to be told, the newest first."""
    sql = (
        f"SELECT {', '.join(_DELIVERY)} FROM webhook_deliveries "
        "WHERE ({subscription:String} = '' OR subscription_id = {subscription:String}) "
        "AND ({status:String} = '' OR status = {status:String}) "
        f"ORDER BY scheduled_at DESC LIMIT {limit}"
    )
    asked = {"subscription": subscription, "status": status.upper()}
    rows = _rows(load_settings(config, data=data), sql, asked)
    found = [dict(zip(_DELIVERY, row, strict=True)) for row in rows]
    shown = (
        "delivery_id",
        "status",
        "subscription_id",
        "event_type_told",
        "attempt",
        "status_code",
        "reason",
    )
    _show(found, shown, "no delivery", json)


def redeliver(
    delivery: Annotated[str, typer.Argument(help="Id of the delivery")],
    reason: Reason = "",
    by: By = "",
    json: Json = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Try a delivery again, at once: a dead one, one that waits, or one that was taken already."""
    from neural_hive.streams.webhooks_messages import Redeliver

    settings = load_settings(config, data=data)
    sql = "SELECT workflow_id FROM webhook_deliveries WHERE delivery_id = {delivery:String}"
    rows = _rows(settings, sql, {"delivery": delivery})
    if not rows:
        raise CannotDo(
            f"there is no delivery {delivery[:100]!r}: `neural-hive webhooks deliveries` shows them"
        )
    routing_id = rows[0][0]
    verdict = _publish(settings, routing_id, Redeliver(delivery, routing_id, reason, by))
    say({"delivery_id": delivery, "verdict": verdict}, json, f"{delivery} is tried again")


def webhook_sender(data: Data = None, config: Config = None) -> None:
    """Post the webhooks that are due. Start more of them to share the work."""
    settings = load_settings(config, data=data)
    with process(settings, "webhook-sender") as ready:
        from neural_hive.streams.webhook_sender import run

        run(settings, stop_event(), ready)


def _name_of(url: str, *asked: str) -> str:
    """The id of a subscription that was given none: the same again changes nothing, another one stands beside it."""
    from neural_hive.aggregates.identity import derived_id

    host = re.sub(r"[^A-Za-z0-9._-]", "-", url.partition("//")[2].partition("/")[0])
    return f"{host[:60]}-{derived_id(url, *asked)[:8]}"


def _check(message: Any) -> None:
    """What the processor would refuse is said here, where somebody reads it."""
    from neural_hive.aggregates.aggregate import Rejected
    from neural_hive.aggregates.subscription import Filter, Subscribe, decide

    asked = Filter(message.event_types, message.plan_ids, message.task_types, message.statuses)
    try:
        decide(None, Subscribe(message.subscription_id, message.url, asked, message.requested_by, 0))
    except Rejected as error:
        raise CannotDo(str(error)) from error


def _keep_secret(settings: Settings, name: str, given: Path | None) -> Path:
    """The file of a subscription's secret: a copy of what was given, the one that is there, or a new one."""
    from neural_hive.connectors.webhook_signing import keys_in, new_secret

    file = settings.webhook_folder / name
    if given is not None:
        keys_in(given)
        text = given.read_text()
    elif file.is_file():
        keys_in(file)
        return file
    else:
        text = new_secret() + "\n"
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = file.with_name(f".{name}.draft")
    draft.touch(mode=0o600)
    draft.write_text(text)
    draft.replace(file)
    return file


def _change(command: Any, json: bool, data: Path | None, config: Path | None) -> None:
    """Publishes a command about a subscription, and tells what became of it."""
    name = command.subscription_id
    verdict = _publish(load_settings(config, data=data), name, command)
    say({"subscription_id": name, "verdict": verdict}, json, f"{name} {verdict}")


def _publish(settings: Settings, routing_id: str, message: msgspec.Struct) -> str:
    from neural_hive.streams.webhooks_messages import COMMANDS

    return ask(settings, "neural-hive webhooks", COMMANDS, routing_id, message).verdict.value


def _rows(settings: Settings, sql: str, asked: dict[str, str] | None = None) -> list[tuple[Any, ...]]:
    from neural_hive.connectors.clickhouse import ClickHouse

    logs_to_stderr()
    user = settings.clickhouse_user
    with ClickHouse.of(settings, settings.password_of(user), secure=settings.clickhouse_secure) as tables:
        return tables.rows(sql, asked or {})


def _show(found: list[dict[str, Any]], shown: tuple[str, ...], empty: str, json: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    if json:
        rows = [{name: _utc(value) for name, value in row.items()} for row in found]
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(rows)) + b"\n")
        return
    if not found:
        Console().print(empty)
        return
    table = Table(*(name.removesuffix("_told").replace("_", " ") for name in shown))
    for row in found:
        table.add_row(*(_text(row[name]) for name in shown))
    Console().print(table)


def _utc(value: Any) -> Any:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value


def _text(value: Any) -> str:
    if value is None:
        return ""
    return ", ".join(value) if isinstance(value, list | tuple) else str(value)
