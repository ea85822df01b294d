"""How long agents may be silent is set, and each registration takes it into the log."""

import msgspec
import pytest

from neural_hive.aggregates.agent import (
    AGENT,
    AgentRegistered,
    AgentSeen,
    AgentType,
    Profile,
    Register,
    Silence,
)
from neural_hive.aggregates.aggregate import event_of
from neural_hive.settings import BadSettings, load_settings
from neural_hive.streams.registry.messages import RegisterAgent
from neural_hive.streams.systems import SYSTEMS
from tests.grammar import given
from tests.registry.kernel_unit import KernelUnit

SECOND = 1_000_000
T0 = 1_700_000_000 * SECOND
PROFILE = Profile(AgentType.WORKER, (), (), 1)
OLD, NEW = Silence(), Silence(10_000, 20_000, 30_000, 40_000)


def register(seconds: float, silence: Silence) -> Register:
    return Register("a", PROFILE, "ann", T0 + int(seconds * SECOND), silence)


def test_the_settings_reach_the_log() -> None:
    times = {"heartbeat": 1, "degraded": 2.5, "unhealthy": 4, "removed": 5}
    settings = load_settings(running=False, **{f"agent_{name}_s": time_s for name, time_s in times.items()})
    unit = KernelUnit(SYSTEMS["registry"](settings))
    (registered,) = unit.handle(RegisterAgent("a", AgentType.WORKER, (), (), 1))
    unit.close()
    assert registered.heartbeat_every_ms == 1_000
    assert (registered.degraded_after_ms, registered.unhealthy_after_ms) == (2_500, 4_000)
    assert registered.removed_after_ms == 5_000


def test_steps_in_another_order_are_refused_and_named() -> None:
    with pytest.raises(
        BadSettings, match=r"^agent_unhealthy_s \(50 s\) must be longer than agent_degraded_s"
    ):
        load_settings(running=False, agent_unhealthy_s=50)
    given(AGENT).when(register(0, Silence(10, 5, 6, 7))).then_rejected("must come after the one before")


def test_a_registration_with_other_times_is_noted_when_a_heartbeat_would_be() -> None:
    """Before that nothing follows, whatever the settings are: so it does in replay, with the settings of then."""
    first = given(AGENT).when(register(0, OLD)).events
    given(AGENT, *first).when(register(28, NEW)).then_nothing()
    given(AGENT, *first).when(register(30, OLD)).then_types(AgentSeen)
    changed = given(AGENT, *first).when(register(30, NEW))
    changed.then_types(AgentRegistered)
    assert changed.state.silence == NEW
    assert AGENT.timers(changed.state) == {"silence": T0 + 50 * SECOND}


def test_registrations_from_before_have_the_usual_times() -> None:
    (registered,) = given(AGENT).when(register(0, NEW)).events
    payload = msgspec.to_builtins(registered)
    old = {name: value for name, value in payload.items() if not name.endswith("_ms")}
    assert AGENT.evolve(None, event_of(AGENT, "AgentRegistered", old)).silence == OLD
