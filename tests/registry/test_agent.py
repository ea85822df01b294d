"""The life of an agent in the registry, under virtual time."""

import msgspec
import pytest
from hypothesis import given as any_of
from hypothesis import settings
from hypothesis import strategies as st

from neural_hive.aggregates.agent import (
    AGENT,
    Agent,
    AgentDeregistered,
    AgentHealthChanged,
    AgentRegistered,
    AgentRemoved,
    AgentSeen,
    AgentType,
    Beat,
    Deregister,
    Health,
    NoticeSilence,
    Presence,
    Profile,
    Register,
    Telemetry,
    decide,
    evolve,
    timers,
)
from neural_hive.aggregates.aggregate import Rejected, event_of
from neural_hive.aggregates.vocabulary import TaskType
from tests.grammar import given

SECOND = 1_000_000
T0 = 1_700_000_000 * SECOND
PROFILE = Profile(AgentType.WORKER, ("python", "gpu"), (TaskType.BUILD,), 4)
REGISTERED = AgentRegistered("a", AgentType.WORKER, ("python", "gpu"), (TaskType.BUILD,), 4, T0, "ann")
DEGRADED = AgentHealthChanged("a", Health.HEALTHY, Health.DEGRADED, "")
UNHEALTHY = AgentHealthChanged("a", Health.DEGRADED, Health.UNHEALTHY, "")
REMOVED = AgentRemoved("a", "")


def at(seconds: float) -> int:
    return T0 + int(seconds * SECOND)


def register(seconds: float, **changes: object) -> Register:
    return Register("a", msgspec.structs.replace(PROFILE, **changes), "ann", at(seconds))


def beat(seconds: float, **told: float) -> Beat:
    return Beat(Telemetry(**told), at(seconds))  # type: ignore[arg-type]


def test_an_agent_registers_once() -> None:
    given(AGENT).when(register(0)).then(REGISTERED)
    given(AGENT, REGISTERED).when(register(1)).then_nothing()


def test_what_it_can_do_may_change() -> None:
    given(AGENT, REGISTERED).when(register(1, capacity=8)).then_types(AgentRegistered)
    called = given(AGENT, REGISTERED).when(register(1, webhook_url="https://h/x"))
    called.then_types(AgentRegistered)
    assert called.state.profile.webhook_url == "https://h/x"
    told = given(AGENT, REGISTERED).when(beat(40, success_rate=0.5), register(41, capacity=8))
    assert told.state.telemetry.success_rate == 0.5, "who can do more now does it no worse or better"
    gone = given(AGENT, REGISTERED).when(beat(40, success_rate=0.5), Deregister("", ""), register(41))
    assert gone.state.telemetry.success_rate == 1.0


def test_registering_again_is_a_sign_of_life() -> None:
    given(AGENT, REGISTERED).when(register(40)).then(AgentSeen("a", 1.0, 0.0, 0, at(40)))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"agent_type": AgentType.UNKNOWN}, "agent_type"),
        ({"task_types": (TaskType.UNKNOWN,)}, "task_types"),
        ({"capacity": -1}, "capacity"),
        ({"capacity": 10_001}, "capacity"),
        ({"capabilities": ("a b",)}, "capability"),
        ({"capabilities": ("a",) * 65}, "64 capabilities"),
        ({"webhook_url": "ftp://h"}, "webhook_url"),
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, object], reason: str) -> None:
    given(AGENT).when(register(0, **changes)).then_rejected(reason)


def test_a_heartbeat_is_noted_at_most_every_29_s() -> None:
    given(AGENT, REGISTERED).when(beat(28.9)).then_nothing()
    given(AGENT, REGISTERED).when(beat(29)).then(AgentSeen("a", 1.0, 0.0, 0, at(29)))
    given(AGENT, REGISTERED).when(beat(30), beat(58.9)).then_nothing()


@pytest.mark.parametrize(
    ("told", "notable"),
    [
        ({"load": 0.24}, False),
        ({"load": 0.25}, True),
        ({"success_rate": 0.95}, False),
        ({"success_rate": 0.9}, True),
        ({"latency_ms": 99}, False),
        ({"latency_ms": 100}, True),
    ],
)
def test_a_notable_change_is_noted_sooner(told: dict[str, float], notable: bool) -> None:
    given(AGENT, REGISTERED).when(beat(4.9, **told)).then_nothing()
    assert bool(given(AGENT, REGISTERED).when(beat(5, **told)).events) is notable


@pytest.mark.parametrize("told", [{"load": 1.1}, {"success_rate": float("nan")}, {"latency_ms": -1}])
def test_impossible_telemetry_is_refused(told: dict[str, float]) -> None:
    given(AGENT, REGISTERED).when(beat(60, **told)).then_rejected("success_rate and load")


def test_silence_is_noticed_step_by_step() -> None:
    state, seen = evolve(None, REGISTERED), []
    while due := timers(state).get("silence"):
        (event,) = decide(state, NoticeSilence(due))
        state = evolve(state, event)
        seen.append((due - T0) // SECOND)
    assert seen == [90, 180, 600]
    assert state.presence is Presence.REMOVED


def test_silence_is_never_noticed_early() -> None:
    given(AGENT, REGISTERED).when(NoticeSilence(at(89.9))).then_nothing()
    given(AGENT, REGISTERED).when(beat(60), NoticeSilence(at(149))).then_nothing()


@pytest.mark.parametrize("history", [[DEGRADED], [DEGRADED, UNHEALTHY]])
def test_who_is_heard_again_is_healthy(history: list[AgentHealthChanged]) -> None:
    when = given(AGENT, REGISTERED, *history).when(beat(200))
    when.then_types(AgentSeen, AgentHealthChanged)
    assert when.state.health is Health.HEALTHY
    assert timers(when.state) == {"silence": at(290)}


def test_who_is_gone_must_register_again() -> None:
    gone = given(AGENT, REGISTERED, DEGRADED, UNHEALTHY, REMOVED)
    gone.when(beat(700)).then_rejected("register it again")
    gone.when(register(700)).then_types(AgentRegistered)
    given(AGENT).when(beat(0)).then_rejected("register it first")


def test_deregistering_says_who_and_why_once() -> None:
    leave = Deregister("end of shift", "ann")
    given(AGENT, REGISTERED).when(leave).then(AgentDeregistered("a", "end of shift", "ann"))
    given(AGENT, REGISTERED).when(leave, leave).then_nothing()
    given(AGENT, REGISTERED).when(leave, register(1)).then_types(AgentRegistered)
    given(AGENT).when(leave).then_rejected("no such agent")
    assert timers(given(AGENT, REGISTERED).when(leave).state) == {}


COMMANDS = st.one_of(
    st.builds(register, st.just(0), capacity=st.integers(1, 2)),
    st.builds(beat, st.just(0), load=st.sampled_from([0.0, 0.5]), success_rate=st.sampled_from([0.5, 1.0])),
    st.just(Deregister("done", "ann")),
)


@settings(deadline=None, max_examples=300)
@any_of(st.lists(st.tuples(st.floats(0, 400), COMMANDS), min_size=1, max_size=30))
def test_any_life(steps: list[tuple[float, object]]) -> None:
    """Timers fire when due, as the kernel's do; nothing is noticed early, twice or out of order."""
    state: Agent | None = None
    history = []
    now = T0
    for wait_s, command in steps:
        until = now + int(wait_s * SECOND)
        while state and (due := timers(state).get("silence", until + 1)) <= until:
            events = decide(state, NoticeSilence(due))
            assert len(events) == 1, "a timer that is due changes the state"
            state = evolve(state, events[0])
            history += events
            assert decide(state, NoticeSilence(due)) == [] or timers(state)["silence"] <= due
        now = until
        timed = command if isinstance(command, Deregister) else msgspec.structs.replace(command, now=now)  # type: ignore[type-var]
        try:
            events = decide(state, timed)
        except Rejected:
            assert state is None or state.presence is not Presence.REGISTERED
            continue
        for event in events:
            state = evolve(state, event)
        history += events
        assert decide(state, timed) == [], "a repeat yields nothing"
        if state and state.presence is Presence.REGISTERED:
            assert state.health is Health.HEALTHY or not isinstance(timed, Beat)
            assert timers(state)["silence"] > now
    folded: Agent | None = None
    for event in history:
        stored = msgspec.to_builtins(event)
        folded = evolve(folded, event_of(AGENT, type(event).__name__, stored))  # type: ignore[arg-type]
    assert folded == state
    assert sum(isinstance(event, AgentSeen) for event in history) <= len(steps)
