"""Which systems share a process, and what `up` calls it."""

from pathlib import Path

import pytest

from neural_hive.process import processor_name, processors_of
from neural_hive.settings import Settings
from neural_hive.system import plan_system, process_names

USUAL = ("orchestrator", "registry", "operations", "privacy")


@pytest.mark.parametrize(
    ("systems", "own", "expected"),
    [
        (USUAL, ("orchestrator",), {"processor-orchestrator": USUAL[:1], "processor": USUAL[1:]}),
        (USUAL, (), {"processor": USUAL}),
        (
            ("orchestrator", "sla", "sli"),
            ("sla", "orchestrator"),
            {
                "processor-orchestrator": ("orchestrator",),
                "processor-sla": ("sla",),
                "processor-sli": ("sli",),
            },
        ),
        (("sla",), ("orchestrator",), {"processor-sla": ("sla",)}),
        ((), ("orchestrator",), {}),
    ],
)
def test_each_system_has_one_process(
    tmp_path: Path, systems: tuple[str, ...], own: tuple[str, ...], expected: dict[str, tuple[str, ...]]
) -> None:
    given = Settings(data=tmp_path, kafka_bootstrap="127.0.0.1:1", systems=systems, own_processes=own)
    assert {processor_name(names): names for names in processors_of(given)} == expected
    assert process_names(given)[: len(expected) + 1] == (*expected, "projector")
    services = {s.name: s.command() for stage in plan_system(given).stages for s in stage.services}
    planned = {name: line for name, line in services.items() if name.startswith("processor")}
    assert planned.keys() == expected.keys()
    for name, line in planned.items():
        first = line.index("processor") + 1
        assert tuple(line[first : first + len(expected[name])]) == expected[name]
        assert not set(line[first + len(expected[name]) :]) & set(systems)
