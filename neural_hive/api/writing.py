"""What routes that write have in common: what is asked for, by whom; and the way into the log."""

from collections.abc import Collection
from typing import Annotated, Final

import msgspec
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.responses import Response

from neural_hive.api.answers import written
from neural_hive.api.message_keys import MessageKey
from neural_hive.api.services import Services

REASON_CHARS_MAX: Final = 1_000
Text = Annotated[str, StringConstraints(max_length=512)]


class Asked(BaseModel):
    """Something that somebody asks for."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    reason: Annotated[
        str, Field(min_length=1, max_length=REASON_CHARS_MAX, description="Why; it stays in the log")
    ]


async def publish(
    services: Services,
    topic: str,
    content: msgspec.Struct,
    key: MessageKey,
    routing_id: str,
    wait_s: float,
    resource: str,
    *,
    created: bool = False,
    loose: Collection[str] = (),
) -> Response:
    """Publishes a message, and answers with what became of it. Raises Problem and what `Repeats.send` raises."""
    token = await services.publishing.run(
        services.repeats.send, topic, content, key.message_id, routing_id, key.is_keyed, loose
    )
    return written(token, await services.pending.outcome(token, wait_s), resource, created)
