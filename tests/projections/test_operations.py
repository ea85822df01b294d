"""The read models of what people did about dead letters, and of refused calls."""

import msgspec

from neural_hive.projections.http_store import HttpStore
from neural_hive.projections.redrives import REDRIVES
from neural_hive.projections.refused_calls import REFUSED_CALLS
from neural_hive.schemas.codec import encode_event
from tests.projections.grammar import given
from tests.projections.support import AT, envelope

PLACE = "dead.letters:3:17"


def _event(event_type: str, aggregate_id: str, version: int, **payload: object) -> bytes:
    return encode_event(msgspec.structs.replace(envelope(event_type, aggregate_id, version)), payload)


def test_a_redrive_and_its_refusal_are_rows(store: HttpStore) -> None:
    about = {"dead_letter": PLACE, "requested_by": "ann"}
    source = {"source_topic": "plans.consensus", "source_partition": 2, "source_offset": 40}
    more = {"letter_id": "l", "redrive": 1, "message_id": "m", "value_sha256": "ab", "reason": "mended"}
    refused = {"obstacle": "REDRIVEN_BEFORE", "reason": "already", "wanted": "more"}
    none = {"redrive": None, "source_offset": None}
    given(
        store,
        _event("DeadLetterRedriven", PLACE, 1, **about, **source, **more),
        _event("RedriveRejected", PLACE, 2, **about, **refused),
    ).then_rows(
        REDRIVES,
        {"outcome": "REDRIVEN", "reason": "mended", "obstacle": None, "redrive": 1, "source_offset": 40},
        {"outcome": "REJECTED", "reason": "more", "obstacle": "REDRIVEN_BEFORE", **none},
    )


def test_refused_calls_are_rows(store: HttpStore) -> None:
    call = {
        "api": "api",
        "caller": "ann",
        "address": "10.0.0.7",
        "method": "GET",
        "path": "/x/{id}",
        "role": "auditor",
        "status": 429,
        "reason": "too many",
        "count": 70_000,
        "first_at": AT,
        "last_at": AT + 9,
    }
    given(store, _event("CallRefused", "api", 1, **call)).then_rows(
        REFUSED_CALLS, {"api": "api", "caller": "ann", "status": 429, "calls": 70_000, "path": "/x/{id}"}
    )
