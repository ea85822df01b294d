"""The page of the SDK shows the very file that the tests run, and names what is there."""

import inspect
import re

import neural_hive
from neural_hive.sdk.client import HiveClient
from neural_hive.sdk.outcome import Verdict
from neural_hive.sdk.ticket import Ticket
from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "sdk.md").read_text()


def test_the_ten_lines_are_those_of_the_test() -> None:
    (shown,) = re.findall(r"\*\*`greeter\.py`\*\*.*?```python\n(.*?)```", PAGE, re.DOTALL)
    assert shown == (ROOT / "tests" / "sdk" / "ten_lines.py").read_text()
    assert len([line for line in shown.splitlines() if line.strip()]) <= 10


def test_what_it_names_is_there() -> None:
    code = set(re.findall(r"`(\w+)[(`]", PAGE))
    methods = {name for name, _ in inspect.getmembers(HiveClient) if not name.startswith("_")}
    fields = {name for name, _ in inspect.getmembers(Ticket) if not name.startswith("_")}
    assert methods - code <= {"close", "publish_command"}
    assert fields - code <= {"kept"}
    assert {verdict.value for verdict in Verdict} <= code
    assert {"Agent", "Ticket", "HiveClient", "AgentClient", "CircuitOpen", "NoAnswerYet"} <= code
    assert all(hasattr(neural_hive, name) for name in neural_hive.__all__)
