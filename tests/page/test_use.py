"""What people do at the page: signing in, SQL, asking something of a workflow, writing letters again, verifying."""

import signal
import time
from pathlib import Path

import pytest
from confluent_kafka import Producer

from tests.page.conftest import Shown
from tests.page.visitor import Visitor


def test_who_is_not_known_is_not_let_in(stranger: Visitor, shown: Shown) -> None:
    stranger.sign_in("nhk_wrong", "/workflows")
    stranger.waits_for_alert("key")
    stranger.sign_in(shown.key, "/workflows")
    stranger.sees_heading("Workflows")
    stranger.page.get_by_label("Sign out").click()
    stranger.sees_heading("Sign in")
    stranger.go("/workflows")
    stranger.sees_heading("Sign in")


def test_who_goes_on_at_once_leaves_no_trouble_in_the_log(visitor: Visitor, shown: Shown) -> None:
    for _ in range(3):
        visitor.page.goto(shown.url)
        visitor.page.get_by_label("Menu").wait_for()
    visitor.page.goto("about:blank")
    visitor.page.wait_for_timeout(3_000)  # an answer of the browser is waited for so long
    log = (shown.hive.data / "logs" / "api.log").read_text()
    assert "JavaScript did not respond" not in log


def test_what_a_browser_chose_is_kept_with_the_data(visitor: Visitor, shown: Shown) -> None:
    visitor.page.get_by_label("Light, dark or automatic").click()
    visitor.sees("dark")
    kept = shown.hive.data / "api" / "page"
    visitor.until(lambda: any(kept.glob("storage-user-*.json")))
    assert not Path(".nicegui").exists()  # nothing is written where the system was started


@pytest.mark.parametrize("to", ["//elsewhere.example/", "https://elsewhere.example/", "/\\elsewhere.example"])
def test_signing_in_leads_nowhere_else(stranger: Visitor, shown: Shown, to: str) -> None:
    stranger.sign_in(shown.key, f"/sign-in?to={to}")
    stranger.sees_heading("Overview")


def test_who_only_publishes_may_look_and_not_touch(stranger: Visitor, shown: Shown) -> None:
    done = shown.hive.run("api-key", "add", "pat", "--role", "publisher")
    assert done.returncode == 0, done.stderr
    stranger.sign_in(done.stdout.split()[-1], f"/workflow/{shown.workflow_id}")
    stranger.page.get_by_role("tab", name="Graph").wait_for()
    assert stranger.page.get_by_role("button", name="Cancel").count() == 0
    for path in ("/sql", "/events", "/dead-letters"):
        stranger.go(path)
        stranger.waits_for_alert("role auditor or operator")
    stranger.go("/verification")
    stranger.waits_for_alert("role auditor")


def test_sql_is_answered_drawn_and_saved(visitor: Visitor) -> None:
    visitor.go("/sql")
    visitor.page.locator(".cm-content").click()
    visitor.page.keyboard.press("Control+Enter")
    visitor.page.get_by_role("cell", name="FAILED").wait_for()
    visitor.page.get_by_role("tab", name="Chart").click()
    visitor.page.locator("canvas").wait_for()
    visitor.picture("sql-chart")
    with visitor.page.expect_download() as download:
        visitor.page.get_by_role("button", name="CSV").click()
    assert Path(download.value.path()).read_text().startswith('"status","workflows"')


@pytest.mark.parametrize(
    "sql", ["DROP TABLE events", "SELECT nothing FROM workflows", "SELECT", "SELECT 1 FORMAT CSV"]
)
def test_sql_that_is_refused_says_why_and_does_nothing(visitor: Visitor, shown: Shown, sql: str) -> None:
    visitor.go("/sql")
    visitor.page.locator(".cm-content").click()
    visitor.page.keyboard.press("Control+a")
    visitor.page.keyboard.type(sql)
    visitor.page.get_by_role("button", name="Run").click()
    visitor.page.get_by_role("alert").filter(has_text=" ").first.wait_for()
    assert shown.hive.rows("SELECT count() > 0 AS is_there FROM events") == [{"is_there": True}]


def test_a_workflow_is_paused_and_cancelled(visitor: Visitor, shown: Shown, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    waits = f"while [ ! -e {gate} ]; do sleep 0.1; done"
    shown.publish(tmp_path, f'plan_id: stopped\ntasks: [{{task_id: waits, command: [sh, -c, "{waits}"]}}]')
    try:
        visitor.go("/workflows?plan=stopped")
        visitor.page.get_by_role("row").filter(has_text="RUNNING").get_by_role("link").click()
        for name, state in (("Pause", "PAUSED"), ("Cancel", "CANCELLED")):
            visitor.page.get_by_role("button", name=name, exact=True).click()
            dialog = visitor.page.get_by_role("dialog")
            dialog.get_by_label("Reason").fill("to see it")
            dialog.get_by_role("button", name=name, exact=True).click()
            visitor.page.locator(".q-badge").get_by_text(state).first.wait_for()
    finally:
        gate.touch()


def test_a_dead_letter_is_read_and_written_again(visitor: Visitor, shown: Shown) -> None:
    producer = Producer(shown.hive.kafka())
    producer.produce("orchestration.commands", b"no avro", b"key")
    assert producer.flush(30) == 0
    visitor.go("/dead-letters")
    first = visitor.page.get_by_role("button", name="dead.letters:").first
    letter = visitor.page.get_by_role("button", name=first.inner_text(), exact=True)
    letter.press("Enter")
    visitor.page.get_by_role("dialog").get_by_text("no avro").wait_for()
    visitor.page.get_by_role("button", name="Close").click()
    visitor.page.get_by_role("checkbox").nth(1).click()
    visitor.page.get_by_role("button", name="Write again").click()
    dialog = visitor.page.get_by_role("dialog")
    dialog.get_by_label("Reason").fill("to see it fail again")
    dialog.get_by_role("button", name="Write again").click()
    visitor.sees("Done.")
    (row,) = shown.hive.rows("SELECT reason, requested_by FROM redrives")
    assert row["reason"] == "to see it fail again"
    assert row["requested_by"].startswith("enc:v1:")
    letter.press("Enter")
    visitor.page.get_by_role("dialog").get_by_text("for admin: to see it fail again").wait_for()


def test_all_is_verified(visitor: Visitor) -> None:
    visitor.go("/verification")
    visitor.page.get_by_role("button", name="Verify now").click()
    visitor.sees("All that was looked at holds")
    visitor.sees("hash chain per aggregate")
    visitor.picture("verification")


def test_trouble_is_told_and_passes(stranger: Visitor, shown: Shown) -> None:
    stranger.sign_in(shown.key, "/workflows")
    stranger.sees("release")
    told = stranger.page.get_by_role("alert").filter(has_text="It is asked again.")
    until = time.monotonic() + 120
    while True:  # one that is back in a moment is not missed by anybody
        pid = shown.hive.signal("clickhouse", signal.SIGKILL)
        stranger.page.wait_for_timeout(1_500)
        if told.first.is_visible():
            break
        assert time.monotonic() < until, "nobody is told that ClickHouse is away"
    stranger.sees("release")  # what was seen last stays
    stranger.picture("trouble")
    shown.hive.wait_replaced("clickhouse", pid)
    told.first.wait_for(state="hidden")
