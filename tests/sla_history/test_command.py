"""Where the process that counts history is started."""

from pathlib import Path

import pytest

from neural_hive.settings import Settings
from neural_hive.system import plan_system

URL = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("systems", "is_started"),
    [(("orchestrator",), False), (("sla",), False), (("sli",), False), (("sla", "sli"), True)],
)
def test_up_counts_history_beside_what_comes(
    tmp_path: Path, systems: tuple[str, ...], is_started: bool
) -> None:
    given = {"kafka_bootstrap": "127.0.0.1:9", "schema_registry_url": URL}
    plan = plan_system(Settings(data=tmp_path, systems=systems, metrics_port=31_000, **given))
    services = {service.name for stage in plan.stages for service in stage.services}
    assert ("sli-history" in services) == is_started
