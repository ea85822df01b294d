"""Buttons that freeze by a policy or end a freeze: a command in the log, by who is signed in, with a reason."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from nicegui.events import GenericEventArguments

from neural_hive.api.auth import Identity
from neural_hive.page.frame import may
from neural_hive.page.reason import ReasonDialog, told
from neural_hive.page.site import Site
from neural_hive.sdk.sender import Token
from neural_hive.slo_adjusting import resolving
from neural_hive.streams.sla.messages import COMMANDS, FreezeByHand

ACTION: Final = "action"  # the column with the buttons
Publish = Callable[[str, str], Token]  # of a row's key, and a reason


def may_freeze(identity: Identity) -> bool:
    """Whether somebody may freeze by hand."""
    return may(identity, "POST", "/api/v1/policies/{policy_id}/freeze")


def may_end(identity: Identity) -> bool:
    """Whether somebody may end a freeze."""
    return may(identity, "POST", "/api/v1/policies/freezes/{freeze_id}/resolve")


def offer_freezing(site: Site, identity: Identity, policies: Any) -> None:
    """A button for each policy of a table."""

    def publish(policy_id: str, reason: str) -> Token:
        wanted = FreezeByHand(policy_id, reason, identity.name)
        return site.services.sender.message(COMMANDS, policy_id, wanted)

    _offer(site, policies, "Freeze", publish)


def offer_ending(site: Site, identity: Identity, freezes: Any) -> None:
    """A button for each freeze of a table."""

    def publish(freeze_id: str, reason: str) -> Token:
        wanted = resolving(site.services.tables, freeze_id, reason, identity.name)
        if wanted is None:
            raise ValueError("There is no such freeze any more.")
        return site.services.sender.message(COMMANDS, wanted.routing_id, wanted)

    _offer(site, freezes, "End freeze of", publish)


def _offer(site: Site, table: Any, verb: str, publish: Publish) -> None:
    """`verb`: what the buttons say, before what the row is of."""
    chosen: dict[str, str] = {}

    async def send(why: str) -> None:
        await told(site, partial(publish, chosen["key"], why))

    dialog = ReasonDialog(verb.split()[0], send)

    def ask(event: GenericEventArguments) -> None:
        chosen.update(key=str(event.args[0]))
        dialog.ask(f"{verb} {event.args[1]}")

    table.add_slot(
        f"body-cell-{ACTION}",
        '<q-td :props="props"><button class="text-primary underline" '
        f":aria-label=\"'{verb} ' + props.row.of\" "
        "@click=\"() => $parent.$emit('act', [props.row.key, props.row.of])\">"
        f"{verb.split()[0]}</button></q-td>",
    )
    table.on("act", ask)
