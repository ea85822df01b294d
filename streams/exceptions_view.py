"""What is frozen and what is excepted from it, of one topic: a decision sees both as of the same place."""

from typing import Any, Final

import msgspec

from neural_hive.aggregates.freeze import FREEZE
from neural_hive.aggregates.freeze_exception import FREEZE_EXCEPTION, OPEN, FreezeException
from neural_hive.streams.freezes_view import FREEZES, Freezes
from neural_hive.streams.kernel.broadcast import View
from neural_hive.streams.kernel.states_view import states_view

Exceptions = dict[str, FreezeException]


class Frozen(msgspec.Struct, frozen=True):
    """The freezes that block deployments now, and the exceptions that are requested or approved."""

    freezes: Freezes = {}
    exceptions: Exceptions = {}


_EXCEPTIONS: Final[View[Exceptions]] = states_view(FREEZE_EXCEPTION, lambda found: found.standing in OPEN)


def _with(known: Frozen, record: Any) -> Frozen:
    freezes, exceptions = FREEZES.add(known.freezes, record), _EXCEPTIONS.add(known.exceptions, record)
    if freezes is known.freezes and exceptions is known.exceptions:
        return known
    return Frozen(freezes, exceptions)


FROZEN: Final[View[Frozen]] = View(FREEZE.topic, Frozen(), _with)
