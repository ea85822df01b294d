"""An agent: somebody who does work, as the registry knows it.

Protects: only who is registered is known to live; silence is noticed step by step and never faster than time passes;
who is gone stays gone until it registers again.

Heartbeats are many and say little, so they are noted at most once in the time between two regular ones, or when what
they tell has changed notably. Deadlines count from the last noted heartbeat. The times are those that the registration
names: they stand in the log, so that it reads the same whatever the settings are by then.
"""

import itertools
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final, assert_never

import msgspec

from neural_hive.aggregates.aggregate import Aggregate, Command, Event, Rejected, members
from neural_hive.aggregates.vocabulary import TaskType

HEARTBEAT_EVERY_MS: Final = 30_000
# A regular heartbeat is noted, although it may come a little early; who tells it more often makes no more events.
NOTED_SHARE: Final = (29, 30)  # of the time between heartbeats
# A notable change is noted sooner, but a flickering one must not fill the log.
TOLD_EVERY_MS_MAX: Final = 5_000
TOLD_SHARE: Final = (1, 6)  # of the time between heartbeats
DEGRADED_AFTER_MS: Final = 90_000  # three heartbeats: one or two are lost when a broker is replaced
UNHEALTHY_AFTER_MS: Final = 180_000  # longer than a process takes to start again
REMOVED_AFTER_MS: Final = 600_000  # longer than a machine takes to start again
NOTABLE_RATE: Final = 0.1  # of success rate
NOTABLE_LOAD: Final = 0.25
CAPABILITIES_MAX: Final = 64
CAPACITY_MAX: Final = 10_000
REASON_CHARS_MAX: Final = 4_096
NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
WEBHOOK_CHARS_MAX: Final = 2_048
WEBHOOK: Final = re.compile(
    r"https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?:[/?#][!-~]*)?"
)


class AgentType(StrEnum):
    """What an agent is for."""

    UNKNOWN = "UNKNOWN"
    WORKER = "WORKER"
    SCOUT = "SCOUT"
    GUARD = "GUARD"
    ANALYST = "ANALYST"
    OPTIMIZER = "OPTIMIZER"


class Health(StrEnum):
    """How long an agent has been silent, in steps."""

    UNKNOWN = "UNKNOWN"
    HEALTHY = "HEALTHY"
    DEGRADED = "DEGRADED"
    UNHEALTHY = "UNHEALTHY"


class Silence(msgspec.Struct, frozen=True):
    """How often an agent shall tell that it lives, and what becomes of it after how long a silence."""

    heartbeat_every_ms: int = HEARTBEAT_EVERY_MS
    degraded_after_ms: int = DEGRADED_AFTER_MS
    unhealthy_after_ms: int = UNHEALTHY_AFTER_MS
    removed_after_ms: int = REMOVED_AFTER_MS

    @property
    def noted_every_ms(self) -> int:
        """How old the last noted heartbeat is when the next one is noted."""
        share, whole = NOTED_SHARE
        return self.heartbeat_every_ms * share // whole

    @property
    def told_every_ms(self) -> int:
        """The same, if what it tells has changed notably."""
        share, whole = TOLD_SHARE
        return min(self.heartbeat_every_ms * share // whole, TOLD_EVERY_MS_MAX)


USUAL_SILENCE: Final = Silence()


class Profile(msgspec.Struct, frozen=True):
    """What an agent can do."""

    agent_type: AgentType
    capabilities: tuple[str, ...]
    task_types: tuple[TaskType, ...]
    capacity: int  # tickets at once; 0: none for now
    webhook_url: str = ""  # where it wants to be called about its tickets; empty: it reads the log


class Telemetry(msgspec.Struct, frozen=True):
    """How an agent is doing, as it says itself."""

    success_rate: float = 1.0  # 0 to 1
    load: float = 0.0  # 0 idle, 1 full
    latency_ms: int = 0  # of its work


class Register(Command, frozen=True):
    """Make an agent known. The same again is a sign of life."""

    agent_id: str
    profile: Profile
    requested_by: str
    now: int  # µs
    silence: Silence = USUAL_SILENCE


class Beat(Command, frozen=True):
    """An agent lives."""

    telemetry: Telemetry
    now: int  # µs


class NoticeSilence(Command, frozen=True):
    """An agent has been silent up to now."""

    now: int  # µs


class Deregister(Command, frozen=True):
    """An agent shall not be known any more."""

    reason: str
    requested_by: str


AgentCommand = Register | Beat | NoticeSilence | Deregister


class AgentRegistered(Event, frozen=True):
    """An agent is known, healthy, and can do this from now on."""

    agent_id: str
    agent_type: AgentType
    capabilities: tuple[str, ...]
    task_types: tuple[TaskType, ...]
    capacity: int
    registered_at: int
    requested_by: str
    heartbeat_every_ms: int = HEARTBEAT_EVERY_MS
    degraded_after_ms: int = DEGRADED_AFTER_MS
    unhealthy_after_ms: int = UNHEALTHY_AFTER_MS
    removed_after_ms: int = REMOVED_AFTER_MS
    webhook_url: str = ""


class AgentSeen(Event, frozen=True):
    """An agent lived, and told how it was doing."""

    agent_id: str
    success_rate: float
    load: float
    latency_ms: int
    seen_at: int


class AgentHealthChanged(Event, frozen=True):
    """An agent was silent for too long, or came back."""

    agent_id: str
    from_health: Health
    to_health: Health
    reason: str


class AgentDeregistered(Event, frozen=True):
    """Somebody said that an agent is not known any more."""

    agent_id: str
    reason: str
    requested_by: str


class AgentRemoved(Event, frozen=True):
    """An agent was silent for so long that it is not known any more."""

    agent_id: str
    reason: str


AgentEvent = AgentRegistered | AgentSeen | AgentHealthChanged | AgentDeregistered | AgentRemoved


class Presence(StrEnum):
    """Whether the registry knows an agent."""

    REGISTERED = "REGISTERED"
    DEREGISTERED = "DEREGISTERED"
    REMOVED = "REMOVED"


class Agent(msgspec.Struct, frozen=True):
    """What the events so far make of an agent."""

    agent_id: str
    profile: Profile
    presence: Presence
    health: Health
    seen_at: int  # µs
    telemetry: Telemetry = Telemetry()
    silence: Silence = USUAL_SILENCE


def refusal(agent: Agent | None) -> str:
    """Why nobody gets work from the agent; empty if it takes some."""
    if agent is None:
        return "there is no such agent"
    if agent.presence is not Presence.REGISTERED:
        return f"the agent is {agent.presence}"
    if agent.health is not Health.HEALTHY:
        return f"the agent is {agent.health}"
    return "" if agent.profile.capacity else "the agent takes nothing for now"


def decide(agent: Agent | None, command: AgentCommand) -> list[AgentEvent]:
    """The events that follow from a command. Raises Rejected: it makes no sense, or nobody knows the agent."""
    match command:
        case Register():
            return _register(agent, command)
        case Beat():
            return _beat(_existing(agent), command)
        case NoticeSilence():
            return _silent(_existing(agent), command.now)
        case Deregister():
            return _deregister(_existing(agent), command)
        case _:
            assert_never(command)


def _existing(agent: Agent | None) -> Agent:
    if agent is None:
        raise Rejected("there is no such agent: register it first")
    return agent


def _register(agent: Agent | None, command: Register) -> list[AgentEvent]:
    _check(command.agent_id, command.profile)
    profile, silence = command.profile, command.silence
    if agent is not None and agent.profile == profile and agent.presence is not Presence.DEREGISTERED:
        # By the times that the log has: whether nothing follows must not depend on what the settings are now.
        if _age_ms(agent, command.now) < agent.silence.noted_every_ms:
            return []
        if agent.presence is Presence.REGISTERED and agent.silence == silence:
            return _seen(agent, agent.telemetry, command.now)
    _check_times(silence)
    return [
        AgentRegistered(
            command.agent_id,
            profile.agent_type,
            profile.capabilities,
            profile.task_types,
            profile.capacity,
            command.now,
            command.requested_by[:REASON_CHARS_MAX],
            silence.heartbeat_every_ms,
            silence.degraded_after_ms,
            silence.unhealthy_after_ms,
            silence.removed_after_ms,
            profile.webhook_url,
        )
    ]


def _check_times(silence: Silence) -> None:
    steps = msgspec.structs.astuple(silence)
    if steps[0] < 1 or any(step >= later for step, later in itertools.pairwise(steps)):
        raise Rejected(
            f"each step of silence must come after the one before: heartbeats, then {steps[1:]} ms"
        )


def _check(agent_id: str, profile: Profile) -> None:
    if not NAME.fullmatch(agent_id):
        raise Rejected(f"agent_id must be 1 to 128 letters, digits, dots, - or _, not {agent_id[:140]!r}")
    if profile.agent_type is AgentType.UNKNOWN:
        raise Rejected("agent_type must be one of WORKER, SCOUT, GUARD, ANALYST, OPTIMIZER")
    if TaskType.UNKNOWN in profile.task_types:
        raise Rejected("task_types holds one that this build does not know")
    if not 0 <= profile.capacity <= CAPACITY_MAX:
        raise Rejected(f"capacity must be within 0 to {CAPACITY_MAX:,} tickets, not {profile.capacity}")
    if len(profile.capabilities) > CAPABILITIES_MAX or len(profile.task_types) > len(TaskType):
        raise Rejected(f"an agent can have {CAPABILITIES_MAX} capabilities, and each task type once")
    for capability in profile.capabilities:
        if not NAME.fullmatch(capability):
            raise Rejected(
                f"a capability must be 1 to 128 letters, digits, dots, - or _: {capability[:140]!r}"
            )
    if wrong := webhook_problem(profile.webhook_url):
        raise Rejected(wrong)


def webhook_problem(url: str) -> str:
    """Why nobody could be called there; empty if it is well. An empty URL is: who has none reads the log."""
    if not url:
        return ""
    if len(url) > WEBHOOK_CHARS_MAX or not WEBHOOK.fullmatch(url):
        return (
            f"webhook_url must be http://HOST… or https://HOST… in {WEBHOOK_CHARS_MAX:,} printable ASCII characters "
            f"without blanks and without a user or password before the host, not {url[:140]!r}"
        )
    return ""


def _beat(agent: Agent, command: Beat) -> list[AgentEvent]:
    told = command.telemetry
    # Chained comparisons refuse NaN too.
    if not (0 <= told.success_rate <= 1 and 0 <= told.load <= 1 and told.latency_ms >= 0):
        raise Rejected("success_rate and load must be within 0 to 1, latency_ms not negative")
    # Before anything else: a heartbeat that said nothing new says nothing new later either, when silence was noticed.
    notable, times = _notable(agent.telemetry, told), agent.silence
    if _age_ms(agent, command.now) < (times.told_every_ms if notable else times.noted_every_ms):
        return []
    if agent.presence is not Presence.REGISTERED:
        raise Rejected(f"the agent is {agent.presence}: register it again")
    return _seen(agent, told, command.now)


def _age_ms(agent: Agent, now: int) -> int:
    return (now - agent.seen_at) // 1_000


def _notable(before: Telemetry, told: Telemetry) -> bool:
    slower, faster = max(before.latency_ms, told.latency_ms), min(before.latency_ms, told.latency_ms)
    return (
        round(abs(told.success_rate - before.success_rate), 6) >= NOTABLE_RATE
        or round(abs(told.load - before.load), 6) >= NOTABLE_LOAD
        or (slower >= 2 * faster and slower - faster >= 100)
    )


def _seen(agent: Agent, told: Telemetry, now: int) -> list[AgentEvent]:
    seen = AgentSeen(agent.agent_id, told.success_rate, told.load, told.latency_ms, now)
    if agent.health is Health.HEALTHY:
        return [seen]
    return [seen, AgentHealthChanged(agent.agent_id, agent.health, Health.HEALTHY, "it is heard again")]


def _silent(agent: Agent, now: int) -> list[AgentEvent]:
    if agent.presence is not Presence.REGISTERED or now < _due_at(agent):
        return []
    reason = f"not heard for {_age_ms(agent, now) // 1_000} s"
    match agent.health:
        case Health.HEALTHY:
            return [AgentHealthChanged(agent.agent_id, Health.HEALTHY, Health.DEGRADED, reason)]
        case Health.DEGRADED:
            return [AgentHealthChanged(agent.agent_id, Health.DEGRADED, Health.UNHEALTHY, reason)]
        case _:
            return [AgentRemoved(agent.agent_id, reason)]


def _deregister(agent: Agent, command: Deregister) -> list[AgentEvent]:
    if agent.presence is not Presence.REGISTERED:
        return []
    reason, who = command.reason[:REASON_CHARS_MAX], command.requested_by[:REASON_CHARS_MAX]
    return [AgentDeregistered(agent.agent_id, reason, who)]


def evolve(agent: Agent | None, event: AgentEvent) -> Agent:
    """What an event makes of the agent."""
    if isinstance(event, AgentRegistered):
        profile = Profile(
            event.agent_type, event.capabilities, event.task_types, event.capacity, event.webhook_url
        )
        silence = Silence(
            event.heartbeat_every_ms,
            event.degraded_after_ms,
            event.unhealthy_after_ms,
            event.removed_after_ms,
        )
        return Agent(
            event.agent_id,
            profile,
            Presence.REGISTERED,
            Health.HEALTHY,
            event.registered_at,
            # Who can do something else now does it no worse than before.
            agent.telemetry if agent is not None and agent.presence is Presence.REGISTERED else Telemetry(),
            silence,
        )
    assert agent is not None, "the history of an agent begins with AgentRegistered"
    change = msgspec.structs.replace
    match event:
        case AgentSeen():
            telemetry = Telemetry(event.success_rate, event.load, event.latency_ms)
            return change(agent, seen_at=event.seen_at, telemetry=telemetry)
        case AgentHealthChanged():
            return change(agent, health=event.to_health)
        case AgentDeregistered():
            return change(agent, presence=Presence.DEREGISTERED)
        case AgentRemoved():
            return change(agent, presence=Presence.REMOVED)
        case _:
            assert_never(event)


def _due_at(agent: Agent) -> int:
    times = agent.silence
    after_ms = {Health.HEALTHY: times.degraded_after_ms, Health.DEGRADED: times.unhealthy_after_ms}
    return agent.seen_at + after_ms.get(agent.health, times.removed_after_ms) * 1_000


def timers(agent: Agent) -> Mapping[str, int]:
    """When silence becomes the next step."""
    return {"silence": _due_at(agent)} if agent.presence is Presence.REGISTERED else {}


AGENT = Aggregate("agent", "registry.agents", Agent, members(AgentEvent), decide, evolve, timers)
