"""What every processor that gives work away reads of the SLA calculator: the freezes that block deployments now."""

from typing import Final

from neural_hive.aggregates.freeze import FREEZE, DeployFreeze, Standing
from neural_hive.aggregates.freeze_policy import Action
from neural_hive.streams.kernel.broadcast import View
from neural_hive.streams.kernel.states_view import states_view

Freezes = dict[str, DeployFreeze]


def _blocks_deployments(freeze: DeployFreeze) -> bool:
    return freeze.standing is Standing.ACTIVE and Action.BLOCK_DEPLOY in freeze.actions


FREEZES: Final[View[Freezes]] = states_view(FREEZE, _blocks_deployments)
