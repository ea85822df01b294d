"""What follows from a command."""

from typing import assert_never

from neural_hive.aggregates.aggregate import Rejected
from neural_hive.aggregates.workflow.commands import (
    AdjustService,
    AdmitWorkflow,
    AwaitAgents,
    EndWait,
    FinishWorkflow,
    PauseWork,
    ResumeWork,
    StartWorkflow,
    StopWorkflow,
    WorkflowCommand,
)
from neural_hive.aggregates.workflow.course import admit, await_agents, end_wait, finish, start, stop
from neural_hive.aggregates.workflow.events import WorkflowEvent
from neural_hive.aggregates.workflow.requests import adjust, pause, resume
from neural_hive.aggregates.workflow.state import Workflow


def decide(workflow: Workflow | None, command: WorkflowCommand) -> list[WorkflowEvent]:
    """The events that follow from a command. Raises Rejected: the command makes no sense of this workflow."""
    match command:
        case StartWorkflow():
            return start(workflow, command)
        case AdmitWorkflow():
            return admit(_existing(workflow), command)
        case FinishWorkflow():
            return finish(_existing(workflow), command)
        case StopWorkflow():
            return stop(_existing(workflow), command)
        case PauseWork():
            return pause(_existing(workflow), command)
        case ResumeWork():
            return resume(_existing(workflow), command)
        case AdjustService():
            return adjust(_existing(workflow), command)
        case AwaitAgents():
            return await_agents(_existing(workflow), command)
        case EndWait():
            return end_wait(_existing(workflow), command.now)
        case _:
            assert_never(command)


def _existing(workflow: Workflow | None) -> Workflow:
    if workflow is None:
        raise Rejected("there is no such workflow: its id is the decision's id; check it and the routing id")
    return workflow
