"""Budgets, SLOs and freezes on the page: of a hundred SLOs, as the calculator writes them."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from neural_hive.connectors.ports import free_port
from tests.page.promises import NASTY, SLOS, put
from tests.page.visitor import Visitor
from tests.system.hive import Hive, eventually


@pytest.fixture(scope="module")
def promised(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A system whose log has SLOs: the page's address, and a key."""
    folder, port = tmp_path_factory.mktemp("budgets"), free_port()
    hive = Hive(folder / "data", api_port=str(port))
    try:
        hive.up()
        put(hive.kafka())
        there = {"n": str(SLOS)}
        eventually(lambda: hive.rows("SELECT toString(uniqExact(slo_id)) AS n FROM slos") == [there], 120)
        eventually(lambda: hive.rows("SELECT 1 AS n FROM budgets WHERE dimension != '' LIMIT 1"), 60)
        yield f"http://127.0.0.1:{port}", (folder / "data" / "api" / "admin.key").read_text().strip()
    finally:
        hive.down()


@pytest.fixture(params=["light", "dark"])
def looker(promised: tuple[str, str], chromium: Any, request: pytest.FixtureRequest) -> Iterator[Visitor]:
    """Somebody who is signed in; afterwards the browser has no complaint. Pictures of the dark end with -dark."""
    yield from _looking(promised, chromium, request.param)


@pytest.fixture
def visitor_of_slos(promised: tuple[str, str], chromium: Any) -> Iterator[Visitor]:
    """The same, by day only."""
    yield from _looking(promised, chromium, "light")


def _looking(promised: tuple[str, str], chromium: Any, scheme: str) -> Iterator[Visitor]:
    url, key = promised
    context = chromium.new_context(viewport={"width": 1400, "height": 1000}, color_scheme=scheme)
    made = Visitor(context, url, os.environ.get("NEURAL_HIVE_SCREENSHOTS", ""))
    made.suffix = "-dark" if scheme == "dark" else ""
    made.sign_in(key)
    made.sees_heading("Overview")
    yield made
    context.close()
    assert made.complaints == []


def row(visitor: Visitor, text: str) -> Any:
    return visitor.page.get_by_role("row").filter(has_text=text).first


def listed(visitor: Visitor) -> Any:
    """The table of budgets: what is frozen stands above it."""
    return visitor.page.locator("table").nth(1)


def test_budgets_are_listed_the_least_left_first(looker: Visitor) -> None:
    looker.go("/budgets")
    looker.sees_heading("Budgets")
    first = listed(looker).locator("tbody tr").first
    first.get_by_text("checkout-deploys").wait_for()
    first.get_by_text("EXHAUSTED").wait_for()
    looker.sees("of 100.0")  # bad events of those that may be
    looker.sees("Left on average")
    frozen = looker.page.locator("table").first
    frozen.get_by_text("service checkout").wait_for()
    frozen.get_by_text("deployments").wait_for()
    frozen.get_by_text("by hand").wait_for()
    looker.picture("budgets")


def test_the_list_is_narrowed(visitor_of_slos: Visitor) -> None:
    visitor = visitor_of_slos
    visitor.go("/budgets?status=HEALTHY")
    visitor.sees("service-000-availability / eu")
    assert row(visitor, "service-000-availability / eu").is_visible()
    assert listed(visitor).get_by_role("link", name="checkout-deploys").count() == 0, "it is exhausted"
    visitor.go("/budgets?service=service-050")
    visitor.sees(f"1 of {SLOS + 2}")
    visitor.go("/budgets")
    visitor.page.get_by_label("In the name").fill("SILENT")
    visitor.sees(f"1 of {SLOS + 2}")
    row(visitor, "silent").get_by_text("nothing yet").wait_for()


def test_an_slo_shows_its_course_windows_and_what_became_of_it(looker: Visitor) -> None:
    looker.go("/budgets")
    listed(looker).get_by_role("link", name="checkout-deploys").click()
    looker.sees_heading("SLO checkout-deploys")
    looker.page.get_by_role("img", name="What is left, as it was believed then").locator("canvas").wait_for()
    looker.page.get_by_role("img", name="Burn rates").locator("canvas").wait_for()
    row(looker, "CRITICAL: 14.4 × here and in 5m").wait_for()
    row(looker, "EXHAUSTED").get_by_text("opened").wait_for()
    looker.picture("slo")
    looker.page.get_by_role("tab", name="Corrections").click()
    row(looker, "probe").get_by_text("+20").wait_for()
    looker.page.get_by_role("tab", name="Freezes").click()
    row(looker, "service checkout").get_by_text("ACTIVE").wait_for()


def test_an_slo_with_several_budgets_shows_one_of_them(visitor_of_slos: Visitor) -> None:
    visitor_of_slos.go("/budgets")
    visitor_of_slos.page.get_by_label("In the name").fill("service-000")
    visitor_of_slos.page.get_by_role("link", name="service-000-availability / us & more").click()
    visitor_of_slos.sees("1 bad of 1,000 events")
    visitor_of_slos.page.get_by_label("Budget of").click()
    visitor_of_slos.page.get_by_role("option", name="eu").click()
    visitor_of_slos.page.wait_for_url("**/slo/service-000-availability?dimension=eu")


def test_one_that_nobody_has_counted_for_and_one_that_is_not_there(visitor_of_slos: Visitor) -> None:
    visitor_of_slos.go("/slo/silent")
    visitor_of_slos.sees("nothing counted yet")
    visitor_of_slos.sees(f"AVAILABILITY of {NASTY}")
    visitor_of_slos.go("/slo/nobody")
    visitor_of_slos.waits_for_alert("There is no such SLO")


def test_what_people_wrote_is_shown_and_never_read(visitor_of_slos: Visitor) -> None:
    visitor_of_slos.go("/budgets")
    visitor_of_slos.page.get_by_role("cell", name=NASTY).first.wait_for()
    visitor_of_slos.go("/slo/checkout-deploys")
    visitor_of_slos.page.get_by_role("tab", name="Corrections").click()
    visitor_of_slos.page.get_by_role("cell", name=NASTY).first.wait_for()
    assert visitor_of_slos.page.locator("img[src=x]").count() == 0


def test_the_overview_and_the_keys_lead_to_what_is_frozen(visitor_of_slos: Visitor) -> None:
    visitor_of_slos.go("/")
    visitor_of_slos.page.get_by_role("cell", name="service checkout").wait_for()
    visitor_of_slos.picture("overview-frozen")
    visitor_of_slos.page.get_by_role("link", name="Frozen now").click()
    visitor_of_slos.sees_heading("Budgets")
    visitor_of_slos.page.keyboard.press("g")
    visitor_of_slos.page.wait_for_timeout(500)
    visitor_of_slos.page.keyboard.press("o")
    visitor_of_slos.sees_heading("Overview")
