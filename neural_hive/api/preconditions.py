"""Which revision somebody changes: the one that the body names, or the one that an ETag stands for."""

from typing import Annotated, Any, Final, Protocol

from anyio.to_thread import run_sync
from fastapi import Depends, Header, Request

from neural_hive.api.answers import etag_of, problem
from neural_hive.api.message_keys import MessageKeyOf
from neural_hive.api.problems import Problem
from neural_hive.api.services import ServicesOf

ANSWERS: Final[dict[int | str, Any]] = {
    **problem(412, "It has changed since: `If-Match` is not its ETag any more"),
    **problem(428, "Nothing says which revision is changed"),
}


class Revised(Protocol):
    """What has revisions."""

    @property
    def revision(self) -> int: ...


class Precondition:
    """What a request says of the thing that it changes."""

    def __init__(
        self,
        request: Request,
        services: ServicesOf,
        key: MessageKeyOf,
        if_match: Annotated[
            str,
            Header(
                alias="If-Match",
                max_length=1_024,
                description="The ETag of what is changed; then `revision` may be left out",
            ),
        ] = "",
    ) -> None:
        self._request, self._services, self._key, self._if_match = request, services, key, if_match

    async def revision(self, found: Revised, asked: int | None, topic: str) -> int:
        """The revision that is changed. Raises Problem: it cannot be told, or is not the newest any more.

        A request that was made before, with the same Idempotency-Key, has changed the thing itself.
        """
        if asked is None and not self._if_match:
            raise Problem(
                428,
                "precondition-required",
                "say what you change, so that nobody's change is lost: its `revision`, or `If-Match` with its ETag",
            )
        tags = {tag.strip() for tag in self._if_match.split(",")} if self._if_match else {"*"}
        if not tags & {"*", etag_of(self._request, found)} and not await self._is_repeat(topic):
            raise Problem(412, "changed-since", "it has changed since: read it again, and change that")
        return found.revision if asked is None else asked

    async def _is_repeat(self, topic: str) -> bool:
        if not self._key.is_keyed:
            return False
        return await run_sync(self._services.repeats.knows, topic, self._key.message_id)


PreconditionOf = Annotated[Precondition, Depends(Precondition)]
