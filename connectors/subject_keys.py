"""The keys of persons, one for each: whoever has one reads what the log says of that person; without it nobody does.

They lie in a folder of their own, outside the log, the data folder, ClickHouse and every backup of them:

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
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final, Protocol

import msgspec

from neural_hive.schemas.codec import BadRecord
from neural_hive.schemas.personal import SUBJECT_ID

KEY_BYTES: Final = 64  # AES-256 in SIV mode takes two keys
NAME_BYTES_MAX: Final = 128
_SECRET_BYTES: Final = 32
_ID_BYTES: Final = 16
_ERASED: Final = b"erased".ljust(2 * _ID_BYTES)  # as long as the id that it takes the place of
_FILE_MODE: Final = 0o600
_FOLDER_MODE: Final = 0o700


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


class KeyFolder:
    """The store in a folder. May be used from many threads and processes of one machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._names, self._keys, self._erased = folder / "names", folder / "keys", folder / "erased"

    def made(self, name: str) -> SubjectKey:
        """See SubjectKeys.made. What spells alike but for case and width is one person."""
        spelled = _spelled(name)
        with self._explained():
            if (found := self._found(spelled)) is not None:
                return found
            self._prepare()
            with self._locked():
                found = self._found(spelled)
                return found if found is not None else self._make(spelled)

    def subject_of(self, name: str) -> str:
        """See SubjectKeys.subject_of."""
        spelled = _spelled(name)
        with self._explained():
            known = self._known(spelled)
        if known == _ERASED:
            raise Erased("what was known of this person is erased")
        if known is None:
            raise UnknownSubject(
                f"{self.folder} has no key of this person: nothing was encrypted for such a name here"
            )
        return known.decode()

    def key_of(self, subject_id: str) -> bytes:
        """See SubjectKeys.key_of."""
        with self._explained():
            if (self._erased / _checked(subject_id)).exists():
                raise Erased(f"the key of {subject_id} is destroyed")
            try:
                key = _read(self._keys / subject_id)
            except FileNotFoundError:
                raise UnknownSubject(f"{self.folder} has no key of {subject_id}") from None
        if len(key) != KEY_BYTES:
            raise SubjectKeysUnusable(
                f"{self._keys / subject_id} is damaged: it has {len(key)} bytes, not {KEY_BYTES}. Restore it"
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

    def _found(self, spelled: bytes) -> SubjectKey | None:
        """The key of a person; None if one must be made, for there is none, or the one before was destroyed."""
        known = self._known(spelled)
        if known is None or known == _ERASED:
            return None
        try:
            return SubjectKey(known.decode(), self.key_of(known.decode()))
        except Erased:
            return None

    def _known(self, spelled: bytes) -> bytes | None:
        try:
            return _read(self._name_file(spelled))
        except FileNotFoundError:
            return None

    def _make(self, spelled: bytes) -> SubjectKey:
        """The key before its name: a name never leads to nothing. An erasure that has not ended is ended."""
        known = self._known(spelled)
        if known is not None and known != _ERASED:
            _destroy(self._keys / known.decode())
        made = SubjectKey(os.urandom(_ID_BYTES).hex(), os.urandom(KEY_BYTES))
        _write(self._keys / made.subject_id, made.key)
        _write(self._name_file(spelled), made.subject_id.encode())
        return made

    def _name_file(self, spelled: bytes) -> Path:
        secret = _read(self.folder / "index.key")
        if len(secret) != _SECRET_BYTES:
            raise SubjectKeysUnusable(f"{self.folder / 'index.key'} is damaged: restore it")
        return self._names / hmac.new(secret, spelled, sha256).hexdigest()

    def _prepare(self) -> None:
        for folder in (self.folder, self._names, self._keys, self._erased):
            if not folder.is_dir():
                folder.mkdir(_FOLDER_MODE, parents=True, exist_ok=True)
                _synced(folder.parent)
        with self._locked():
            if not (self.folder / "index.key").exists():
                if any(self._names.iterdir()):
                    raise SubjectKeysUnusable(
                        f"{self.folder / 'index.key'} is gone, and without it no person is found: restore it"
                    )
                _write(self.folder / "index.key", os.urandom(_SECRET_BYTES))

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


def _spelled(name: str) -> bytes:
    """A name as it is looked up. Raises BadName."""
    try:
        given = name.encode()
    except UnicodeEncodeError:
        raise BadName("the name of a person is no text: it cannot be written as UTF-8") from None
    if len(given) > NAME_BYTES_MAX:
        raise BadName(f"the name of a person has at most {NAME_BYTES_MAX} bytes, not {len(given):,}")
    spelled = unicodedata.normalize("NFKC", " ".join(name.split())).casefold().encode()
    if not spelled or b"\0" in spelled:
        raise BadName("the name of a person is empty, or holds a zero byte")
    return spelled


def _checked(subject_id: str) -> str:
    """Raises UnknownSubject: it is no subject id, and must not become part of a path."""
    if not SUBJECT_ID.fullmatch(subject_id):
        raise UnknownSubject(f"{subject_id[:64]!r} is no subject id: they have 32 hex digits")
    return subject_id


def _read(file: Path) -> bytes:
    return file.read_bytes()


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
