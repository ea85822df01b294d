"""`webhooks`: who is told of events by HTTP, and what became of it; and the process that posts them."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from neural_hive.commands.common import Asking, Common, shared
from neural_hive.commands.shown import (
    Config,
    Data,
    Reason,
    Text,
    plain,
    print_json,
    print_page,
    say,
    tables_of,
)
from neural_hive.commands.shown import status as status_told
from neural_hive.process import process, stop_event
from neural_hive.sdk.asking import CannotDo, ask
from neural_hive.settings import Settings, load_settings

DELIVERIES_MAX: Final = 10_000
AGENTS: Final = "agents"  # the subscription of the agents' own webhooks, if no other id is given

Subscription = Annotated[str, typer.Argument(help="Id of the subscription")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    group = typer.Typer(help="Tell others of events by HTTP.", no_args_is_help=True)
    for name, command in (
        ("subscribe", subscribe),
        ("unsubscribe", unsubscribe),
        ("pause", pause),
        ("resume", resume),
        ("list", list_),
        ("deliveries", deliveries),
        ("redeliver", redeliver),
    ):
        group.command(name)(shared(command))
    app.add_typer(group, name="webhooks")
    app.command("webhook-sender")(webhook_sender)


def subscribe(
    asking: Asking,
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
) -> None:
    """Tell somebody of events from now on. Without a secret one is made, and its file named."""
    from neural_hive.aggregates.vocabulary import TaskType
    from neural_hive.streams.webhooks.messages import Subscribe

    if bool(url) == agents:
        raise typer.BadParameter("give a URL, or --agents", param_hint="URL")
    kinds = [kind for kind in TaskType if kind is not TaskType.UNKNOWN]
    wanted = [kind.upper() for kind in task_type or ()]
    if unknown := [kind for kind in wanted if kind not in kinds]:
        raise typer.BadParameter(f"{unknown[0]!r} is none of {', '.join(kinds)}", param_hint="--task-type")
    settings = asking.settings()
    types = tuple(events or (("TicketDispatched",) if agents else ("*",)))
    asked = (*types, *(plan or ()), *wanted, *(status or ()))
    name = subscription or (AGENTS if agents else _name_of(url, *asked))
    message = Subscribe(
        name, url, types, tuple(plan or ()), tuple(map(TaskType, wanted)), tuple(status or ()), asking.by
    )
    _check(message)
    file = _keep_secret(settings, name, secret_file)
    verdict = _publish(settings, name, message)
    told = {"subscription_id": name, "verdict": verdict, "secret_file": str(file)}
    say(told, asking.as_json, f"{name} {verdict}\nits secret: {file}")


def unsubscribe(asking: Asking, subscription: Subscription, reason: Reason = "") -> None:
    """Tell somebody of events no more. What waits for it is dropped."""
    from neural_hive.streams.webhooks.messages import Unsubscribe

    _change(asking, Unsubscribe(subscription, reason, asking.by))


def pause(asking: Asking, subscription: Subscription, reason: Reason = "") -> None:
    """Post nothing for a subscription for now; what happens meanwhile waits."""
    from neural_hive.streams.webhooks.messages import PauseSubscription

    _change(asking, PauseSubscription(subscription, reason, asking.by))


def resume(asking: Asking, subscription: Subscription, reason: Reason = "") -> None:
    """Let a subscription work again that was paused, or whose receiver had said that it is gone."""
    from neural_hive.streams.webhooks.messages import ResumeSubscription

    _change(asking, ResumeSubscription(subscription, reason, asking.by))


def list_(common: Common) -> None:
    """Show who is told of which events."""
    columns = {
        "subscription_id": plain,
        "status": status_told,
        "url": plain,
        "event_types": _words,
        "plan_ids": _words,
        "task_types": _words,
        "statuses": _words,
    }
    more = ("created_at", "changed_at", "reason", "requested_by")
    sql = "FROM webhook_subscriptions WHERE status != 'ENDED' ORDER BY subscription_id"
    _list(common, columns, more, sql, {}, "nobody is told of events")


def deliveries(
    common: Common,
    subscription: Annotated[str, typer.Option("--subscription", help="Only of this subscription")] = "",
    status: Annotated[
        str, typer.Option("--status", help="Only such: SENDING, WAITING, DELIVERED, DEAD, DROPPED")
    ] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=DELIVERIES_MAX)] = 50,
) -> None:
    """Show what was told, or is to be told, the newest first."""
    columns = {
        "delivery_id": plain,
        "status": status_told,
        "subscription_id": plain,
        "event_type_told": plain,
        "attempt": plain,
        "status_code": plain,
        "reason": plain,
    }
    more = (
        *("workflow_id", "failures", "duration_ms", "scheduled_at", "due_at", "delivered_at", "died_at"),
        "url",
    )
    sql = (
        "FROM webhook_deliveries "
        "WHERE ({subscription:String} = '' OR subscription_id = {subscription:String}) "
        "AND ({status:String} = '' OR status = {status:String}) "
        f"ORDER BY scheduled_at DESC LIMIT {limit}"
    )
    asked = {"subscription": subscription, "status": status.upper()}
    _list(common, columns, more, sql, asked, "no delivery")


def redeliver(
    asking: Asking,
    delivery: Annotated[str, typer.Argument(help="Id of the delivery")],
    reason: Reason = "",
) -> None:
    """Try a delivery again, at once: a dead one, one that waits, or one that was taken already."""
    from neural_hive.streams.webhooks.messages import Redeliver

    sql = "SELECT workflow_id FROM webhook_deliveries WHERE delivery_id = {delivery:String}"
    with tables_of(*asking.place) as (tables, _):
        rows = tables.rows(sql, {"delivery": delivery})
    if not rows:
        raise CannotDo(
            f"there is no delivery {delivery[:100]!r}: `neural-hive webhooks deliveries` shows them"
        )
    routing_id = str(rows[0][0])
    verdict = _publish(asking.settings(), routing_id, Redeliver(delivery, routing_id, reason, asking.by))
    say({"delivery_id": delivery, "verdict": verdict}, asking.as_json, f"{delivery} is tried again")


def webhook_sender(data: Data = None, config: Config = None) -> None:
    """Post the webhooks that are due. Start more of them to share the work."""
    settings = load_settings(config, data=data)
    with process(settings, "webhook-sender") as ready:
        from neural_hive.streams.webhooks.sender import run

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


def _change(asking: Asking, command: Any) -> None:
    """Publishes a command about a subscription, and tells what became of it."""
    name = command.subscription_id
    verdict = _publish(asking.settings(), name, command)
    say({"subscription_id": name, "verdict": verdict}, asking.as_json, f"{name} {verdict}")


def _publish(settings: Settings, routing_id: str, message: msgspec.Struct) -> str:
    from neural_hive.streams.webhooks.messages import COMMANDS

    return ask(settings, "neural-hive webhooks", COMMANDS, routing_id, message).verdict.value


def _list(
    common: Common,
    columns: Mapping[str, Text],
    more: tuple[str, ...],
    sql: str,
    params: dict[str, str],
    empty: str,
) -> None:
    from neural_hive.listing.pages import Rows, plain_row

    names = (*columns, *more)
    with tables_of(*common.place) as (tables, _):
        found = [plain_row(names, row) for row in tables.rows(f"SELECT {', '.join(names)} {sql}", params)]
    if common.as_json:
        print_json(found)
    else:
        print_page(Rows(found), columns, empty, tuple(columns)[:3])


def _words(value: list[str]) -> Any:
    return plain(", ".join(value))
