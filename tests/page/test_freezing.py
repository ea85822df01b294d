"""Freezing by hand on the page: a deployment is held while it lasts, is shown as held, and goes on behind its end."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from neural_hive.connectors.ports import free_port
from tests.page.visitor import Visitor
from tests.system.hive import Hive, eventually

SYSTEMS = '["orchestrator", "registry", "operations", "privacy", "sla"]'
POLICY = """
kind: FreezePolicy
policy_id: launch
name: Nothing is deployed on launch day
scope: SERVICE
subject: checkout
actions: [BLOCK_DEPLOY]
trigger_percent: 0
unfreeze_percent: 0
"""
PLAN = """
plan_id: checkout
tasks:
  - task_id: deploy
    task_type: DEPLOY
    parameters: {service: checkout}
    command: ["true"]
"""


class Frozen:
    """A system with a policy."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.folder = folder
        self.hive = Hive(folder / "data", api_port=str(port), systems=SYSTEMS)
        self.url = f"http://127.0.0.1:{port}"

    def does(self, *arguments: str) -> str:
        """Runs a command that must succeed."""
        done = self.hive.run(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def written(self, name: str, text: str) -> str:
        """The path of a file with a text."""
        (self.folder / name).write_text(text)
        return str(self.folder / name)

    @property
    def admin(self) -> str:
        """The key of somebody with all roles."""
        return (self.folder / "data" / "api" / "admin.key").read_text().strip()


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Frozen]:
    made = Frozen(tmp_path_factory.mktemp("freezing"))
    try:
        made.hive.up()
        made.does("slo", "apply", made.written("policy.yaml", POLICY), "--reason", "agreed")
        yield made
    finally:
        made.hive.down()


@pytest.fixture
def visitor(frozen: Frozen, chromium: Any) -> Iterator[Visitor]:
    """Somebody's browser; afterwards it has no complaint."""
    context = chromium.new_context(viewport={"width": 1400, "height": 1000})
    made = Visitor(context, frozen.url, os.environ.get("NEURAL_HIVE_SCREENSHOTS", ""))
    yield made
    context.close()
    assert made.complaints == []


def decide(visitor: Visitor, button: str, verb: str) -> None:
    visitor.page.get_by_role("button", name=button).click()
    dialog = visitor.page.get_by_role("dialog")
    dialog.get_by_role("button", name=verb, exact=True).click()
    visitor.sees("It needs a reason")
    dialog.get_by_label("Reason").fill("to see it")
    dialog.get_by_role("button", name=verb, exact=True).click()
    visitor.sees("Done.")


def test_a_person_freezes_and_what_is_held_is_shown_until_the_freeze_is_ended(
    frozen: Frozen, visitor: Visitor
) -> None:
    visitor.sign_in(frozen.admin, "/budgets")
    visitor.sees_heading("Budgets")
    decide(visitor, "Freeze service checkout", "Freeze")
    table = visitor.page.locator("table").first
    table.get_by_role("cell", name="by hand").wait_for()
    frozen.does("publish", "plan", frozen.written("plan.yaml", PLAN))
    table.get_by_role("row").filter(has_text="launch").get_by_role("cell", name="1", exact=True).wait_for()
    visitor.picture("freezing")
    (held,) = frozen.hive.rows("SELECT status, held_by.policy_id AS by FROM tickets")
    assert (held["status"], held["by"]) == ("READY", ["launch"])
    decide(visitor, "End freeze of service checkout", "End")
    ended = "SELECT status FROM workflows WHERE plan_id = 'checkout' AND status = 'COMPLETED'"
    eventually(lambda: frozen.hive.rows(ended), 60)
    table.get_by_role("cell", name="by hand").wait_for(state="hidden")
    (over,) = frozen.hive.rows("SELECT status, reason, requested_by FROM freezes")
    assert (over["status"], over["reason"]) == ("RESOLVED", "to see it")
    assert over["requested_by"].startswith("enc:v1:"), "who it was, is encrypted"


def test_who_may_only_publish_decides_nothing(frozen: Frozen, visitor: Visitor) -> None:
    key = frozen.does("api-key", "add", "pat", "--role", "publisher").split()[-1]
    visitor.sign_in(key, "/budgets")
    visitor.page.get_by_role("cell", name="launch", exact=True).wait_for()
    assert visitor.page.get_by_role("button", name="Freeze").count() == 0
