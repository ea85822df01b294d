"""From a valid plan to its tickets: order, dependencies, service level and priority score of each."""

from neural_hive.aggregates import graph
from neural_hive.aggregates.decision import DecisionConsolidated, dependency_graph, service_wanted
from neural_hive.aggregates.risk import priority_score, served
from neural_hive.aggregates.ticket import CreateTicket
from neural_hive.aggregates.vocabulary import Task
from neural_hive.aggregates.workflow import ticket_id_of


def tickets_of(decision: DecisionConsolidated, accepted_at: int) -> list[CreateTicket]:
    """One command per task of a plan without cycles, each after those that it depends on."""
    needs = dependency_graph(decision.tasks)
    order = graph.topological_order(needs)
    waiting = graph.dependents(needs)
    through = graph.longest_through(needs, order, {task.task_id: _weight(task) for task in decision.tasks})
    longest = max(through.values(), default=1)
    service = service_wanted(decision)
    deadline_at = accepted_at + service.deadline_ms * 1_000
    tasks = {task.task_id: served(task, service) for task in decision.tasks}
    ids = {task_id: ticket_id_of(decision.decision_id, task_id) for task_id in order}
    return [
        CreateTicket(
            ids[task_id],
            decision.decision_id,
            decision.plan_id,
            tasks[task_id],
            tuple(ids[dependency] for dependency in needs[task_id]),
            tuple(ids[dependent] for dependent in waiting[task_id]),
            decision.priority,
            decision.risk_band,
            priority_score(decision.risk_band, decision.priority, through[task_id] / longest),
            deadline_at,
            service.delivery_mode,
            service.consistency,
            service.durability,
            accepted_at,
        )
        for task_id in order
    ]


def _weight(task: Task) -> int:
    """How long a task is expected to take, ms. Nobody's estimate counts as one, so that longer chains lead."""
    return max(task.estimated_duration_ms, 1)
