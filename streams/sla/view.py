"""What every partition reads of the definitions: SLOs that are measured, and policies that freeze.

What was removed is not in it.
"""

from typing import Final

from neural_hive.aggregates.freeze_policy import FREEZE_POLICY, FreezePolicy
from neural_hive.aggregates.slo import SLO, Slo
from neural_hive.streams.kernel.broadcast import View
from neural_hive.streams.kernel.states_view import states_view

Slos = dict[str, Slo]
Policies = dict[str, FreezePolicy]

SLOS: Final[View[Slos]] = states_view(SLO, lambda slo: not slo.is_removed)
POLICIES: Final[View[Policies]] = states_view(FREEZE_POLICY, lambda policy: not policy.is_removed)
