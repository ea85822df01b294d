"""Makes decisions for another process, which asks on the standard input: four bytes tell each message's length.

The first order says which system; whatever cannot be done ends it, with the reason on the standard error.
"""

import logging
import os
import sys
from functools import partial
from typing import IO, Any

import msgspec
import structlog

from neural_hive.schemas.codec import decode
from neural_hive.streams.systems import SYSTEMS

from .decider import CannotRun, Decider
from .words import Decide, Done, Keep, Know, Open, Order, Take, Who

_LENGTH_BYTES = 4


class _Settings:
    """What a system is built from: as it was told; a setting that is no more, as it was by default."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def __getattr__(self, name: str) -> Any:
        if name in self._values:
            return self._values[name]
        from neural_hive.settings import Settings

        return Settings.model_fields[name].default


class _Known:
    """The records that were told, to be looked into."""

    def __init__(self) -> None:
        self.topics: dict[str, Know] = {}

    def look_up(self, topic: str, partition: int, offset: int) -> Any:
        """See LookUp. Raises CannotRun: it was there once."""
        known = self.topics.get(topic)
        if known is None or not 0 <= partition < len(known.partitions):
            return None
        if 0 <= offset < known.begins[partition]:
            raise CannotRun(f"{topic}:{partition}:{offset} is not in the log any more, nor in the archive")
        return next((record for record in known.partitions[partition] if record.offset == offset), None)


def read_message(stream: IO[bytes]) -> bytes:
    """The next message; empty: there is none any more."""
    head = stream.read(_LENGTH_BYTES)
    length = int.from_bytes(head, "big")
    message = stream.read(length) if len(head) == _LENGTH_BYTES else b""
    return message if len(message) == length else b""  # who speaks has ended in mid-word


def write_message(stream: IO[bytes], message: bytes) -> None:
    """Sends one message."""
    stream.write(len(message).to_bytes(_LENGTH_BYTES, "big") + message)
    stream.flush()


def serve(orders: IO[bytes], answers: IO[bytes]) -> None:
    """Does what it is told, one answer for each order, until nothing is told any more."""
    decoder, known = msgspec.msgpack.Decoder(Order), _Known()
    who = decoder.decode(read_message(orders))
    assert isinstance(who, Who)
    system = SYSTEMS[who.system](_Settings(who.settings))
    decider = Decider(system, partial(decode, kind="message"), known.look_up)
    write_message(answers, msgspec.msgpack.encode(decider.about()))
    while message := read_message(orders):
        answer = _answer(decider, known, decoder.decode(message))
        write_message(answers, msgspec.msgpack.encode(answer))


def _answer(decider: Decider, known: _Known, order: Order) -> Any:
    match order:
        case Know():
            known.topics[order.topic] = order
            decider.know(order)
        case Open():
            decider.open(order)
        case Decide():
            return decider.decide(order)
        case Keep():
            decider.keep(order)
        case Take():
            return decider.take(order)
    return Done()


def main() -> None:
    """The process. What the code prints goes to the standard error."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
