"""SLOs that are counted while the system is killed, and freezes that come and go: by a budget, and by hand."""

import threading
import time
import uuid
from collections.abc import Callable
from typing import Any, Final

import msgspec

from neural_hive.aggregates.budget import budget_id_of
from neural_hive.aggregates.freeze import BY_HAND, freeze_id_of
from neural_hive.aggregates.freeze_policy import Action, Policy, Scope
from neural_hive.aggregates.sli_source import Source
from neural_hive.aggregates.slo import Definition, Indicator, SloType
from neural_hive.following import Unreachable
from neural_hive.sdk.breaker import CircuitOpen
from neural_hive.sdk.sender import Sender
from neural_hive.streams.freezes_view import FREEZES
from neural_hive.streams.kernel.broadcast import Broadcast
from neural_hive.streams.sla.messages import (
    COMMANDS,
    DefineFreezePolicy,
    DefineSlo,
    FreezeByHand,
    RemoveFreezePolicy,
    ResolveFreeze,
)
from neural_hive.streams.sla.view import POLICIES, SLOS
from tests.chaos.load import SERVICES

ALL: Final = "all-tickets"  # the SLO of which every attempt counts, by its kind
BAD: Final = (
    "bad-deploys"  # the one of which no event is good: it freezes its service as soon as it is looked at
)
CAREFUL: Final = "careful"  # the policy that it freezes by
LAUNCH: Final = "launch"  # the policy by which people freeze
FROZEN_BY_BUDGET, FROZEN_BY_HAND = SERVICES
FROZEN_S: Final = 30.0
_PAUSE_S: Final = 20.0
_SAID_AGAIN_S: Final = 10.0
_LOOK_EVERY_S: Final = 0.2
_GIVE_UP_S: Final = 300.0
_DEPLOYS: Final = f"task_type = 'DEPLOY' AND service = '{FROZEN_BY_BUDGET}'"
_SLOS: Final = (
    (ALL, Indicator(Source.TICKETS, "status = 'COMPLETED'", group_by="task_type")),
    (BAD, Indicator(Source.TICKETS, "status = 'FAILED'", _DEPLOYS)),
)
CAREFUL_FREEZE: Final = freeze_id_of(CAREFUL, budget_id_of(BAD, 1))
LAUNCH_FREEZE: Final = freeze_id_of(LAUNCH, BY_HAND)


def _slo(slo_id: str, indicator: Indicator) -> DefineSlo:
    service = FROZEN_BY_BUDGET if slo_id == BAD else "hive"
    return DefineSlo(
        slo_id, Definition(slo_id, slo_id, SloType.AVAILABILITY, service, 0.99, indicator), reason="chaos"
    )


def _policy(policy_id: str, service: str) -> DefineFreezePolicy:
    policy = Policy(policy_id, policy_id, Scope.SERVICE, service, (Action.BLOCK_DEPLOY,), 10.0, 50.0)
    return DefineFreezePolicy(policy_id, policy, reason="chaos")


class Freezing:
    """Who defines, freezes and lets go; and what the log shows of it."""

    def __init__(self, kafka: dict[str, Any], partitions: int, tell: Callable[[str], None]) -> None:
        self.problems: list[str] = []
        self._tell = tell
        self._sender = Sender(kafka, "chaos")
        self._slos, self._policies, self._freezes = (
            Broadcast(kafka, SLOS, partitions),
            Broadcast(kafka, POLICIES, partitions),
            Broadcast(kafka, FREEZES, partitions),
        )
        self._views: tuple[Broadcast[Any], ...] = (self._slos, self._policies, self._freezes)
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._guarded, args=(what,), name=what.__name__, daemon=True)
            for what in (self._by_budget, self._by_hand)
        ]

    def start(self) -> None:
        """Defines all, and begins."""
        for view in self._views:
            view.start()
        for slo_id, indicator in _SLOS:
            self._say(
                slo_id, _slo(slo_id, indicator), lambda name=slo_id: name in self._slos.snapshot().value
            )
        for name, service in ((CAREFUL, FROZEN_BY_BUDGET), (LAUNCH, FROZEN_BY_HAND)):
            self._say(name, _policy(name, service), lambda name=name: self._is_defined(name))
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends when nothing is frozen any more."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        for view in self._views:
            view.stop()

    def _guarded(self, what: Callable[[], None]) -> None:
        try:
            what()
        except TimeoutError as error:
            self.problems.append(str(error))

    def _by_budget(self) -> None:
        """Once: it is looked at a minute after the first events, and what it froze is let go without its policy."""
        self._wait(
            lambda: self._is_frozen(CAREFUL_FREEZE), "a budget without a good event has frozen nothing"
        )
        time.sleep(FROZEN_S)
        self._say(CAREFUL, RemoveFreezePolicy(CAREFUL, reason="chaos"), lambda: not self._is_defined(CAREFUL))
        self._wait(lambda: not self._is_frozen(CAREFUL_FREEZE), "what a removed policy froze is frozen still")
        self._tell("what a budget had frozen is let go")

    def _by_hand(self) -> None:
        while not self._stopping.wait(_PAUSE_S):
            self._say(LAUNCH, FreezeByHand(LAUNCH, "chaos"), lambda: self._is_frozen(LAUNCH_FREEZE))
            time.sleep(FROZEN_S)
            resolve = ResolveFreeze(LAUNCH_FREEZE, LAUNCH, "chaos")
            self._say(LAUNCH, resolve, lambda: not self._is_frozen(LAUNCH_FREEZE))
            self._tell("frozen by hand, and let go")

    def _is_defined(self, policy_id: str) -> bool:
        return policy_id in self._policies.snapshot().value

    def _is_frozen(self, freeze_id: str) -> bool:
        return freeze_id in self._freezes.snapshot().value

    def _say(self, routing_id: str, content: msgspec.Struct, is_seen: Callable[[], bool]) -> None:
        """Says it until the log shows it: brokers are killed meanwhile. Repeats have the same id."""
        message_id, until = str(uuid.uuid4()), time.monotonic() + _GIVE_UP_S
        while time.monotonic() < until:
            try:
                self._sender.send(COMMANDS, content, message_id, routing_id)
            except (Unreachable, CircuitOpen):
                time.sleep(1)
                continue
            again = time.monotonic() + _SAID_AGAIN_S
            while time.monotonic() < again:
                if is_seen():
                    return
                time.sleep(_LOOK_EVERY_S)
        raise TimeoutError(f"{content} was not obeyed in {_GIVE_UP_S:g} s")

    def _wait(self, is_seen: Callable[[], bool], problem: str) -> None:
        until = time.monotonic() + _GIVE_UP_S
        while not is_seen():
            if time.monotonic() > until:
                raise TimeoutError(f"{problem} after {_GIVE_UP_S:g} s")
            time.sleep(_LOOK_EVERY_S)
