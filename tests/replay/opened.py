"""Requests that another process can make: of written logs, as the systems that would have written them."""

import os
import signal
import sys
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from neural_hive.aggregates.ticket import TICKET
from neural_hive.aggregates.workflow import WORKFLOW
from neural_hive.replay.everything import How, Request, verify_everything
from neural_hive.streams.kernel.system import System
from tests.replay.written_log import Log


class CancelWorkflow(msgspec.Struct, frozen=True):
    """Message: what written logs are caused by."""

    workflow_id: str
    reason: str
    requested_by: str


class Names(msgspec.Struct, frozen=True):
    """What a writer is called, and its topics."""

    name: str
    inputs: str
    tickets: str
    workflows: str


def names_of(log: Log) -> Names:
    """Those of a written log."""
    return Names(log.name, log.inputs, log.tickets, log.workflows)


def system_of(names: Names) -> System:
    """The system that would have written such a log."""
    ticket = msgspec.structs.replace(TICKET, topic=names.tickets)
    workflow = msgspec.structs.replace(WORKFLOW, topic=names.workflows)
    system = System(names.name, (ticket, workflow), (__name__,))

    @system.on(names.inputs, CancelWorkflow, route="workflow_id")
    def cancel(unit: Any, message: CancelWorkflow) -> None:
        raise AssertionError("nothing is decided here")

    return system


def request_of(config: dict[str, Any], names: Iterable[Names], decide: str = "") -> Request:
    """A request for these logs. `decide`: what happens where decisions are run again."""
    systems = tuple(system_of(each) for each in names)
    decides = {"": None, "nothing": nothing, "dies": dies, "breaks": breaks, "sleeps": sleeps}
    return Request(systems, config, None, None, stall_s=5, decide=decides[decide])


def nothing(system: Any, source: Any, findings: Any) -> None:
    """All is well."""


def dies(system: Any, source: Any, findings: Any) -> None:
    """The process is killed."""
    os.kill(os.getpid(), signal.SIGKILL)


def breaks(system: Any, source: Any, findings: Any) -> None:
    """Nobody has foreseen this."""
    raise ZeroDivisionError("of all things")


def sleeps(system: Any, source: Any, findings: Any) -> None:
    """It takes very long."""
    Path(os.environ["TEST_SLEEPS"]).touch()
    time.sleep(600)


if __name__ == "__main__":  # bootstrap, then the names of one log
    config = {"bootstrap.servers": sys.argv[1]}
    opening = partial(request_of, config, [Names(*sys.argv[2:])], "sleeps")
    verify_everything(opening(), How(2, opening))
