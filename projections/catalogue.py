"""All read models, in the order in which they are filled. A new one is one file and one line here.

Those of installed packages come last: see schemas/extensions.py.
"""

from typing import Final

from neural_hive.projections.agents import AGENTS
from neural_hive.projections.allocations import ALLOCATIONS
from neural_hive.projections.budget_adjustments import BUDGET_ADJUSTMENTS
from neural_hive.projections.budgets import BUDGETS
from neural_hive.projections.dead_letters import DEAD_LETTERS
from neural_hive.projections.erasures import ERASURES
from neural_hive.projections.freeze_exceptions import FREEZE_EXCEPTIONS
from neural_hive.projections.freeze_policies import FREEZE_POLICIES
from neural_hive.projections.freezes import FREEZES
from neural_hive.projections.incidents import INCIDENTS
from neural_hive.projections.metric_windows import METRIC_WINDOWS
from neural_hive.projections.pheromones import PHEROMONES
from neural_hive.projections.projection import Projection
from neural_hive.projections.redrives import REDRIVES
from neural_hive.projections.refused_calls import REFUSED_CALLS
from neural_hive.projections.results import RESULTS
from neural_hive.projections.sli_counts import SLI_COUNTS
from neural_hive.projections.slo_alerts import SLO_ALERTS
from neural_hive.projections.slo_history import SLO_HISTORY_RANGES
from neural_hive.projections.slos import SLOS
from neural_hive.projections.slots import SLOTS
from neural_hive.projections.telemetry import TELEMETRY
from neural_hive.projections.ticket_history import TICKET_HISTORY
from neural_hive.projections.tickets import TICKETS
from neural_hive.projections.violations import VIOLATIONS
from neural_hive.projections.webhook_deliveries import WEBHOOK_DELIVERIES
from neural_hive.projections.webhook_subscriptions import WEBHOOK_SUBSCRIPTIONS
from neural_hive.projections.workflows import WORKFLOWS
from neural_hive.schemas.extensions import PROJECTIONS_GROUP, declared

_OWN: Final = (
    WORKFLOWS,
    TICKETS,
    TICKET_HISTORY,
    RESULTS,
    AGENTS,
    PHEROMONES,
    ALLOCATIONS,
    SLOTS,
    INCIDENTS,
    TELEMETRY,
    WEBHOOK_SUBSCRIPTIONS,
    WEBHOOK_DELIVERIES,
    ERASURES,
    DEAD_LETTERS,
    METRIC_WINDOWS,  # behind the dead letters, which its view leaves out
    REDRIVES,
    REFUSED_CALLS,
    SLOS,
    FREEZE_POLICIES,
    BUDGETS,
    SLI_COUNTS,
    SLO_HISTORY_RANGES,
    BUDGET_ADJUSTMENTS,
    FREEZES,
    FREEZE_EXCEPTIONS,
    VIOLATIONS,
    SLO_ALERTS,
)

PROJECTIONS: Final[tuple[Projection, ...]] = (
    *_OWN,
    *declared(PROJECTIONS_GROUP, (own.name for own in _OWN)).values(),
)
