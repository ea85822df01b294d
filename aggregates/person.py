"""A person in a command: named by a ciphertext, which could not be read any more if it were cut."""

from typing import Final

from neural_hive.aggregates.aggregate import Rejected
from neural_hive.schemas.personal import CIPHERTEXT, NOBODY

PERSON_CHARS_MAX: Final = 6_000  # of a name of 4,096 bytes


def person(text: str, field: str) -> str:
    """The text, whole. Raises Rejected: it is longer than any name's ciphertext."""
    if len(text) > PERSON_CHARS_MAX:
        raise Rejected(f"{field} must have at most {PERSON_CHARS_MAX:,} characters, not {len(text):,}")
    return text


def named_person(text: str, field: str) -> str:
    """See person. Raises Rejected too if nobody is named."""
    if not text.strip() or text == NOBODY:
        raise Rejected(f"{field} must name a person: nobody knows who says so")
    return person(text, field)


def is_same(one: str, other: str) -> bool:
    """Whether both are the same person: ciphertexts of one name for different fields differ, and have one key."""
    found, also = CIPHERTEXT.fullmatch(one), CIPHERTEXT.fullmatch(other)
    return found[1] == also[1] if found and also else one == other
