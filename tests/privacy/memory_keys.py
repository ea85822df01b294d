"""Another store of keys than the folder: in memory. And ciphertexts for tests that have no keys to keep."""

from hashlib import sha512
from typing import Final

from neural_hive.connectors.personal import Personal
from neural_hive.connectors.subject_keys import BadName, Erased, SubjectKey, UnknownSubject

_ERASED: Final = ""


class MemoryKeys:
    """Implements SubjectKeys. The same names have the same keys in every run, until they are erased."""

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}
        self._keys: dict[str, bytes | None] = {}
        self._made = 0

    def made(self, name: str) -> SubjectKey:
        spelled = _spelled(name)
        if not self._ids.get(spelled):
            digest = sha512(f"{self._made} {spelled}".encode()).digest()
            subject_id, self._made = digest[:16].hex(), self._made + 1
            self._ids[spelled], self._keys[subject_id] = subject_id, digest
        subject_id = self._ids[spelled]
        return SubjectKey(subject_id, self.key_of(subject_id))

    def subject_of(self, name: str) -> str:
        found = self._ids.get(_spelled(name))
        if found is None:
            raise UnknownSubject("nobody of that name")
        if found == _ERASED:
            raise Erased("was erased")
        return found

    def key_of(self, subject_id: str) -> bytes:
        if subject_id not in self._keys:
            raise UnknownSubject(subject_id)
        key = self._keys[subject_id]
        if key is None:
            raise Erased(subject_id)
        return key

    def erase(self, subject_id: str) -> bool:
        if subject_id not in self._keys:
            raise UnknownSubject(subject_id)
        was_there = self._keys[subject_id] is not None
        self._keys[subject_id] = None
        self._ids = {name: _ERASED if known == subject_id else known for name, known in self._ids.items()}
        return was_there


def _spelled(name: str) -> str:
    spelled = " ".join(name.split()).casefold()
    if not spelled or "\0" in spelled or len(name.encode(errors="replace")) > 128:
        raise BadName("no name")
    return spelled


def hidden(name: str, field: str = "requested_by") -> str:
    """A person as the log has one: the same in every run, and nobody keeps the key."""
    return Personal(MemoryKeys()).hide(name, field)
