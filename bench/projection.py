"""Events a second from the Kafka topics into ClickHouse, beside row inserts; and how soon an event is seen in SQL.

The log is one that orchestrator and registry have made of workflows of five tasks. Each contender reads it from its
beginning in a process of its own, into tables of the same columns on the same embedded server. Its rate counts from
the start of the process until all rows are there, so everybody's start counts.
"""

import time
from collections import defaultdict
from typing import Final

from bench.figures import Figures, Goal, Series, in_turn, ratio
from bench.orchestration import Tell, broker, process
from bench.projected_log import TOPICS, Log, made_log
from bench.projection_contenders import CONTENDERS, HIVE, HIVE_ARCHIVE, ROWS, ROWS_ARCHIVE, Contender, Server
from bench.visibility import STEADY, STEADY_S, Outcome, seen
from neural_hive.connectors.ports import free_port

EVENTS: Final = 1_000_000
ARCHIVE_GOAL: Final = 200_000.0  # events/s into `events` alone
PEER_GOAL: Final = 5.0
SEEN_GOAL_S: Final = 1.0


def measure(rounds: int, tell: Tell, events: int = EVENTS, steady_s: float = STEADY_S) -> list[Figures]:
    """All contenders, `rounds` times in alternating order, and as many steady streams."""
    rates: dict[str, list[float]] = defaultdict(list)
    outcomes: dict[int, list[Outcome]] = defaultdict(list)
    port = free_port()
    with (
        broker(clickhouse_port=port, clickhouse_http_port=port) as settings,
        process(settings, "clickhouse"),
    ):
        log = made_log(settings, events)
        tell(f"a log of {log.events:,} events")
        server = Server(settings)
        for number in range(rounds):
            for index in in_turn(len(CONTENDERS), number):
                contender = CONTENDERS[index]
                rates[contender.name].append(_rate(server, contender, log))
                tell(f"{contender.name}: {rates[contender.name][-1]:,.0f} events/s")
            for rate in STEADY:
                outcomes[rate].append(seen(server, log, rate, steady_s))
                tell(f"steady stream: {outcomes[rate][-1]}")
    return [_rates(rates, log), _seen(outcomes)]


def _rate(server: Server, contender: Contender, log: Log) -> float:
    began = time.monotonic()
    with server.follower(contender, TOPICS) as (database, child):
        server.until_there(child, database, log.due(contender.all_tables))
        return log.events / (time.monotonic() - began)


def _rates(rates: dict[str, list[float]], log: Log) -> Figures:
    series = [Series(one.name, rates[one.name]) for one in CONTENDERS]
    goals = [
        Goal("200,000 events/s into events alone", ARCHIVE_GOAL, series[0].median),
        Goal("5 × row inserts, events alone", PEER_GOAL, ratio(series, HIVE_ARCHIVE.name, ROWS_ARCHIVE.name)),
        Goal("5 × row inserts, all tables", PEER_GOAL, ratio(series, HIVE.name, ROWS.name)),
    ]
    rows = ", ".join(f"{table} {rows:,}" for table, rows in log.due(all_tables=True).items())
    title = "Projection: from the Kafka topics into ClickHouse, start included"
    return Figures("projection", title, "events/s", series, goals, [f"Rows: {rows}."])


def _seen(outcomes: dict[int, list[Outcome]]) -> Figures:
    series, goals = [], []
    for rate, found in outcomes.items():
        for table in ("events", "tickets"):
            delays = [getattr(one, table) for one in found]
            series.append(Series(f"{table} at {rate:,}/s, p50", [one.p50_s for one in delays]))
            series.append(Series(f"{table} at {rate:,}/s, p95", [one.p95_s for one in delays]))
            goals.append(
                Goal(f"{series[-1].name}, within a second", SEEN_GOAL_S, series[-1].median, at_most=True)
            )
    published = ", ".join(f"{one.rate:,.0f}" for found in outcomes.values() for one in found)
    title = "Projection: from publish to seen in SQL, in a steady stream"
    return Figures("visibility", title, "s", series, goals, [f"Events/s that were published: {published}."])
