"""What is counted of attempts, for each executor."""

from prometheus_client import REGISTRY

from neural_hive.aggregates.vocabulary import Artifact
from neural_hive.connectors.process_executor import Report
from neural_hive.streams.worker import metrics as worker_metrics
from tests.worker.test_starts import now, work_of

EXECUTOR = "an executor of this test alone"
LABELS = {"task_type": "EXECUTE", "executor": EXECUTOR}
SECOND = 1_000_000


def value(name: str, **more: str) -> float | None:
    return REGISTRY.get_sample_value(f"neural_hive_{name}", {**LABELS, **more})


def test_an_attempt_is_counted_from_its_dispatch_to_what_it_left() -> None:
    again = work_of(attempt=2, begun_at=now()).dispatch
    log = Artifact("output.log", "sha256:1", "1", 30)
    made = Artifact("wheel", "sha256:2", "2", 500)
    with worker_metrics.announcing("EXECUTE", EXECUTOR):
        pass
    worker_metrics.began(again, EXECUTOR, now() - 3 * SECOND)
    with worker_metrics.running("EXECUTE", EXECUTOR):
        assert value("attempts_running") == 1
    report = Report("FAILED", 0, 15 * SECOND, -9, {"a": "1"}, (log, made))
    worker_metrics.ended("EXECUTE", EXECUTOR, report, time_limit_s=60)

    assert value("attempts_running") == 0
    assert value("attempts_total", outcome="FAILED") == 1
    assert 3 <= (value("attempt_start_seconds_sum") or 0) < 30
    assert value("attempt_announcement_seconds_count") == 1
    assert value("attempt_seconds_sum") == 15
    assert value("attempt_limit_used_ratio_sum") == 0.25
    assert value("attempt_exits_total", how="signal") == 1
    assert (value("attempts_again_total"), value("attempts_resumed_total")) == (1, 1)
    assert value("attempts_undoing_total") == 0
    assert (value("artifacts_total"), value("artifact_bytes_total")) == (2, 530)
    assert (value("attempt_log_bytes_total"), value("attempt_outputs_total")) == (30, 1)


def test_an_attempt_to_undo_is_no_second_one() -> None:
    undo = work_of(attempt=2, compensates=True).dispatch
    before = value("attempts_again_total") or 0, value("attempts_undoing_total") or 0
    worker_metrics.began(undo, EXECUTOR, now())
    assert (value("attempts_again_total"), value("attempts_undoing_total")) == (before[0], before[1] + 1)
