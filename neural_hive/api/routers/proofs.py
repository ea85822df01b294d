"""Proofs from the seal of the log: that a record is in it, and the newest checkpoint."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from neural_hive.api.answers import MEDIA_TYPE, answered, problem, told
from neural_hive.api.past import Past
from neural_hive.api.reading import ID_CHARS_MAX
from neural_hive.api.services import ServicesOf
from neural_hive.replay.moment import place_of
from neural_hive.replay.seal import prove as proofs
from neural_hive.replay.seal.keys import public_file, public_key
from neural_hive.replay.seal.ledger import published
from neural_hive.replay.seal.proof import Proof

router = APIRouter(
    tags=["replay"],
    responses={
        **problem(409, "It is not sealed yet, or the seal does not hold"),
        **problem(503, "Kafka does not answer, or there is no sealer's key"),
    },
)


class NewestCheckpoint(msgspec.Struct, frozen=True):
    """A checkpoint with all its signatures: kept elsewhere, it shows later whether the log only grew."""

    number: int
    note: str


@router.get("/api/v1/replay/proofs/{event}", responses=told(Proof))
async def get_proof(
    event: Annotated[str, Path(max_length=ID_CHARS_MAX, description="Id, or TOPIC:PARTITION:OFFSET")],
    services: ServicesOf,
) -> Response:
    """The proof that a record is in the sealed log: whoever has it and the public key needs nothing else.

    What comes is a file for `neural-hive replay check-proof`.
    """

    def question(past: Past) -> bytes:
        named, history = place_of(event), _history(past)
        if named is None:
            place, offset = proofs.find_event(past.source, past.topics, event)
        else:
            place, offset = (named.topic, named.partition), named.offset
        made = proofs.prove(past.source, history, proofs.cosigned(past.source, history), place, offset)
        return proofs.proof_bytes(made)

    return Response(await services.past.ask(question), media_type=MEDIA_TYPE)


@router.get("/api/v1/replay/checkpoint", responses=told(NewestCheckpoint))
async def get_checkpoint(request: Request, services: ServicesOf) -> Response:
    """The newest checkpoint of the sealer."""

    def question(past: Past) -> NewestCheckpoint:
        history = _history(past)
        size = len(history.seals)
        if not size:
            raise proofs.NotSealed("there is no checkpoint yet")
        note = proofs.cosigned(past.source, history).get(size) or history.note(size - 1)
        return NewestCheckpoint(size, note.content)

    return answered(request, await services.past.ask(question))


def _history(past: Past) -> Any:
    key = public_key(past.settings.seal_key or str(public_file(past.settings.seal_folder, "seal")))
    return proofs.History(key, (seal for _, seal in published(past.source, key.name)))
