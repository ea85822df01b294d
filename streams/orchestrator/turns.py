"""How many workflows of a partition go on at once, and whose turn is next.

The limit is one for each partition: a limit of all of them would need somebody whom all ask before each beginning. A
workflow that waits for its turn has its tickets and its deadline already. The order is that of tickets (`fairness.py`):
by acceptance, and each further one of the same plan a minute later, divided by its share.
"""

from typing import Final

from neural_hive.aggregates import tally
from neural_hive.aggregates.decision import DecisionConsolidated
from neural_hive.aggregates.workflow import AdmitWorkflow, Turn
from neural_hive.streams.orchestrator.audit import roots
from neural_hive.streams.orchestrator.course import make_ready
from neural_hive.streams.orchestrator.flow import Flow

ADMITTED_MAX: Final = 16  # by one message: if the limit was raised, many may begin


def turn_of(flow: Flow, decision: DecisionConsolidated) -> Turn:
    """What decides whether a new workflow begins at once."""
    backlog = flow.unit.count(tally.queued_workflows(decision.plan_id))
    return Turn(*_standing(flow), backlog, bool(flow.unit.first(tally.WORKFLOW_QUEUE)))


def admit(flow: Flow) -> None:
    """Lets workflows begin whose turn has come, once others have ended."""
    if not flow.workflows_moved:
        return
    for _ in range(ADMITTED_MAX):
        active, limit = _standing(flow)
        following = flow.unit.first(tally.WORKFLOW_QUEUE)
        if not following or (limit and active >= limit):
            return
        workflow_id = following[0]
        if not flow.on_workflow(workflow_id, AdmitWorkflow(Turn(active, limit), flow.now)):
            return  # the message is heard again, and has let it begin before
        make_ready(flow, roots(flow, workflow_id))


def _standing(flow: Flow) -> tuple[int, int]:
    return flow.unit.count(tally.ACTIVE_WORKFLOWS), flow.limits.workflows_max
