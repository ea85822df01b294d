"""A person in a command: named by a ciphertext, which could not be read any more if it were cut."""

from typing import Final

from neural_hive.aggregates.aggregate import Rejected

PERSON_CHARS_MAX: Final = 6_000  # of a name of 4,096 bytes


def person(text: str, field: str) -> str:
    """The text, whole. Raises Rejected: it is longer than any name's ciphertext."""
    if len(text) > PERSON_CHARS_MAX:
        raise Rejected(f"{field} must have at most {PERSON_CHARS_MAX:,} characters, not {len(text):,}")
    return text
