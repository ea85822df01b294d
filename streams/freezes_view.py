"""What every processor that gives work away reads of the SLA calculator: the freezes that block deployments now."""

from typing import Any, Final

from neural_hive.aggregates.aggregate import event_of
from neural_hive.aggregates.freeze import FREEZE, DeployFreeze, FreezeActivated, FreezeEvent, Standing
from neural_hive.aggregates.freeze_policy import Action
from neural_hive.schemas.codec import decode
from neural_hive.schemas.envelope import Envelope
from neural_hive.streams.kernel.broadcast import View

Freezes = dict[str, DeployFreeze]


def _with_freeze(known: Freezes, record: Any) -> Freezes:
    decoded = decode(record.value(), "event")
    assert isinstance(decoded.head, Envelope)
    if decoded.head.aggregate_type != FREEZE.name:
        return known
    event: FreezeEvent = event_of(FREEZE, decoded.head.event_type, decoded.payload)  # type: ignore[assignment]
    before = known.get(event.freeze_id)
    if before is None and not isinstance(event, FreezeActivated):
        return known  # it has ended before, or blocks nothing
    after = FREEZE.evolve(before, event)
    if after.standing is Standing.ACTIVE and Action.BLOCK_DEPLOY in after.actions:
        return {**known, after.freeze_id: after}
    return {name: freeze for name, freeze in known.items() if name != after.freeze_id}


FREEZES: Final[View[Freezes]] = View(FREEZE.topic, {}, _with_freeze)
