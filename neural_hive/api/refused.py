"""Calls that were refused: each is told to whoever keeps the audit trail."""

from datetime import UTC, datetime
from typing import Protocol

import msgspec
import structlog

log = structlog.get_logger()


class RefusedCall(msgspec.Struct, frozen=True):
    """A call that was refused, by whom, and why. No secret of the caller is in it."""

    request_id: str
    status: int  # 401, 403, 429 or 503
    reason: str
    method: str
    route: str  # the path's template: an id of somebody else's is nobody's business
    identity: str  # "" if nobody is known
    address: str
    at: datetime


class RefusedCalls(Protocol):
    """Who is told of them. Must not block, and must not raise."""

    def tell(self, call: RefusedCall) -> None:
        """Takes note of one."""
        ...


class LoggedRefusals:
    """Tells the log of the process."""

    def tell(self, call: RefusedCall) -> None:
        told = msgspec.to_builtins(call)
        log.warning("call_refused", **told)


def refused(
    request_id: str, status: int, reason: str, method: str, route: str, identity: str, address: str
) -> RefusedCall:
    """A call that is refused now."""
    return RefusedCall(request_id, status, reason, method, route, identity, address, datetime.now(UTC))
