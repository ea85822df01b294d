"""Dead letters that are written again: one, or many, each a command in the log with who wants it and why."""

from typing import Annotated, Any, Final

import msgspec
from anyio.to_thread import run_sync
from fastapi import APIRouter, Path, Request
from pydantic import Field
from starlette.responses import Response

from neural_hive.api.answers import answered, problem, told, told_written
from neural_hive.api.auth import Identity
from neural_hive.api.message_keys import MessageKey, MessageKeyOf
from neural_hive.api.pending import WaitS
from neural_hive.api.problems import not_found
from neural_hive.api.reading import ID_CHARS_MAX
from neural_hive.api.services import IdentityOf, Services, ServicesOf
from neural_hive.api.views import DeadLetterInfo
from neural_hive.api.writing import Asked, Text, publish
from neural_hive.listing.pages import one
from neural_hive.listing.things import DEAD_LETTERS
from neural_hive.streams.operations.messages import COMMANDS, RedriveDeadLetter

router = APIRouter(tags=["dead letters"])
MANY_MAX: Final = 100
_NONE: Final[dict[int | str, Any]] = problem(404, "There is no such dead letter")


class AskedRedrive(Asked):
    """Why a record shall be written again; `again`: also if it was before."""

    again: bool = False


class AskedRedrives(AskedRedrive):
    """Which ones."""

    message_ids: Annotated[list[Text], Field(min_length=1, max_length=MANY_MAX)]


class Redriven(msgspec.Struct, frozen=True):
    """What became of one. PUBLISHED: that is not known yet; UNKNOWN: there is no such letter."""

    message_id: str  # of the letter
    status: str  # ACCEPTED, NOTHING_NEW, REFUSED, DEAD_LETTER, PUBLISHED, UNKNOWN
    reason: str = ""


class RedrivenMany(msgspec.Struct, frozen=True):
    """What became of each, in the order in which they were asked for."""

    items: tuple[Redriven, ...]


@router.post("/api/v1/dead-letters/{message_id}/redrive", responses=told_written(200) | _NONE)
async def redrive_dead_letter(
    message_id: Annotated[str, Path(max_length=ID_CHARS_MAX)],
    asked: AskedRedrive,
    who: IdentityOf,
    services: ServicesOf,
    key: MessageKeyOf,
    wait_s: WaitS,
) -> Response:
    """Writes the record of a dead letter into its topic again: the same bytes, so that a repeat changes nothing."""
    letter = await run_sync(one, services.tables, DEAD_LETTERS, DeadLetterInfo, message_id)
    if letter is None:
        raise not_found(f"dead letter {message_id}")
    wanted = _wanted(letter, asked, who)
    where = f"/api/v1/dead-letters/{message_id}"
    return await publish(services, COMMANDS, wanted, key, wanted.dead_letter, wait_s, where)


@router.post("/api/v1/dead-letters/redrive", responses=told(RedrivenMany))
async def redrive_dead_letters(
    request: Request,
    asked: AskedRedrives,
    who: IdentityOf,
    services: ServicesOf,
    key: MessageKeyOf,
    wait_s: WaitS,
) -> Response:
    """Writes the records of several dead letters again; what is refused for one holds up no other."""
    found = [
        await _redriven(services, message_id, asked, who, key, wait_s) for message_id in asked.message_ids
    ]
    return answered(request, RedrivenMany(tuple(found)))


async def _redriven(
    services: Services, message_id: str, asked: AskedRedrives, who: Identity, key: MessageKey, wait_s: float
) -> Redriven:
    letter = await run_sync(one, services.tables, DEAD_LETTERS, DeadLetterInfo, message_id)
    if letter is None:
        return Redriven(message_id, "UNKNOWN", f"there is no dead letter {message_id}")
    wanted = _wanted(letter, asked, who)
    own = key.derived(message_id)
    token = await services.publishing.run(
        services.repeats.send, COMMANDS, wanted, own, wanted.dead_letter, key.is_keyed
    )
    outcome = await services.pending.outcome(token, wait_s)
    if outcome is None:
        return Redriven(message_id, "PUBLISHED")
    return Redriven(message_id, outcome.verdict.value, outcome.reason)


def _wanted(letter: DeadLetterInfo, asked: AskedRedrive, who: Identity) -> RedriveDeadLetter:
    return RedriveDeadLetter(letter.dead_letter, asked.reason, who.name, asked.again)
