"""What the page is made of, without a browser."""

from asyncio import run
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from neural_hive.api.auth import Authenticator, Grant, Identity, Unauthenticated
from neural_hive.page import sessions
from neural_hive.page.console import Answer, cleaned
from neural_hive.page.drawing import TASKS_MAX, flowchart
from neural_hive.page.sessions import Sessions
from neural_hive.page.views.sql import drawn
from neural_hive.page.workflow_reads import Link, tree
from neural_hive.sdk.views import TicketInfo

T0 = datetime(2026, 5, 4, tzinfo=UTC)


class Keys:
    """Knows bearers that begin with k."""

    asks_elsewhere = False

    def __init__(self) -> None:
        self.removed: set[str] = set()

    def knows(self, bearer: str) -> bool:
        return True

    def identity(self, bearer: str) -> Identity:
        if not bearer.startswith("k") or bearer in self.removed:
            raise Unauthenticated("unknown")
        grant = Grant("t", "w", 1, "a", frozenset({"read"})) if bearer == "kt" else None
        return Identity(bearer, grant=grant)


def test_a_session_ends_with_its_key_its_idleness_and_by_signing_out() -> None:
    keys, now = Keys(), [0.0]
    known = Sessions(Authenticator(keys), lambda: now[0])
    assert run(known.sign_in("b", "k1")).name == "k1"
    assert run(known.identity("b")).name == "k1"
    with pytest.raises(Unauthenticated):
        run(known.identity("another browser"))
    now[0] = sessions.IDLE_MAX_S + 1
    with pytest.raises(Unauthenticated):
        run(known.identity("b"))
    run(known.sign_in("b", "k1"))
    known.sign_out("b")
    with pytest.raises(Unauthenticated):
        run(known.identity("b"))
    run(known.sign_in("b", "k1"))
    keys.removed.add("k1")
    with pytest.raises(Unauthenticated):
        run(known.identity("b"))
    keys.removed.clear()
    with pytest.raises(Unauthenticated):  # a key that comes back opens no old session
        run(known.identity("b"))


def test_a_tickets_token_opens_no_page() -> None:
    with pytest.raises(Unauthenticated, match="ticket"):
        run(Sessions(Authenticator(Keys())).sign_in("b", "kt"))


def test_sessions_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "SESSIONS_MAX", 2)
    now = [0.0]
    known = Sessions(Authenticator(Keys()), lambda: now[0])
    for browser in ("a", "b", "c"):
        now[0] += 1
        run(known.sign_in(browser, "k1"))
    with pytest.raises(Unauthenticated):
        run(known.identity("a"))
    assert run(known.identity("c")).name == "k1"


def ticket(task_id: str, status: str = "COMPLETED", *dependencies: str) -> TicketInfo:
    return TicketInfo(f"t-{task_id}", "w", task_id=task_id, status=status, dependencies=dependencies)


def test_a_task_id_is_shown_and_never_read_as_a_graph() -> None:
    text = flowchart([ticket('a"] --> x["<b>')])
    assert "-->" not in text
    assert "<" not in text


def test_a_graph_has_an_edge_for_each_dependency_that_is_drawn() -> None:
    many = [ticket(f"n{i}", "PENDING", *([f"n{i - 1}"] if i else [])) for i in range(TASKS_MAX + 5)]
    text = flowchart(many)
    assert text.count("-->") == TASKS_MAX - 1
    assert f'"· n{TASKS_MAX - 1}"' in text
    assert f"n{TASKS_MAX}" not in text


def link(id_: str, cause: str, ms: int) -> Link:
    return Link(id_, f"Type{id_}", cause, T0 + timedelta(milliseconds=ms), f"t:0:{ms}")


def labels(nodes: list[dict[str, Any]]) -> list[Any]:
    return [(node["label"], labels(node["children"])) for node in nodes]


def test_causes_hang_below_what_caused_them() -> None:
    found = tree(
        (link("3", "2", 9), link("2", "1", 4), link("1", "", 0), link("1", "", 0), link("5", "gone", 1))
    )
    assert labels(found) == [
        ("Type1  t:0:0", [("Type2  +4 ms  t:0:4", [("Type3  +5 ms  t:0:9", [])])]),
        ("Type5  t:0:1", []),
    ]


def test_a_circle_of_causes_ends() -> None:
    found = tree((link("1", "2", 0), link("2", "1", 1), link("3", "3", 2)))
    shown = str(labels(found))
    assert all(shown.count(f"Type{n} ") == 1 for n in (1, 2, 3))


def test_a_chart_draws_numbers_and_leaves_gaps() -> None:
    answer = Answer(("a", "n"), ("String", "Nullable(UInt64)"), (("x", "1"), ("y", None)), False, 0.0)
    assert not answer.is_number(0)
    assert answer.is_number(1)
    chart = drawn(answer, "bar", 0, 1)
    assert chart["xAxis"]["data"] == ["x", "y"]
    assert chart["series"][0]["data"] == [1.0, None]


def test_what_people_put_behind_a_statement_is_taken_away() -> None:
    assert cleaned(" SELECT 1 ;; \n") == "SELECT 1"
