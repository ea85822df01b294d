"""A hundred SLOs, as the calculator writes them into the log: its clock is our own, and two days take a moment."""

import time
from typing import Any, Final

import msgspec
from confluent_kafka import Producer

from neural_hive.aggregates.budget import AdjustmentKind, Counted, minute_of
from neural_hive.aggregates.freeze_policy import Action, Policy, Scope
from neural_hive.aggregates.sla_window import HOUR, MINUTE
from neural_hive.aggregates.sli_source import Source
from neural_hive.aggregates.slo import Definition, Indicator, SloType
from neural_hive.streams.sla.messages import (
    AdjustBudget,
    CountSli,
    DefineFreezePolicy,
    DefineSlo,
    FreezeByHand,
)
from neural_hive.streams.sla.system import build
from tests.sla.kernel_unit import SlaUnit

SLOS: Final = 100
HOURS: Final = 36
NASTY: Final = "<img src=x onerror=\"throw 'read'\">{{ 7 * 7 }}"  # what is shown, and never read
_INDICATOR: Final = Indicator(Source.TICKETS, "status = 'COMPLETED'")


def definition(slo_id: str, service: str, **more: Any) -> Definition:
    """An SLO of a service."""
    return Definition(
        slo_id, f"Work of {service}", SloType.AVAILABILITY, service, 0.99, _INDICATOR, window_days=2, **more
    )


def log_of_calculator() -> list[tuple[str, bytes, bytes]]:
    """Topic, key and bytes of its events, in order."""
    unit = SlaUnit(build())
    unit.now = (time.time_ns() // 1_000) // HOUR * HOUR - HOURS * HOUR
    _promise(unit)
    for hour in range(HOURS):
        _count(unit, "checkout-deploys", *_course(hour))
        if hour == 20:
            _correct(unit)
        unit.pass_time(3_600)
    _others(unit)
    unit.pass_time(130)
    found = [(output.topic, output.key, output.value) for output in unit.log]
    unit.close()
    return found


def put(kafka: dict[str, Any]) -> None:
    """Writes them into the log, in the place of a calculator."""
    producer = Producer({**kafka, "enable.idempotence": True})
    for topic, key, value in log_of_calculator():
        producer.produce(topic, value, key, partition=0)
        producer.poll(0)
    assert producer.flush(60) == 0


def _promise(unit: SlaUnit) -> None:
    unit.handle(DefineSlo("checkout-deploys", definition("checkout-deploys", "checkout")))
    for policy in (
        Policy(
            "checkout", "No deploys without budget", Scope.SERVICE, "checkout", (Action.BLOCK_DEPLOY,), 10, 25
        ),
        Policy("night", "Nobody deploys at night", Scope.GLOBAL, "", (Action.ALERT_ONLY,), 0, 0),
        Policy("off", NASTY, Scope.NAMESPACE, "shop", (Action.BLOCK_SCALE,), 5, 20, enabled=False),
    ):
        unit.handle(DefineFreezePolicy(policy.policy_id, policy))


def _course(hour: int) -> tuple[int, int]:
    """Good and valid events of an hour: an outage at 8, a slow leak later."""
    bad = 25 if hour == 8 else 60 if hour == 18 else 1 if hour < 20 else 7
    return 300 - bad, 300


def _count(unit: SlaUnit, slo_id: str, good: int, valid: int, **more: Any) -> None:
    unit.handle(CountSli(slo_id, 1, (Counted(minute_of(unit.now), good, valid),), "t:0:1", **more))


def _correct(unit: SlaUnit) -> None:
    minute = minute_of(unit.now) - 2 * HOUR
    found = AdjustBudget(
        "checkout-deploys", "probe", AdjustmentKind.CORRECT, minute, minute + MINUTE, NASTY, good=20
    )
    unit.handle(found)


def _others(unit: SlaUnit) -> None:
    unit.handle(FreezeByHand("night", NASTY))
    for number in range(SLOS - 2):
        slo_id = f"service-{number:03d}-availability"
        unit.handle(DefineSlo(slo_id, definition(slo_id, f"service-{number:03d}")))
        _count(unit, slo_id, 10_000 - number * number // 100, 10_000)
    silent = msgspec.structs.replace(definition("silent", NASTY), name=NASTY)
    unit.handle(DefineSlo("silent", silent))
    for region in ("eu", "us & more"):
        _count(unit, "service-000-availability", 999, 1_000, dimension=region)
