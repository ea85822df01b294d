"""Refused calls on their way to the log: counted, kept while Kafka is away, and limited."""

from datetime import UTC, datetime
from typing import Any

import pytest

from neural_hive.api import refusals
from neural_hive.api.refusals import PublishedRefusals
from neural_hive.api.refused import RefusedCall
from neural_hive.following import Unreachable
from neural_hive.schemas.codec import BadRecord
from neural_hive.streams.operations.messages import NoteRefusedCall

AT = datetime(2026, 5, 4, tzinfo=UTC)


def call(status: int = 401, address: str = "10.0.0.1", second: int = 0) -> RefusedCall:
    return RefusedCall("r", status, "no", "GET", "/api/v1/me", "pat", address, AT.replace(second=second))


class Told(list[NoteRefusedCall]):
    """Takes messages; or refuses them."""

    error: Exception | None = None

    def __call__(self, note: NoteRefusedCall) -> None:
        if self.error is not None:
            raise self.error
        self.append(note)


def made(told: Told) -> PublishedRefusals:
    return PublishedRefusals(told, every_s=3_600)


def test_calls_that_are_alike_are_told_once_with_their_number_and_times() -> None:
    told = Told()
    known = made(told)
    for second in (5, 3, 9):
        known.tell(call(second=second))
    known.tell(call(403))
    known.close()
    alike, other = told
    assert (alike.count, alike.status, alike.caller, alike.address) == (3, 401, "pat", "10.0.0.1")
    assert (alike.last_at - alike.first_at) == 6_000_000
    assert (other.count, other.status) == (1, 403)


def test_what_could_not_be_judged_is_no_refusal() -> None:
    told = Told()
    known = made(told)
    known.tell(call(503))
    known.close()
    assert told == []


def test_while_kafka_is_away_calls_are_counted_on() -> None:
    told = Told()
    known = made(told)
    told.error = Unreachable("away")
    known.tell(call())
    known.flush()
    known.tell(call())
    told.error = None
    known.close()
    assert [note.count for note in told] == [2]


def test_texts_that_cannot_be_written_lose_the_name_and_not_the_call() -> None:
    told = Told()
    known = made(told)
    told.error = BadRecord("no text")
    known.tell(call())
    known.flush()
    told.error = None
    known.close()
    assert [(note.count, note.caller, note.address) for note in told] == [(1, "", "")]


@pytest.mark.parametrize("limit", ["KINDS_MAX", "ADDRESSES_MAX"])
def test_many_addresses_are_counted_without_their_names(limit: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(refusals, limit, 3)
    told = Told()
    known = made(told)
    for number in range(10):
        known.tell(call(address=f"10.0.0.{number}"))
    known.close()
    assert sum(note.count for note in told) == 10
    assert {note.address for note in told} == {"10.0.0.0", "10.0.0.1", "10.0.0.2", ""}
