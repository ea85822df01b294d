"""A whole system, and somebody with a browser."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from neural_hive.connectors.ports import free_port
from tests.page.visitor import Visitor
from tests.system.hive import Hive

BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")
PLAN: Final = """
plan_id: release
tasks:
  - task_id: build
    task_type: BUILD
    command: [sh, -c, "echo words=2 >> $NEURAL_HIVE_OUTPUTS"]
  - task_id: unit
    task_type: TEST
    dependencies: [build]
    command: ["true"]
  - task_id: scan
    task_type: VALIDATE
    dependencies: [build]
    command: ["true"]
  - task_id: deploy
    task_type: DEPLOY
    dependencies: [unit, scan]
    command: ["false"]
"""


class Shown:
    """What there is to see."""

    def __init__(self, hive: Hive, url: str, key: str) -> None:
        self.hive, self.url, self.key = hive, url, key
        self.workflow_id = ""  # one that has failed, of the plan `release`

    def publish(self, folder: Path, text: str, *more: str) -> None:
        """Publishes a plan."""
        file = folder / "plan.yaml"
        file.write_text(text)
        done = self.hive.run("publish", "plan", str(file), *more)
        assert done.returncode in (0, 1), done.stdout + done.stderr


@pytest.fixture(scope="package")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """A system in which a plan has failed."""
    folder = tmp_path_factory.mktemp("page")
    port = free_port()
    hive = Hive(folder / "data", api_port=str(port))
    try:
        hive.up()
        key = (folder / "data" / "api" / "admin.key").read_text().strip()
        made = Shown(hive, f"http://127.0.0.1:{port}", key)
        made.publish(folder, PLAN, "--wait")
        (row,) = hive.rows("SELECT workflow_id FROM workflows WHERE plan_id = 'release'")
        made.workflow_id = row["workflow_id"]
        yield made
    finally:
        hive.down()


@pytest.fixture(scope="package")
def chromium() -> Iterator[Any]:
    """A browser without a window."""
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip(f"no browser: install Debian's chromium, or one of {', '.join(BROWSERS[1:])}")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visitor(shown: Shown, chromium: Any) -> Iterator[Visitor]:
    """Somebody who is signed in with all roles; afterwards the browser has no complaint."""
    context = chromium.new_context(viewport={"width": 1400, "height": 900})
    made = Visitor(context, shown.url, os.environ.get("NEURAL_HIVE_SCREENSHOTS", ""))
    made.sign_in(shown.key)
    made.sees_heading("Overview")  # or the way there would break off the next one
    yield made
    context.close()
    assert made.complaints == []


@pytest.fixture
def stranger(shown: Shown, chromium: Any) -> Iterator[Visitor]:
    """Somebody who is not signed in."""
    context = chromium.new_context(viewport={"width": 1400, "height": 900})
    yield Visitor(context, shown.url)
    context.close()
