"""The toy system: two inputs, one aggregate, a timer. Runs as `python -m tests.toy.system BOOTSTRAP DATA`."""

import sys
from pathlib import Path
from typing import Any

import msgspec
from prometheus_client import start_http_server

from neural_hive.streams.kernel.system import System
from neural_hive.streams.runner import run_system
from tests.toy.counter import COUNTER, Close, Raise, Start

toy = System("toy", aggregates=(COUNTER,), decides=(__name__,), repartition="toy.repartition")


class AddToCounter(msgspec.Struct, frozen=True):
    """Message: raise a counter."""

    counter_id: str
    amount: int


class StartCountdown(msgspec.Struct, frozen=True):
    """Message: close a counter after a while."""

    counter_id: str
    delay_ms: int


@toy.on("toy.commands", AddToCounter)
@toy.on("toy.results", AddToCounter)
def add(unit: Any, message: AddToCounter) -> None:
    unit.execute(COUNTER, message.counter_id, Raise(message.amount))


@toy.on("toy.commands", StartCountdown)
def start(unit: Any, message: StartCountdown) -> None:
    unit.execute(COUNTER, message.counter_id, Start(unit.now + message.delay_ms * 1000))


@toy.on_timer(COUNTER, "countdown")
def countdown_over(unit: Any, counter_id: str) -> None:
    unit.execute(COUNTER, counter_id, Close())


def main(bootstrap: str, data: str) -> None:
    def ready(is_ready: bool) -> None:
        (Path(data) / "ready").write_text(str(is_ready))

    run_system(toy, {"bootstrap.servers": bootstrap}, Path(data), ready)


if __name__ == "__main__":
    if len(sys.argv) > 3:
        start_http_server(int(sys.argv[3]))
    main(sys.argv[1], sys.argv[2])
