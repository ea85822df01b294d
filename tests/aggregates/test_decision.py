import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neural_hive.aggregates import decision as module
from neural_hive.aggregates.decision import (
    EDGES_MAX,
    REASONS_MAX,
    TASKS_MAX,
    content_hash,
    is_identified,
    validate,
)
from neural_hive.aggregates.ticketing import tickets_of
from neural_hive.aggregates.vocabulary import Priority, SecurityLevel, Task, TaskType, Vote
from tests.aggregates.making import decision, task


def reasons(*tasks: Task, **changes: Any) -> str:
    return "\n".join(validate(decision(*tasks, **changes)))


def test_a_sound_plan_has_no_reasons_against_it() -> None:
    vote = Vote("security", 0.5, 0.9, True, 0.1, 20)
    assert reasons(task("a"), task("b", "a"), task("c", "a", "b"), votes=(vote,)) == ""


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"decision_id": ""}, "decision_id must be 1 to 128"),
        ({"plan_id": "x" * 129}, "plan_id must be 1 to 128"),
        ({"intent_id": "a b"}, "intent_id must be 1 to 128"),
        ({"priority": Priority.UNKNOWN}, "priority is missing or not known"),
        ({"confidence": 1.01}, "confidence must be within 0 to 1"),
        ({"confidence": float("nan")}, "confidence must be within 0 to 1"),
        ({"deadline_ms": -1}, "deadline_ms must be within"),
        ({"requested_by": "x" * 257}, "requested_by must be at most"),
        ({"votes": (Vote("", 1.0, 1.0, True),)}, "specialist must be"),
        ({"votes": (Vote("x", float("inf"), 1.0, True),)}, "weight must be 0 or more"),
        ({"votes": (Vote("x", 1.0, 2.0, True),)}, "confidence must be within"),
    ],
)
def test_what_is_wrong_with_a_decision_is_named(changes: dict[str, Any], reason: str) -> None:
    assert reason in reasons(task("a"), **changes)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (task("a b"), "task_id must be"),
        (task("a", task_type=TaskType.UNKNOWN), "task_type is missing or not known"),
        (task("a", security_level=SecurityLevel.UNKNOWN), "security_level is missing"),
        (task("a", timeout_ms=0), "timeout_ms must be within"),
        (task("a", estimated_duration_ms=-1), "estimated_duration_ms must be"),
        (task("a", max_retries=101), "max_retries must be"),
        (task("a", command=()), "needs a command"),
        (task("a", command=("",)), "must begin with the name of a program"),
        (task("a", command=(), task_type=TaskType.BUILD), "needs a command, parameters or a template_id"),
        (task("a", command=("x", "a\0b")), "NUL"),
        (task("a", command=("x",) * 1_001), "command has 1,001 items"),
        (task("a", description="x" * 1_048_577), "keep large data in a file"),
        (task("a", environment={"A-B": "1"}), "'A-B' is no name of a variable"),
        (task("a", secrets=("",)), "secrets: ''"),
        (task("a", "a"), "it depends on itself"),
        (task("a", "biuld"), "it depends on 'biuld', which is no task of the plan"),
        (task("a", "b", "b"), "names a dependency more than once"),
        (task("a", command=("x", "${tasks.zz.outputs.y}")), "refers to 'zz', which is no task"),
        (task("a", command=("x", "${tasks.b.outputs.y}")), "add 'b' to its dependencies"),
        (task("a", "b", parameters={"p": "${tasks.b.output.y}"}), "cannot be read"),
        (task("a", "b", environment={"E": "${tasks.b.outputs.y"}), "cannot be read"),
    ],
)
def test_what_is_wrong_with_a_task_is_named(wrong: Task, reason: str) -> None:
    found = reasons(wrong, task("b"))
    assert reason in found
    assert f"task '{wrong.task_id}'" in found


def test_references_reach_through_dependencies_and_leave_the_shell_alone() -> None:
    last = task(
        "c", "b", command=("sh", "-c", "echo ${tasks.a.outputs.x} ${HOME}", "${tasks.b.artifacts.w.whl}")
    )
    assert reasons(task("a"), task("b", "a"), last) == ""


def test_a_template_stands_for_a_command() -> None:
    assert reasons(task("a", command=(), task_type=TaskType.BUILD, template_id="t")) == ""
    assert reasons(task("a", command=(), task_type=TaskType.BUILD, parameters={"source": "s"})) == ""


def test_a_plan_without_tasks_is_refused() -> None:
    assert reasons() == "the plan has no tasks"


def test_a_repeated_id_is_refused() -> None:
    assert "task id 'a' stands 2 times" in reasons(task("a"), task("a"))


def test_a_cycle_is_named_with_its_tasks() -> None:
    assert reasons(task("a", "c"), task("b", "a"), task("c", "b"), task("free")).endswith(
        ": a -> c -> b -> a"
    )


def test_a_cycle_of_thousands_is_named_in_short() -> None:
    found = reasons(*(task(f"t{n}", f"t{(n + 1) % 5_000}") for n in range(5_000)))
    assert "t0 -> t1 -> " in found
    assert "(4,981 more)" in found
    assert found.endswith("-> t0")


def test_reasons_are_limited() -> None:
    found = validate(decision(*(task(f"a b{n}", timeout_ms=0) for n in range(500))))
    assert len(found) == REASONS_MAX
    assert all(len(reason) <= module.REASON_CHARS_MAX for reason in found)


def test_too_many_tasks_or_edges_are_refused() -> None:
    assert "split the plan" in reasons(*(task(f"t{n}") for n in range(TASKS_MAX + 1)))
    roots = [task(f"r{n}") for n in range(101)]
    names = [root.task_id for root in roots]
    many = [task(f"t{n}", *names) for n in range(EDGES_MAX // 101 + 1)]
    assert "dependencies are more than" in reasons(*roots, *many)


def chain(n: int) -> tuple[str, ...]:
    return (f"t{n - 1}",) if n else ()


def fan(n: int) -> tuple[str, ...]:
    return ("t0",) if n else ()


def mesh(n: int) -> tuple[str, ...]:
    return tuple(f"t{m}" for m in range(max(n - 15, 0), n))


@pytest.mark.parametrize("shape", [chain, fan, mesh])
def test_a_plan_of_5000_tasks_is_validated_well_below_a_second(
    shape: Callable[[int], tuple[str, ...]],
) -> None:
    plan = decision(
        *(
            task(f"t{n}", *shape(n), command=("echo", "${tasks.t0.outputs.x}" if n else "-"))
            for n in range(5_000)
        )
    )
    best = min(_cpu_s(lambda: validate(plan)) for _ in range(3))
    assert validate(plan) == []
    assert best < 0.7


def _cpu_s(work: Callable[[], object]) -> float:
    start = time.thread_time()
    work()
    return time.thread_time() - start


hostile = st.one_of(
    st.text(max_size=200),
    st.sampled_from(["", "${tasks.", "${tasks.a.outputs.}", "${tasks.a.outputs.x}", "\0", "t0", "-"]),
)
numbers = st.integers(-(2**63), 2**63 - 1)
ids = st.one_of(hostile, st.sampled_from([f"t{n}" for n in range(6)]))
any_task = st.builds(
    Task,
    task_id=ids,
    task_type=st.sampled_from(TaskType),
    timeout_ms=st.one_of(numbers, st.just(1_000)),
    security_level=st.sampled_from(SecurityLevel),
    dependencies=st.lists(ids, max_size=4).map(tuple),
    command=st.lists(hostile, max_size=3).map(tuple),
    parameters=st.dictionaries(hostile, hostile, max_size=2),
    environment=st.dictionaries(hostile, hostile, max_size=2),
    max_retries=st.integers(-(2**31), 2**31 - 1),
    secrets=st.lists(hostile, max_size=2).map(tuple),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(any_task, max_size=8), ids, st.floats(), numbers)
def test_whatever_comes_is_answered_in_words(
    tasks: list[Task], text: str, number: float, deadline_ms: int
) -> None:
    vote = Vote(text, number, number, True, number, deadline_ms)
    plan = decision(*tasks, plan_id=text, confidence=number, deadline_ms=deadline_ms, votes=(vote,))
    found = validate(plan)
    assert all(reason and len(reason) <= module.REASON_CHARS_MAX for reason in found)
    if not found:
        assert len(tickets_of(plan, 0)) == len(tasks) > 0


few = st.sampled_from([f"t{n}" for n in range(4)])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(few, st.lists(few, max_size=3), few), min_size=1, max_size=5))
def test_a_plan_is_sound_exactly_if_it_can_be_carried_out(rows: list[tuple[str, list[str], str]]) -> None:
    tasks = [task(name, *needs, command=("x", f"${{tasks.{used}.outputs.x}}")) for name, needs, used in rows]
    sound = _can_be_carried_out({name: (set(needs), used) for name, needs, used in rows}) and (
        len({name for name, _, _ in rows}) == len(rows)
        and all(len(set(needs)) == len(needs) for _, needs, _ in rows)
    )
    assert (validate(decision(*tasks)) == []) is sound


def _can_be_carried_out(rows: dict[str, tuple[set[str], str]]) -> bool:
    """By trying: take what can be taken, and remember all that came before each."""
    before: dict[str, set[str]] = {}
    while True:
        free = [name for name, (needs, _) in rows.items() if name not in before and needs <= before.keys()]
        if not free:
            return len(before) == len(rows)
        for name in free:
            needs, used = rows[name]
            before[name] = needs.union(*(before[need] for need in needs))
            if used not in before[name]:
                return False


def test_the_content_hash_tells_decisions_apart_and_ignores_the_order_of_maps() -> None:
    one = decision(task("a", parameters={"x": "1", "y": "2"}))
    same = decision(task("a", parameters={"y": "2", "x": "1"}))
    other = decision(task("a", parameters={"x": "1", "y": "3"}))
    assert content_hash(one) == content_hash(same)
    assert content_hash(one) != content_hash(other)


def test_an_id_that_names_nothing_is_recognised() -> None:
    assert is_identified(decision(task("a")))
    assert not is_identified(decision(task("a"), decision_id="../x y"))
