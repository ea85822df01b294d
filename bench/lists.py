"""How long pages of lists and the overview take with 100,000 workflows of five tasks behind them.

The tables are filled by the sink with events as the systems encode them (bench/filled_tables.py); no broker runs. Every
question is what terminal, API and page ask, through the client that they use; each is asked once before it counts.
"""

import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from bench.archive import clickhouse
from bench.figures import Figures, Series, in_turn
from bench.filled_tables import Filled
from bench.orchestration import Tell
from neural_hive.listing.listing import Listing
from neural_hive.listing.pages import page
from neural_hive.listing.things import TICKETS, WORKFLOWS
from neural_hive.projections.http_store import HttpStore
from neural_hive.sdk.tables import Tables
from neural_hive.sdk.views import TicketInfo, WorkflowInfo
from neural_hive.work import work

COUNT: Final = 100_000  # workflows
LIMIT: Final = 50
ASKED: Final = 5  # times in each round
_NO_BROKER: Final = "127.0.0.1:1"
_KINDS: Final[dict[str, type[Any]]] = {"workflows": WorkflowInfo, "tickets": TicketInfo}
_FILTERS: Final[tuple[tuple[Listing, dict[str, Any]], ...]] = (
    (WORKFLOWS, {}),
    (WORKFLOWS, {"status": "COMPLETED"}),
    (WORKFLOWS, {"status": "FAILED"}),
    (WORKFLOWS, {"status": "RUNNING"}),
    (WORKFLOWS, {"status": "PAUSED"}),
    (WORKFLOWS, {"plan_id": "plan-7"}),
    (TICKETS, {}),
    (TICKETS, {"status": "COMPLETED"}),
    (TICKETS, {"status": "FAILED"}),
    (TICKETS, {"status": "RUNNING"}),
    (TICKETS, {"status": "ASSIGNED"}),
    (TICKETS, {"status": "TIMED_OUT"}),
    (TICKETS, {"agent_id": "agent-7", "status": "FAILED"}),
)


def measure(rounds: int, tell: Tell, count: int = COUNT) -> list[Figures]:
    """All questions, in alternating order."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-lists-") as folder,
        clickhouse(_NO_BROKER, Path(folder)) as settings,
        closing(HttpStore.of(settings)) as store,
        closing(Tables(settings, user=settings.clickhouse_user)) as tables,
    ):
        Filled(store).fill(count)
        tell(f"{count:,} workflows")
        return [_figures(asked(tables, rounds, tell), count)]


def asked(tables: Tables, rounds: int, tell: Tell) -> list[Series]:
    """How long each question took, ms."""
    questions = _questions(tables)
    found: dict[str, list[float]] = {name: [] for name in questions}
    for ask in questions.values():
        ask()
    for number in range(rounds):
        for index in in_turn(len(questions), number):
            name = list(questions)[index]
            found[name] += [_took_ms(questions[name]) for _ in range(ASKED)]
        tell(f"round {number + 1}")
    return [Series(name, runs) for name, runs in found.items()]


def _questions(tables: Tables) -> dict[str, Callable[[], object]]:
    found: dict[str, Callable[[], object]] = {}
    for listing, wanted in _FILTERS:
        told = ", ".join(f"{name} {value}" for name, value in wanted.items())
        found[f"{listing.table}: {told or 'all'}"] = _asking(tables, listing, wanted)
    found["overview"] = lambda: work(tables)
    return found


def _asking(tables: Tables, listing: Listing, wanted: dict[str, Any]) -> Callable[[], object]:
    return lambda: page(tables, listing, _KINDS[listing.table], wanted, LIMIT, "")


def _took_ms(ask: Callable[[], object]) -> float:
    began = time.perf_counter()
    ask()
    return (time.perf_counter() - began) * 1_000


def _figures(series: list[Series], count: int) -> Figures:
    title = f"Lists: a page of {LIMIT}, with {count:,} workflows of five tasks"
    return Figures("lists", title, "ms", series, [])
