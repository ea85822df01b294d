"""Every view, looked at: what it shows, that it moves by itself, and how it is used with a keyboard."""

from pathlib import Path

import pytest

from tests.page.conftest import Shown
from tests.page.visitor import Visitor

VIEWS = {
    "/": ("Overview", "orchestrator"),
    "/workflows": ("Workflows", "release"),
    "/budgets": ("Budgets", "No SLO is defined yet"),
    "/events": ("Events", "TicketCompleted"),
    "/dead-letters": ("Dead letters", "reason"),
    "/streams": ("Streams and tables", "execution.tickets"),
    "/agents": ("Agents", "local"),
    "/sql": ("SQL", "Run"),
    "/verification": ("Verification", "Verify now"),
}


@pytest.mark.parametrize("path", VIEWS)
def test_a_view_shows_what_it_is_for(visitor: Visitor, path: str) -> None:
    heading, content = VIEWS[path]
    visitor.go(path)
    visitor.sees_heading(heading)
    visitor.sees(content)
    assert visitor.alert() == ""
    visitor.picture(path.strip("/") or "overview")


def test_the_overview_counts_workflows_by_state(visitor: Visitor) -> None:
    visitor.go("/")
    visitor.page.get_by_role("link", name="FAILED").click()
    visitor.sees_heading("Workflows")
    visitor.sees("release")


def test_a_workflow_is_drawn_with_its_tickets_trail_and_causes(visitor: Visitor, shown: Shown) -> None:
    visitor.go(f"/workflow/{shown.workflow_id}")
    visitor.page.locator("svg").get_by_text("✘ deploy").wait_for()
    visitor.page.locator("svg").get_by_text("✔ build").wait_for()
    visitor.picture("workflow")
    visitor.page.get_by_role("tab", name="Tickets").click()
    visitor.page.get_by_role("row").filter(has_text="VALIDATE").get_by_text("COMPLETED").wait_for()
    visitor.page.get_by_role("tab", name="Trail").click()
    visitor.page.get_by_role("row").filter(has_text="WorkflowStarted").wait_for()
    visitor.page.get_by_role("tab", name="Causes").click()
    visitor.page.get_by_role("tree").get_by_text("DecisionConsolidated").first.wait_for()
    visitor.page.get_by_role("tree").get_by_text("TicketFailed").first.wait_for()
    visitor.picture("causes")


def test_the_slider_shows_the_workflow_as_it_was(visitor: Visitor, shown: Shown) -> None:
    visitor.go(f"/workflow/{shown.workflow_id}")
    visitor.page.locator("svg").get_by_text("✘ deploy").wait_for()
    visitor.page.get_by_role("button", name="Moment before").press("Enter")
    visitor.page.locator(".q-card").get_by_text("now", exact=True).wait_for(state="detached")
    visitor.page.get_by_role("button", name="First moment").click()
    visitor.page.locator("svg").get_by_text("✘ deploy").wait_for(state="detached")
    visitor.page.locator(".q-card").get_by_text("WorkflowStarted").wait_for()
    visitor.picture("workflow-as-of")
    visitor.page.get_by_role("button", name="Now").click()
    visitor.page.locator("svg").get_by_text("✘ deploy").wait_for()


def test_arrow_keys_move_the_slider(visitor: Visitor, shown: Shown) -> None:
    visitor.go(f"/workflow/{shown.workflow_id}")
    visitor.page.locator("svg").get_by_text("✘ deploy").wait_for()
    slider = visitor.page.get_by_role("slider", name="Moment")
    visitor.until(lambda: slider.input_value() != "0")
    slider.press("ArrowLeft")
    now = visitor.page.locator(".q-card").get_by_text("now", exact=True)
    now.wait_for(state="detached")
    slider.press("Home")
    visitor.page.locator(".q-card").get_by_text("WorkflowStarted").wait_for()
    visitor.page.locator("svg").get_by_text("✘ deploy").wait_for(state="detached")
    slider.press("End")
    now.wait_for()
    visitor.page.locator("svg").get_by_text("✘ deploy").wait_for()


def test_a_running_workflow_moves_by_itself(visitor: Visitor, shown: Shown, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    waits = f"while [ ! -e {gate} ]; do sleep 0.1; done"
    shown.publish(tmp_path, f'plan_id: gated\ntasks: [{{task_id: waits, command: [sh, -c, "{waits}"]}}]')
    try:
        visitor.go("/workflows?plan=gated")
        visitor.page.get_by_role("row").filter(has_text="RUNNING").get_by_role("link").click()
        visitor.page.locator("svg").get_by_text("▶ waits").wait_for()
    finally:
        gate.touch()
    visitor.page.locator("svg").get_by_text("✔ waits").wait_for()
    visitor.page.locator(".q-badge").get_by_text("COMPLETED").first.wait_for()


def test_an_unknown_workflow_is_told(visitor: Visitor) -> None:
    visitor.go("/workflow/nobody")
    visitor.waits_for_alert("There is no such workflow")


def test_events_are_narrowed_and_shown_whole(visitor: Visitor) -> None:
    visitor.go("/events?type=WorkflowFailed")
    visitor.sees("WorkflowFailed")
    assert visitor.page.get_by_role("row").filter(has_text="TicketCompleted").count() == 0
    visitor.page.get_by_role("button", name="WorkflowFailed").first.press("Enter")
    visitor.page.get_by_role("dialog").get_by_text("prev hash").wait_for()
    visitor.picture("event")
    visitor.page.keyboard.press("Escape")


def test_keys_lead_from_view_to_view(visitor: Visitor) -> None:
    visitor.go("/")
    visitor.sees("orchestrator")  # alive
    visitor.page.keyboard.press("g")
    visitor.page.wait_for_timeout(500)
    visitor.page.keyboard.press("w")
    visitor.sees_heading("Workflows")


def test_dark_is_kept(visitor: Visitor) -> None:
    visitor.go("/")
    visitor.page.get_by_label("Light, dark or automatic").click()
    visitor.page.locator("body.body--dark").wait_for()
    visitor.go("/streams")
    visitor.page.locator("body.body--dark").wait_for()
    visitor.picture("dark")
