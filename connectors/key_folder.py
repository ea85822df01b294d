"""The keys of persons in a folder:

    index.key        the secret that names of persons are looked up by
    names/<digest>   the subject id of a name; after an erasure only that there was one
    keys/<id>        the key of a subject: 64 random bytes
    erased/<id>      the key of this subject was destroyed

A subject id is random, so it says nothing of a person; what connects it with a name is destroyed with the key. All
files are for their owner alone, and are on the disk before anything is encrypted by them.
"""

import fcntl
import hmac
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Final

from neural_hive.connectors.subject_keys import (
    KEY_BYTES,
    Erased,
    SubjectKey,
    SubjectKeysUnusable,
    UnknownSubject,
    spelled,
)
from neural_hive.schemas.personal import SUBJECT_ID

_SECRET_BYTES: Final = 32
_ID_BYTES: Final = 16
_ERASED: Final = b"erased".ljust(2 * _ID_BYTES)  # as long as the id that it takes the place of
_FILE_MODE: Final = 0o600
_FOLDER_MODE: Final = 0o700


class KeyFolder:
    """The store in a folder. May be used from many threads and processes of one machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._names, self._keys, self._erased = folder / "names", folder / "keys", folder / "erased"

    def made(self, name: str) -> SubjectKey:
        """See SubjectKeys.made."""
        person = spelled(name)
        with self._explained():
            if (found := self._found(person)) is not None:
                return found
            self._prepare()
            with self._locked():
                found = self._found(person)
                return found if found is not None else self._make(person)

    def subject_of(self, name: str) -> str:
        """See SubjectKeys.subject_of."""
        person = spelled(name)
        with self._explained():
            known = self._known(person)
        if known == _ERASED:
            raise Erased("what was known of this person is erased")
        if known is None:
            raise UnknownSubject(
                f"{self.folder} has no key of this person: nothing was encrypted for such a name here"
            )
        return known.decode()

    def key_of(self, subject_id: str) -> bytes:
        """See SubjectKeys.key_of. The mark is looked for last: a key that was read before it is a whole one."""
        file, key = self._keys / _checked(subject_id), None
        with self._explained():
            with suppress(FileNotFoundError):
                key = file.read_bytes()
            if (self._erased / subject_id).exists():
                raise Erased(f"the key of {subject_id} is destroyed")
        if key is None:
            raise UnknownSubject(f"{self.folder} has no key of {subject_id}")
        if len(key) != KEY_BYTES:
            raise SubjectKeysUnusable(
                f"{file} is damaged: it has {len(key)} bytes, not {KEY_BYTES}. Restore it"
            )
        return key

    def erase(self, subject_id: str) -> bool:
        """See SubjectKeys.erase.

        First the mark, so that nobody uses the key any more; then the key; then its name, by which it is found again
        if the erasure ends before that.
        """
        key, mark = self._keys / _checked(subject_id), self._erased / subject_id
        with self._explained():
            if not (key.exists() or mark.exists()):
                raise UnknownSubject(f"{self.folder} has no key of {subject_id}")
            with self._locked():
                was_there = key.exists()
                if not mark.exists():
                    _write(mark, b"")
                _destroy(key)
                for name in self._names.iterdir():
                    if name.read_bytes() == subject_id.encode():
                        _overwrite(name, _ERASED)
                        was_there = True
                return was_there

    def _found(self, person: bytes) -> SubjectKey | None:
        """The key of a person; None if one must be made, for there is none, or the one before was destroyed."""
        known = self._known(person)
        if known is None or known == _ERASED:
            return None
        try:
            return SubjectKey(known.decode(), self.key_of(known.decode()))
        except Erased:
            return None

    def _known(self, person: bytes) -> bytes | None:
        try:
            return self._name_file(person).read_bytes()
        except FileNotFoundError:
            return None

    def _make(self, person: bytes) -> SubjectKey:
        """The key before its name: a name never leads to nothing. An erasure that has not ended is ended."""
        known = self._known(person)
        if known is not None and known != _ERASED:
            _destroy(self._keys / known.decode())
        made = SubjectKey(os.urandom(_ID_BYTES).hex(), os.urandom(KEY_BYTES))
        _write(self._keys / made.subject_id, made.key)
        _write(self._name_file(person), made.subject_id.encode())
        return made

    def _name_file(self, person: bytes) -> Path:
        """Raises FileNotFoundError: there is no name yet."""
        if not self._has_index():
            raise FileNotFoundError
        secret = (self.folder / "index.key").read_bytes()
        if len(secret) != _SECRET_BYTES:
            raise SubjectKeysUnusable(f"{self.folder / 'index.key'} is damaged: restore it")
        return self._names / hmac.new(secret, person, sha256).hexdigest()

    def _prepare(self) -> None:
        for folder in (self.folder, self._names, self._keys, self._erased):
            if not folder.is_dir():
                folder.mkdir(_FOLDER_MODE, parents=True, exist_ok=True)
                _synced(folder.parent)
        with self._locked():
            if not self._has_index():
                _write(self.folder / "index.key", os.urandom(_SECRET_BYTES))

    def _has_index(self) -> bool:
        index = self.folder / "index.key"
        if index.exists():
            return True
        if self._names.is_dir() and any(self._names.iterdir()):
            raise SubjectKeysUnusable(f"{index} is gone, and without it no person is found: restore it")
        return False

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with os.fdopen(os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, _FILE_MODE), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """A folder that others can read is refused: what it protects would be no secret."""
        try:
            if self.folder.exists() and (mode := stat.S_IMODE(self.folder.stat().st_mode)) & 0o077:
                raise SubjectKeysUnusable(
                    f"the keys of persons in {self.folder} can be reached by others (mode {mode:03o}). If nobody has: "
                    f"chmod 700 {self.folder}"
                )
            yield
        except OSError as error:
            raise SubjectKeysUnusable(
                f"the keys of persons in {self.folder} cannot be used: {error.strerror} ({error.filename}). The "
                "setting is subject_keys"
            ) from error


def _checked(subject_id: str) -> str:
    """Raises UnknownSubject: it is no subject id, and must not become part of a path."""
    if not SUBJECT_ID.fullmatch(subject_id):
        raise UnknownSubject(f"{subject_id[:64]!r} is no subject id: they have 32 hex digits")
    return subject_id


def _write(file: Path, content: bytes) -> None:
    """The whole file or none, on the disk, and never readable by others."""
    draft = file.with_name(f".{file.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE_MODE), "wb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())
    draft.replace(file)
    _synced(file.parent)


def _overwrite(file: Path, content: bytes) -> None:
    """In place: another file would leave the old bytes on the disk."""
    with file.open("r+b") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())


def _destroy(file: Path) -> None:
    """Overwritten, then removed."""
    try:
        _overwrite(file, os.urandom(KEY_BYTES))
        file.unlink()
    except FileNotFoundError:
        return
    _synced(file.parent)


def _synced(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
