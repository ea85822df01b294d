"""What is counted of the orchestrator's searches for agents."""

from prometheus_client import REGISTRY

from neural_hive.streams.matching_metrics import CLIENT, ORCHESTRATOR
from tests.aggregates.making import decision, task
from tests.orchestrator.pair import Pair
from tests.orchestrator.running import Run

SEARCHES = (
    "discovery_requests_total",
    "discovery_duration_seconds_count",
    "matching_candidates_evaluated_count",
    "agents_matched_count",
)


def value(name: str, asked_by: str = ORCHESTRATOR, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, {"asked_by": asked_by, **labels}) or 0.0


def test_each_search_is_counted_with_what_it_found() -> None:
    pair = Pair("a", 2)
    pair.register("b", 1)
    before = {name: value(name) for name in SEARCHES}
    looked_at, found = value("matching_candidates_evaluated_sum"), value("agents_matched_sum")
    by_clients = value(SEARCHES[0], CLIENT)
    Run(decision(task("t1"), task("t2")), pair=pair).publish()  # both need the same: one search
    assert {name: value(name) - before[name] for name in SEARCHES} == dict.fromkeys(SEARCHES, 1.0)
    assert value("matching_candidates_evaluated_sum") - looked_at == 2
    assert value("agents_matched_sum") - found == 2
    assert value(SEARCHES[0], CLIENT) == by_clients


def test_that_nobody_can_do_the_work_is_counted() -> None:
    nobody = value("agents_matched_bucket", le="0.0")
    run = Run(decision(task("t1", required_capabilities=("that-nobody-has",))), pair=Pair("a", 2))
    run.publish()
    assert value("agents_matched_bucket", le="0.0") > nobody
    assert run.workflow.stranded_since > 0
