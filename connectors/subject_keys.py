"""The keys of persons, one for each: whoever has one reads what the log says of that person; without it nobody does.

Here is what a store of keys promises; `key_folder.py` is one. It lies outside the log, the data folder, ClickHouse and
every backup of them.
"""

import unicodedata
from typing import Final, Protocol

import msgspec

from neural_hive.schemas.codec import BadRecord

KEY_BYTES: Final = 64  # AES-256 in SIV mode takes two keys
NAME_BYTES_MAX: Final = 128


class SubjectKeysUnusable(RuntimeError):
    """The store cannot be used; the text says where, why, and what to do."""


class UnknownSubject(LookupError):
    """No key was ever made for this person, or this id."""


class BadName(BadRecord):
    """A text that cannot name a person."""


class Erased(LookupError):
    """The key was destroyed."""


class SubjectKey(msgspec.Struct, frozen=True):
    """A person's pseudonym, and the key to what is said of the person."""

    subject_id: str
    key: bytes

    def __repr__(self) -> str:
        return f"SubjectKey({self.subject_id})"


class SubjectKeys(Protocol):
    """Where keys are kept. Another store (of a cloud, of a vault) has these methods too.

    All raise SubjectKeysUnusable. None may remember a key for longer than its answer: another process may destroy it.
    """

    def made(self, name: str) -> SubjectKey:
        """The key of a person, made now if there is none. Raises BadName."""
        ...

    def subject_of(self, name: str) -> str:
        """A person's subject id. Raises UnknownSubject; Erased: there was one; BadName."""
        ...

    def key_of(self, subject_id: str) -> bytes:
        """Raises Erased; UnknownSubject: the store has never had it."""
        ...

    def erase(self, subject_id: str) -> bool:
        """Destroys a key, and what connects it with a name; False: that was done before.

        Whenever it ends early, calling it again ends it. Raises UnknownSubject.
        """
        ...


def spelled(name: str) -> bytes:
    """A name as it is looked up: what spells alike but for case, width and spaces is one person. Raises BadName."""
    try:
        given = name.encode()
    except UnicodeEncodeError:
        raise BadName("the name of a person is no text: it cannot be written as UTF-8") from None
    if len(given) > NAME_BYTES_MAX:
        raise BadName(f"the name of a person has at most {NAME_BYTES_MAX} bytes, not {len(given):,}")
    found = unicodedata.normalize("NFKC", " ".join(name.split())).casefold().encode()
    if not found or b"\0" in found:
        raise BadName("the name of a person is empty, or holds a zero byte")
    return found
