"""Runs a whole history in a process of its own, with the code that stands there: see code.py.

python -m neural_hive.replay.rerun.elsewhere ORDER ANSWER
"""

import logging
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import structlog

from neural_hive.replay.rerun.outside import Chosen
from neural_hive.replay.rerun.recording import Recording
from neural_hive.replay.rerun.what_if import Side, run
from neural_hive.streams.kernel.reading import MessageReader
from neural_hive.streams.systems import SYSTEMS


class Order(msgspec.Struct, frozen=True):
    """What to run with the code there."""

    systems: tuple[str, ...]
    settings: dict[str, Any]
    recording: Recording
    chosen: Chosen = Chosen()


def carry_out(order: Order) -> Side:
    """Does it."""
    systems = [SYSTEMS[name](SimpleNamespace(**order.settings)) for name in order.systems]
    return run(systems, order.recording, order.chosen, MessageReader())


def main(asked: str, answered: str) -> None:
    """Reads the order from one file, and writes the answer into another."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    order = msgspec.msgpack.decode(Path(asked).read_bytes(), type=Order)
    Path(answered).write_bytes(msgspec.msgpack.encode(carry_out(order)))


if __name__ == "__main__":
    main(*sys.argv[1:])
