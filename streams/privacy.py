"""Privacy: that a person is erased is an event like all others.

    privacy.commands → EraseSubject
                     → privacy.subjects

Keys are not its business: it has none, and sees pseudonyms only.
"""

from typing import Final

import msgspec

from neural_hive.aggregates.subject import SUBJECT, Erase
from neural_hive.streams.kernel.system import System, Unit

COMMANDS: Final = "privacy.commands"


class EraseSubject(msgspec.Struct, frozen=True):
    """What the log says of a person shall not be readable any more."""

    subject_id: str
    reason: str
    requested_by: str = ""


def build() -> System:
    """The system."""
    privacy = System("privacy", (SUBJECT,), (__name__,))

    @privacy.on(COMMANDS, EraseSubject, route="subject_id")
    def erase(unit: Unit, message: EraseSubject) -> None:
        command = Erase(message.subject_id, message.reason, message.requested_by, unit.now)
        unit.execute(SUBJECT, message.subject_id, command)

    return privacy
