"""The toy system that also sums up: what was added to each counter is told once for each transaction.

`python -m tests.toy.summing BOOTSTRAP DATA SUFFIX [VERSION]`
"""

import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from neural_hive.streams.kernel.sums import Sum
from neural_hive.streams.kernel.system import System
from neural_hive.streams.runner import run_system
from tests.toy import system
from tests.toy.system import AddToCounter

GATHER_S: Final = 1.0


def sums_topic(suffix: str) -> str:
    """Where the sums are told; nobody reads them."""
    return f"toy.sums{suffix}"


def _add(total: int | None, more: int) -> int:
    return (total or 0) + more


def _message(key: tuple[str], total: int) -> dict[str, Any]:
    return {"counter_id": key[0], "amount": total}


def build(suffix: str = "") -> System:
    """The system."""
    toy = system.build(suffix)
    kind = Sum(sums_topic(suffix), "AddToCounter", _add, _message, lambda key: key[0])
    add = toy.inputs[f"toy.commands{suffix}"].handlers["AddToCounter"].handle

    @toy.on(f"toy.commands{suffix}", AddToCounter, route="counter_id")
    @toy.on(f"toy.results{suffix}", AddToCounter, route="counter_id")
    def add_and_sum(unit: Any, message: AddToCounter) -> None:
        unit.sum_up(kind, (message.counter_id,), message.amount)  # before anything is refused
        add(unit, message)

    return msgspec.structs.replace(toy, gather_s=GATHER_S)


def main(bootstrap: str, data: str, suffix: str, version: str = "") -> None:
    """Runs it."""
    run_system(build(suffix), {"bootstrap.servers": bootstrap}, Path(data), session_s=6)


if __name__ == "__main__":
    main(*sys.argv[1:])
