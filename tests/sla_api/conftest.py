"""The SLA calculator on a real broker and engine, and the API in front of it."""

import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from neural_hive.aggregates.budget import Counted, minute_of
from neural_hive.aggregates.sla_window import MINUTE
from neural_hive.connectors.kafka_embedded import EmbeddedKafka
from neural_hive.settings import Settings
from neural_hive.streams.sla.messages import MEASUREMENTS, CountSli
from neural_hive.system import prepare_topics
from tests.api.conftest import lonely
from tests.api.making import PLENTY, Api
from tests.fixtures_clickhouse import ClickHouseServer
from tests.sdk.conftest import CLI, Hive

__all__ = ["lonely"]
WAIT = {"Prefer": "wait=30"}


class Sla:
    """A caller of the API, and short words for what the tests ask."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.caller: TestClient = api.caller()

    def post(self, path: str, content: Any = None, who: str = "all", **headers: str) -> Any:
        """A POST that waits for its outcome."""
        body = {"reason": "a test"} | (content or {})
        return self.api.caller(who).post(f"/api/v1/{path}", json=body, headers=WAIT | headers)

    def put(self, path: str, content: Any, **headers: str) -> Any:
        """A PUT that waits for its outcome."""
        body = {"reason": "a test"} | content
        return self.caller.put(f"/api/v1/{path}", json=body, headers=WAIT | headers)

    def get(self, path: str, after: Any = None) -> Any:
        """What is there; `after`: once the tables hold what this answer has caused."""
        headers = {"X-Read-After": after.headers["x-read-after"]} if after is not None else {}
        found = self.caller.get(f"/api/v1/{path}", headers=headers)
        assert found.status_code == 200, found.text
        return found.json()

    def slo(self, **more: Any) -> str:
        """A new SLO; its id."""
        slo_id = f"slo-{uuid.uuid4().hex[:8]}"
        answer = self.post("slos", slo(slo_id, **more))
        assert answer.status_code == 201, answer.text
        return slo_id

    def count(self, slo_id: str, good: int, valid: int, minutes_ago: int = 2, dimension: str = "") -> None:
        """Events of an SLO were measured, and its budget was looked at, unless it was in this minute."""
        self.measure(slo_id, good, valid, minutes_ago, dimension)
        where = f"budgets/{slo_id}/recalculate" + (f"?dimension={dimension}" if dimension else "")
        answer = self.post(where)
        assert answer.status_code == 200, answer.text

    def measure(self, slo_id: str, good: int, valid: int, minutes_ago: int = 2, dimension: str = "") -> None:
        """Events of an SLO were measured."""
        at = minute_of(time.time_ns() // 1_000) - minutes_ago * MINUTE
        counts = CountSli(slo_id, 1, (Counted(at, good, valid),), "a-test:0:0-1", dimension)
        sender = self.api.services.sender
        token = sender.send(MEASUREMENTS, counts, str(uuid.uuid4()), slo_id)
        outcome = self.api.services.pending._answers.wait(token, 60)
        assert outcome.is_accepted, outcome


def slo(slo_id: str, **more: Any) -> dict[str, Any]:
    """What is asked for."""
    return {
        "slo_id": slo_id,
        "name": f"Deploys of {slo_id}",
        "slo_type": "AVAILABILITY",
        "service_name": slo_id,
        "target": 0.9,
        "window_days": 7,
        "indicator": {"source": "TICKETS", "good": "status = 'COMPLETED'", "valid": f"plan_id = '{slo_id}'"},
        **more,
    }


def policy(policy_id: str, **more: Any) -> dict[str, Any]:
    """What is asked for."""
    return {
        "policy_id": policy_id,
        "name": f"No deploys of {policy_id}",
        "scope": "SERVICE",
        "subject": policy_id,
        "actions": ["BLOCK_DEPLOY"],
        "trigger_percent": 20,
        "unfreeze_percent": 50,
        **more,
    }


def eventually(look: Callable[[], Any]) -> Any:
    """What a look gives once it is true."""
    until = time.monotonic() + 100
    while not (found := look()):
        assert time.monotonic() < until
        time.sleep(0.2)
    return found


@pytest.fixture(scope="package")
def hive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hive]:
    data = tmp_path_factory.mktemp("sla")
    with EmbeddedKafka(data / "broker") as kafka:
        engine = ClickHouseServer(data / "clickhouse").start()
        given: dict[str, Any] = {"clickhouse_host": engine.host, "clickhouse_port": engine.port}
        settings = Settings(data=data, kafka_bootstrap=kafka.bootstrap, partitions=4, **given)
        running = Hive(settings)
        try:
            prepare_topics(settings)
            running.start(*CLI, "processor", "sla", name="processor-sla")
            running.start_projector()
            yield running
        finally:
            running.close()
            engine.kill()


@pytest.fixture(scope="package")
def sla(hive: Hive) -> Iterator[Sla]:
    made = Api(hive.settings.model_copy(update=PLENTY))
    yield Sla(made)
    made.services.close()
