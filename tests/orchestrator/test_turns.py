"""No more workflows go on at once than may, and whose turn is next is fair."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from neural_hive.aggregates import tally
from neural_hive.aggregates.vocabulary import Outcome, Priority
from neural_hive.aggregates.workflow import (
    ACTIVE,
    Status,
    WorkflowAdmitted,
    WorkflowCancelled,
    WorkflowCommandRefused,
    WorkflowFailed,
    WorkflowQueued,
    WorkflowStarted,
)
from neural_hive.streams.orchestrator.flow import Limits
from neural_hive.streams.orchestrator.messages import (
    AdjustQos,
    CancelWorkflow,
    PauseWorkflow,
    ResumeWorkflow,
)
from neural_hive.streams.orchestrator.system import build
from tests.aggregates.making import AGENT, decision, task
from tests.orchestrator.crowd import Crowd, events_of, plan
from tests.orchestrator.running import COMMANDS

ONE = Limits(workflows_max=1)


def statuses(crowd: Crowd) -> dict[str, Status]:
    return {name: state.status for (kind, name), state in crowd.unit.states.items() if kind == "workflow"}


def test_without_a_limit_all_begin_at_once() -> None:
    crowd = Crowd((AGENT, 100))
    for number in range(20):
        crowd.publish(plan(f"d-{number}", 1))
    assert len(crowd.waiting) == 20
    assert not events_of(crowd.unit, WorkflowQueued)


def test_the_next_begins_when_one_ends() -> None:
    crowd = Crowd((AGENT, 100), limits=ONE)
    for name in ("a", "b", "c"):
        crowd.publish(plan(name, 2))
    assert statuses(crowd) == {"a": Status.RUNNING, "b": Status.QUEUED, "c": Status.QUEUED}
    assert {dispatch.workflow_id for dispatch in crowd.waiting} == {"a"}
    (first, second) = events_of(crowd.unit, WorkflowQueued)
    assert (first.backlog, first.active_count, first.limit, second.backlog) == (0, 1, 1, 1)
    crowd.answer(crowd.waiting[0])
    assert statuses(crowd)["b"] is Status.QUEUED
    crowd.answer(crowd.waiting[0], Outcome.FAILED)
    assert statuses(crowd) == {"a": Status.FAILED, "b": Status.RUNNING, "c": Status.QUEUED}
    assert [dispatch.workflow_id for dispatch in crowd.waiting] == ["b", "b"]
    crowd.end()
    assert statuses(crowd) == {"a": Status.FAILED, "b": Status.COMPLETED, "c": Status.COMPLETED}
    assert crowd.unit.count(tally.ACTIVE_WORKFLOWS) == 0
    assert crowd.unit.folded() == crowd.unit.states


def test_one_plan_that_is_published_often_does_not_hold_up_another() -> None:
    crowd = Crowd((AGENT, 1), limits=ONE)
    for number in range(50):
        crowd.publish(decision(task("t"), decision_id=f"often-{number}", plan_id="often"))
    crowd.publish(decision(task("t"), decision_id="rare", plan_id="rare"))
    crowd.publish(decision(task("t"), decision_id="urgent", plan_id="often", priority=Priority.CRITICAL))
    crowd.end()
    begun = [dispatch.workflow_id for dispatch in crowd.order]
    assert begun.index("rare") == 2, "after the one that went on, and the first that waited"
    assert begun.index("urgent") < 30
    assert begun[-1] == "often-49"


def test_another_priority_moves_a_workflow_that_waits_for_its_turn() -> None:
    crowd = Crowd((AGENT, 1), limits=ONE)
    for number in range(20):
        crowd.publish(decision(task("t"), decision_id=f"d-{number}", plan_id="p"))
    crowd.tell(COMMANDS, AdjustQos("d-19", "hurry", Priority.CRITICAL), "adjust")
    crowd.end()
    assert [dispatch.workflow_id for dispatch in crowd.order].index("d-19") < 10


def test_who_waits_for_its_turn_can_be_stopped_but_not_paused_and_has_a_deadline() -> None:
    crowd = Crowd((AGENT, 1), limits=ONE)
    crowd.publish(plan("a", 1))
    for name in ("b", "c"):
        crowd.publish(plan(name, 2, deadline_ms=3_600_000))
    crowd.tell(COMMANDS, PauseWorkflow("b", "why"), "pause")
    crowd.tell(COMMANDS, CancelWorkflow("b", "why"), "stop")
    (refused,) = events_of(crowd.unit, WorkflowCommandRefused)
    assert refused.reason == "a workflow that is QUEUED cannot be paused"
    (cancelled,) = events_of(crowd.unit, WorkflowCancelled)
    assert (cancelled.workflow_id, cancelled.cancelled_count) == ("b", 2)
    crowd.unit.fire(next(t for t in crowd.unit.timers() if t.aggregate_id == "c"))
    (failed,) = events_of(crowd.unit, WorkflowFailed)
    assert failed.reason.startswith("the deadline of the workflow has passed: of 2 tasks 0 failed and 2 were")
    crowd.end()
    assert statuses(crowd) == {"a": Status.COMPLETED, "b": Status.CANCELLED, "c": Status.FAILED}


def test_another_limit_counts_from_the_next_beginning_or_end() -> None:
    crowd = Crowd((AGENT, 100), limits=ONE)
    for number in range(30):
        crowd.publish(plan(f"d-{number}", 1))
    crowd.unit._system = build()
    crowd.answer(crowd.waiting[0])
    assert len(crowd.waiting) == 16
    crowd.publish(plan("new", 1))
    assert Status.QUEUED not in statuses(crowd).values()
    crowd.end()


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 3), st.data())
def test_no_more_go_on_than_may_whatever_happens(limit: int, data: st.DataObject) -> None:
    crowd = Crowd((AGENT, 3), limits=Limits(workflows_max=limit))
    for step in range(data.draw(st.integers(1, 40))):
        action = data.draw(st.sampled_from(["publish", "publish", "answer", "answer", "time", "ask"]))
        names = sorted(statuses(crowd))
        if action == "publish":
            more = {"compensation": data.draw(st.sampled_from([(), ("undo",)]))}
            tasks = (task("a", **more), task("b", "a", **more))
            crowd.publish(decision(*tasks, decision_id=f"d-{step}", plan_id=data.draw(st.sampled_from("pq"))))
        elif action == "answer" and crowd.waiting:
            outcome = data.draw(st.sampled_from([Outcome.COMPLETED, Outcome.FAILED]))
            crowd.answer(data.draw(st.sampled_from(crowd.waiting)), outcome)
        elif action == "time" and (timers := crowd.unit.timers()):
            crowd.unit.fire(timers[0])
            crowd.pair.pump()
            crowd.note()
        elif action == "ask" and names:
            message = data.draw(st.sampled_from([PauseWorkflow, ResumeWorkflow, CancelWorkflow]))
            crowd.tell(COMMANDS, message(data.draw(st.sampled_from(names)), "why"), f"ask {step}")
        found = Counter(status in ACTIVE for status in statuses(crowd).values())
        assert found[True] == crowd.unit.count(tally.ACTIVE_WORKFLOWS) <= limit
        assert found[True] == limit or Status.QUEUED not in statuses(crowd).values(), (
            "nobody waits for nothing"
        )
    for name in statuses(crowd):
        crowd.tell(COMMANDS, ResumeWorkflow(name, "go on"), f"at last {name}")
    crowd.end()
    begun = {event.workflow_id for event in events_of(crowd.unit, WorkflowStarted)}
    assert len(events_of(crowd.unit, WorkflowAdmitted)) <= len(events_of(crowd.unit, WorkflowQueued))
    assert begun == set(statuses(crowd))
    assert not {Status.QUEUED, *ACTIVE} & set(statuses(crowd).values())
    assert crowd.unit.folded() == crowd.unit.states
