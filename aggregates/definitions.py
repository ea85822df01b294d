"""What is common to definitions: each revision follows the newest one, a person has signed it, it is removed once."""

from typing import Final, Protocol, TypeVar

from neural_hive.aggregates.aggregate import Rejected
from neural_hive.aggregates.person import person

REASON_CHARS_MAX: Final = 1_000


class Defined(Protocol):
    """A definition as it stands."""

    @property
    def revision(self) -> int:
        """How often it was defined."""
        ...

    @property
    def is_removed(self) -> bool:
        """Whether it holds no longer."""
        ...


D = TypeVar("D", bound=Defined)


class Signed(Protocol):
    """A command that says who wants it, and why."""

    @property
    def requested_by(self) -> str:
        """A ciphertext of the person's name."""
        ...

    @property
    def reason(self) -> str:
        """For others to read."""
        ...


def next_revision(found: Defined | None, follows: int) -> int:
    """The number of a new revision. Raises Rejected: it follows another than the newest one."""
    newest = found.revision if found else 0
    if follows != newest:
        raise Rejected(f"revision {follows} is not the newest one, {newest}: read it again, and change that")
    return newest + 1


def to_remove(found: D | None, what: str) -> D | None:
    """What there is to remove; None: it was removed before. Raises Rejected: there was never one."""
    if found is None:
        raise Rejected(f"there is no such {what}")
    return None if found.is_removed else found


def signature(command: Signed) -> tuple[str, str]:
    """Who and why, as events keep them. Raises Rejected: see `person`."""
    return person(command.requested_by, "requested_by"), command.reason[:REASON_CHARS_MAX]
