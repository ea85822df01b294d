import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neural_hive.aggregates.decision import service_wanted, validate
from neural_hive.aggregates.fairness import place
from neural_hive.aggregates.incident import Severity
from neural_hive.aggregates.risk import (
    HOUR_MS,
    LEFT_OPEN,
    MINUTE_MS,
    SLA_CLASSES,
    TIMEOUT_MS_MAX,
    priority_score,
    rescored,
    served,
    service_of,
    severity_of,
    share_of,
)
from neural_hive.aggregates.ticketing import tickets_of
from neural_hive.aggregates.vocabulary import Consistency, DeliveryMode, Durability, Priority, RiskBand
from tests.aggregates.making import NOW, decision, task

shares = st.floats(0, 1)


@settings(deadline=None)
@given(st.sampled_from(RiskBand), st.sampled_from(Priority), shares)
def test_is_within_0_and_1(risk: RiskBand, priority: Priority, share: float) -> None:
    assert 0 <= priority_score(risk, priority, share) <= 1


def test_grows_with_each_of_its_parts() -> None:
    risks = [priority_score(risk, Priority.NORMAL, 0.5) for risk in RiskBand]
    priorities = [priority_score(RiskBand.MEDIUM, priority, 0.5) for priority in Priority]
    paths = [priority_score(RiskBand.MEDIUM, Priority.NORMAL, n / 10) for n in range(11)]
    for scores in (risks, priorities, paths):
        assert scores == sorted(set(scores))


def test_is_the_formula_of_its_docstring() -> None:
    assert priority_score(RiskBand.CRITICAL, Priority.CRITICAL, 1.0) == 1.0
    assert priority_score(RiskBand.LOW, Priority.HIGH, 0.5) == pytest.approx(
        0.5 * 0.75 + 0.3 * 0.25 + 0.2 * 0.5
    )


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="critical path share"):
        priority_score(RiskBand.LOW, Priority.LOW, share)


@pytest.mark.parametrize(
    ("risk_band", "priority", "severity"),
    [
        (RiskBand.LOW, Priority.NORMAL, Severity.LOW),
        (RiskBand.MEDIUM, Priority.LOW, Severity.MEDIUM),
        (RiskBand.LOW, Priority.HIGH, Severity.HIGH),
        (RiskBand.CRITICAL, Priority.HIGH, Severity.CRITICAL),
        (RiskBand.UNKNOWN, Priority.UNKNOWN, Severity.LOW),
    ],
)
def test_risk_or_priority_makes_an_incident_severe(
    risk_band: RiskBand, priority: Priority, severity: Severity
) -> None:
    assert severity_of(risk_band, priority) is severity


NONE_SAID = {
    "delivery_mode": DeliveryMode.DERIVED,
    "consistency": Consistency.DERIVED,
    "durability": Durability.DERIVED,
}


@pytest.mark.parametrize(
    ("risk_band", "priority", "delivery_mode", "consistency", "max_retries"),
    [
        (RiskBand.LOW, Priority.LOW, DeliveryMode.AT_LEAST_ONCE, Consistency.EVENTUAL, 2),
        (RiskBand.LOW, Priority.HIGH, DeliveryMode.AT_LEAST_ONCE, Consistency.EVENTUAL, 3),
        (RiskBand.LOW, Priority.CRITICAL, DeliveryMode.AT_LEAST_ONCE, Consistency.EVENTUAL, 4),
        (RiskBand.MEDIUM, Priority.NORMAL, DeliveryMode.AT_LEAST_ONCE, Consistency.STRONG, 0),
        (RiskBand.MEDIUM, Priority.CRITICAL, DeliveryMode.AT_LEAST_ONCE, Consistency.STRONG, 0),
        (RiskBand.HIGH, Priority.NORMAL, DeliveryMode.AT_LEAST_ONCE, Consistency.STRONG, 0),
        (RiskBand.CRITICAL, Priority.NORMAL, DeliveryMode.EXACTLY_ONCE, Consistency.STRONG, 2),
    ],
)
def test_what_a_plan_leaves_open_follows_from_risk_and_priority(
    risk_band: RiskBand,
    priority: Priority,
    delivery_mode: DeliveryMode,
    consistency: Consistency,
    max_retries: int,
) -> None:
    silent = task("a", timeout_ms=LEFT_OPEN, max_retries=LEFT_OPEN)
    plan = decision(silent, risk_band=risk_band, priority=priority, **NONE_SAID)
    assert validate(plan) == []
    (ticket,) = tickets_of(plan, NOW)
    assert (ticket.delivery_mode, ticket.consistency) == (delivery_mode, consistency)
    assert (ticket.durability, ticket.task.max_retries) == (Durability.PERSISTENT, max_retries)
    assert (ticket.task.timeout_ms, ticket.deadline_at) == (10 * MINUTE_MS, NOW + 4 * HOUR_MS * 1_000)


def test_what_a_plan_says_holds() -> None:
    said = task("a", timeout_ms=1, max_retries=9)
    modes = {"delivery_mode": DeliveryMode.AT_MOST_ONCE, "consistency": Consistency.STRONG}
    plan = decision(said, risk_band=RiskBand.LOW, deadline_ms=7, sla_class="long", **modes)
    (ticket,) = tickets_of(plan, NOW)
    assert (ticket.task.timeout_ms, ticket.task.max_retries, ticket.deadline_at) == (1, 9, NOW + 7_000)
    assert (ticket.delivery_mode, ticket.consistency) == (DeliveryMode.AT_MOST_ONCE, Consistency.STRONG)


def test_what_must_be_done_once_is_not_repeated_because_its_risk_is_low() -> None:
    for mode, max_retries in ((DeliveryMode.AT_MOST_ONCE, 0), (DeliveryMode.EXACTLY_ONCE, 2)):
        service = service_of(RiskBand.LOW, Priority.CRITICAL, delivery_mode=mode)
        assert (service.delivery_mode, service.max_retries) == (mode, max_retries)


def test_a_time_limit_is_no_shorter_than_what_was_estimated() -> None:
    service = service_of(RiskBand.LOW, Priority.NORMAL)
    for estimate_ms, timeout_ms in (
        (0, 10 * MINUTE_MS),
        (HOUR_MS, 3 * HOUR_MS),
        (TIMEOUT_MS_MAX, TIMEOUT_MS_MAX),
    ):
        silent = task("a", timeout_ms=LEFT_OPEN, estimated_duration_ms=estimate_ms)
        assert served(silent, service).timeout_ms == timeout_ms


@pytest.mark.parametrize("name", SLA_CLASSES)
def test_a_class_says_deadline_time_limit_and_retries(name: str) -> None:
    silent = task("a", timeout_ms=LEFT_OPEN, max_retries=LEFT_OPEN)
    plan, known = decision(silent, sla_class=name), SLA_CLASSES[name]
    assert validate(plan) == []
    (ticket,) = tickets_of(plan, NOW)
    assert ticket.deadline_at == NOW + known.deadline_ms * 1_000
    assert (ticket.task.timeout_ms, ticket.task.max_retries) == (known.timeout_ms, known.max_retries)
    assert service_wanted(msgspec.structs.replace(plan, deadline_ms=5)).deadline_ms == 5


def test_an_unknown_class_is_refused() -> None:
    reason = "sla_class 'gold' is not known; there are interactive, standard, batch, long"
    assert validate(decision(task("a"), sla_class="gold")) == [reason]


def score(priority: Priority, risk_band: RiskBand = RiskBand.MEDIUM, share: float = 0.5) -> float:
    return priority_score(risk_band, priority, share)


def test_a_step_of_the_priority_doubles_the_share() -> None:
    assert [share_of(score(priority)) for priority in list(Priority)[1:]] == [0.5, 1.0, 2.0, 4.0]
    assert share_of(score(Priority.NORMAL, RiskBand.CRITICAL)) > share_of(score(Priority.NORMAL))
    assert share_of(score(Priority.NORMAL, share=1.0)) > share_of(score(Priority.NORMAL)) > 0


@given(st.sampled_from(RiskBand), st.sampled_from(Priority), st.sampled_from(Priority), shares)
def test_another_priority_changes_the_score_by_itself_only(
    risk: RiskBand, was: Priority, now: Priority, share: float
) -> None:
    assert rescored(priority_score(risk, was, share), was, now) == pytest.approx(
        priority_score(risk, now, share), abs=2e-6
    )


def test_who_waits_long_or_in_a_small_plan_stands_in_front() -> None:
    low, normal, critical = (score(p) for p in (Priority.LOW, Priority.NORMAL, Priority.CRITICAL))
    large = [place(NOW, backlog, normal) for backlog in range(1_000)]
    assert large == sorted(large)
    small = place(NOW + 500_000, 0, low)
    assert sum(at < small for at in large) == 1
    assert place(NOW, 8, critical) == NOW + 2_000_000
    assert place(NOW, 8, low) == NOW + 16_000_000
    assert place(NOW, 999, low) < place(NOW + 3_600_000_000, 0, critical)
