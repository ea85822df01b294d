"""The second act: a plan fails in the middle; what it had done is undone, the last first."""

from pathlib import Path
from typing import Final

from neural_hive.aggregates.decision import DecisionConsolidated
from neural_hive.demo.scene import Scene, plan_with, statuses
from neural_hive.demo.system import DemoFailed

EXPECTED: Final = {"upload": "COMPENSATED", "switch": "COMPENSATED", "probe": "FAILED", "tidy": "CANCELLED"}
EXPECTED_ATTEMPTS: Final = (
    ("upload", 1, "COMPLETED"),
    ("switch", 1, "COMPLETED"),
    ("probe", 1, "FAILED"),
    ("probe", 2, "FAILED"),
    ("probe", 3, "FAILED"),
    ("switch", 2, "COMPENSATED"),
    ("upload", 2, "COMPENSATED"),
)
_ATTEMPTS: Final = """\
FROM results AS r JOIN tickets AS t USING (ticket_id)
WHERE r.workflow_id = {w:String} AND r.attempt > 0 ORDER BY r.completed_at"""
ORDER_SQL: Final = f"SELECT t.task_id AS task_id, r.attempt AS attempt, r.outcome AS outcome {_ATTEMPTS}"
ATTEMPTS_SQL: Final = f"""\
SELECT t.task_id AS task, r.attempt AS attempt, formatDateTime(r.started_at, '%H:%i:%S') AS began,
       r.duration_ms AS took_ms, r.outcome AS outcome,
       splitByChar('\\n', ifNull(r.error, ''))[-1] AS last_words
{_ATTEMPTS}"""
INCIDENTS_SQL: Final = "SELECT severity, kind, status FROM incidents WHERE workflow_id = {w:String}"
EXPECTED_INCIDENT: Final = {"severity": "HIGH", "kind": "WORKFLOW_FAILED", "status": "OPEN"}


def rollout(scene: Scene) -> None:
    """Publishes the plan, and checks that it failed and left nothing behind. Raises DemoFailed."""
    site = scene.folder / "site"
    make_site(site)
    scene.title("A plan fails in the middle, and what it did is undone")
    view = scene.follow(rollout_plan(site))
    if view.status != "FAILED" or statuses(view) != EXPECTED:
        raise DemoFailed(f"the workflow is {view.status} with {statuses(view)}, expected: {EXPECTED}")
    expected = [{"task_id": task, "attempt": n, "outcome": outcome} for task, n, outcome in EXPECTED_ATTEMPTS]
    scene.wait_for_tables(ORDER_SQL, view, expected)
    scene.show("query", ATTEMPTS_SQL, "--param", f"w={view.workflow_id}")
    scene.checked("probe was tried three times, after 1 and after 2 seconds; switch was undone before upload")
    scene.wait_for_tables(INCIDENTS_SQL, view, [EXPECTED_INCIDENT])
    scene.show("query", INCIDENTS_SQL, "--param", f"w={view.workflow_id}")
    check_site(site)
    scene.checked("the site is version 1 again, and nothing is left of version 2")


def rollout_plan(site: Path) -> DecisionConsolidated:
    """The plan, with the place of its site."""
    return plan_with("rollout.yaml", environment={"SITE": str(site)})


def make_site(site: Path) -> None:
    """The site as it was before: version 1 is live."""
    (site / "1").mkdir(parents=True, exist_ok=True)
    (site / "1" / "index.html").write_text("one\n")
    (site / "1" / "style.css").write_text("body {}\n")
    if not (site / "live").is_symlink():
        (site / "live").symlink_to("1")


def check_site(site: Path) -> None:
    """Raises DemoFailed: it is not as it was before."""
    found = sorted(path.name for path in site.iterdir())
    live = (site / "live" / "index.html").read_text().strip()
    if found != ["1", "live"] or live != "one":
        raise DemoFailed(f"the site has {found} and shows {live!r}: the plan was not undone")
