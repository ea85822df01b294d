import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neural_hive.aggregates.risk import priority_score
from neural_hive.aggregates.vocabulary import Priority, RiskBand

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
