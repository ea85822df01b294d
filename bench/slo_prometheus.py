"""A Prometheus server with recording rules for the same ten thousand SLOs: rates of all windows, and the budget.

One rule makes a series for each SLO, by its label: the cheapest way to write it. It scrapes every 15 s and evaluates
once a minute, as its defaults and Neural Hive do.
"""

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
import yaml

from bench.orchestration import Slow
from bench.slo_hive import Usage, watched
from bench.slo_stream import SERVICES, SLOS_EACH
from neural_hive.aggregates.sla_window import BURN_US
from neural_hive.connectors.child import Child, tail
from neural_hive.connectors.ports import HOST, free_port
from tests.toy.harness import ROOT

SCRAPE_S: Final = 15
EVALUATE_S: Final = 60
TARGET: Final = 0.99
GROUP: Final = "slos"
_READY_S: Final = 60.0
_LOOK_EVERY_S: Final = 2.0


class NoPrometheus(RuntimeError):
    """It is not installed; the text says how to install it."""


class Outcome(msgspec.Struct, frozen=True):
    """What a server did with the counters."""

    offered: float  # samples/s that the exporter counted
    evaluation_s: tuple[float, ...]  # how long the group took, by evaluation
    behind_s: tuple[
        float, ...
    ]  # scrape - result, by evaluation: how old the newest event is that a result may hold
    missed: int
    series: int  # results of the last evaluation
    usage: Usage


def rules() -> dict[str, Any]:
    """The recording rules."""
    found = [{"record": f"slo:burn_rate_{window}", "expr": _burn(window)} for window in BURN_US]
    found.append({"record": "slo:remaining", "expr": f"1 - ({_burn('30d')})"})
    found.append({"record": "slo:scraped_ago", "expr": "time() - max(timestamp(slo_valid_total))"})
    return {"groups": [{"name": GROUP, "interval": f"{EVALUATE_S}s", "rules": found}]}


def _burn(window: str) -> str:
    bad = f"1 - increase(slo_good_total[{window}]) / (increase(slo_valid_total[{window}]) > 0)"
    return f"({bad}) / {1 - TARGET:g}"


def measured(events_per_s: float, evaluations: int) -> Outcome:
    """So many evaluations of a server that has just begun. Raises NoPrometheus, Slow."""
    program = shutil.which("prometheus")
    if program is None:
        raise NoPrometheus("prometheus is not installed (Debian: apt-get install prometheus)")
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder, port, target = Path(name), free_port(), free_port()
        known = os.environ | {"PYTHONPATH": str(ROOT)}
        line = [sys.executable, "-m", "bench.slo_exporter", str(target), str(events_per_s)]
        exporter = Child(line, folder / "exporter.log", environment=known)
        server = Child(_command(program, folder, port, target), folder / "prometheus.log")
        try:
            client = httpx.Client(base_url=f"http://{HOST}:{port}", trust_env=False, timeout=30)
            _wait_ready(client, server, folder)
            with watched({"prometheus": server.pid, "exporter": exporter.pid}) as usage:
                found = _evaluations(client, evaluations)
            return Outcome(events_per_s * SLOS_EACH, *found, *_counts(client), usage[0])
        finally:
            server.kill()
            exporter.kill()


def _command(program: str, folder: Path, port: int, target: int) -> list[str]:
    (folder / "rules.yaml").write_text(yaml.safe_dump(rules()))
    jobs = [{"job_name": "slos", "static_configs": [{"targets": [f"{HOST}:{target}"]}]}]
    config = {
        "global": {"scrape_interval": f"{SCRAPE_S}s", "evaluation_interval": f"{EVALUATE_S}s"},
        "rule_files": [str(folder / "rules.yaml")],
        "scrape_configs": jobs,
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    return [
        program,
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={HOST}:{port}",
    ]


def _wait_ready(client: httpx.Client, server: Child, folder: Path) -> None:
    until = time.monotonic() + _READY_S
    while True:
        try:
            if client.get("/-/ready").status_code == 200:
                return
        except httpx.HTTPError:
            pass
        if not server.alive or time.monotonic() > until:
            raise Slow(f"Prometheus is not ready\n{tail(folder / 'prometheus.log')}")
        time.sleep(0.2)


def _evaluations(client: httpx.Client, count: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The durations of the next evaluations that have results, and how old their newest scrape was when they ended."""
    durations, behind = [], []
    seen = ""
    until = time.monotonic() + EVALUATE_S * (count + 3)
    while len(durations) < count:
        if time.monotonic() > until:
            raise Slow(f"{len(durations)} evaluations of {count} in time")
        time.sleep(_LOOK_EVERY_S)
        groups = client.get("/api/v1/rules").json()["data"]["groups"]
        group = next((found for found in groups if found["name"] == GROUP), None)
        ago = _value(client, "slo:scraped_ago")
        if group is None or ago is None or group["lastEvaluation"] == seen:
            continue
        seen = group["lastEvaluation"]
        if _value(client, "count(slo:burn_rate_5m)") != SERVICES * SLOS_EACH:
            continue  # a rate needs two scrapes
        durations.append(float(group["evaluationTime"]))
        behind.append(ago + durations[-1])
    return tuple(durations), tuple(behind)


def _counts(client: httpx.Client) -> tuple[int, int]:
    """Evaluations that were missed; series that the rules have made."""
    text = client.get("/metrics").text
    missed = sum(
        float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if line.startswith("prometheus_rule_group_iterations_missed_total{")
    )
    made = _value(client, 'count({__name__=~"slo:.*"})') or 0.0
    return int(missed), int(made)


def _value(client: httpx.Client, query: str) -> float | None:
    found = client.get("/api/v1/query", params={"query": query}).json()["data"]["result"]
    return float(found[0]["value"][1]) if found else None
