"""API keys: a file with their hashes, for its owner alone; the key itself is shown once.

A key is `nh_<id>_<secret>` with 256 random bits, so its plain SHA-256 tells nobody what it is.
"""

import fcntl
import hmac
import os
import secrets
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec

from neural_hive.api.permissions import Role
from neural_hive.api.private_files import read_private, write_private

PREFIX: Final = "nh_"
KEYS_MAX: Final = 10_000
NAME_CHARS_MAX: Final = 128
_NOBODY: Final = sha256(b"").hexdigest()


class KeysRefused(RuntimeError):
    """A file of keys that cannot be used, or a key that cannot be made; the text says why, and what to do."""


class ApiKey(msgspec.Struct, frozen=True):
    """A key as the file has it."""

    key_id: str
    name: str
    roles: tuple[Role, ...]
    sha256: str  # of the secret, hex
    created_at: datetime


def keys_file(folder: Path) -> Path:
    """Where the hashes are."""
    return folder / "keys.json"


def admin_file(folder: Path) -> Path:
    """Where the first key is kept, which nobody has asked for."""
    return folder / "admin.key"


def add_key(folder: Path, name: str, roles: Iterable[Role]) -> str:
    """Makes a key; its text, which stands nowhere else. Raises KeysRefused, PrivateFileRefused."""
    given = tuple(dict.fromkeys(roles))
    if not name.strip() or len(name) > NAME_CHARS_MAX or not name.isprintable():
        raise KeysRefused(f"the name of a key must be 1 to {NAME_CHARS_MAX} printable characters")
    if not given:
        raise KeysRefused(f"a key must have a role: {', '.join(Role)}")
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    made = ApiKey(key_id, name, given, _hash(secret), datetime.now(UTC))
    with _held(folder):
        known = read_keys(folder)
        if len(known) >= KEYS_MAX:
            raise KeysRefused(f"there are {KEYS_MAX:,} keys already: remove some")
        write_private(keys_file(folder), msgspec.json.format(msgspec.json.encode([*known.values(), made])))
    return f"{PREFIX}{key_id}_{secret}"


def remove_key(folder: Path, key_id: str) -> ApiKey:
    """Takes a key away; it opens nothing from now on. Raises KeysRefused, PrivateFileRefused: there is none."""
    with _held(folder):
        known = read_keys(folder)
        removed = known.pop(key_id, None)
        if removed is None:
            raise KeysRefused(f"there is no key {key_id[:80]}: see `neural-hive api-key list`")
        write_private(keys_file(folder), msgspec.json.format(msgspec.json.encode(list(known.values()))))
    return removed


def read_keys(folder: Path) -> dict[str, ApiKey]:
    """The keys by their ids; none, if there is no file. Raises KeysRefused, PrivateFileRefused."""
    file = keys_file(folder)
    content = read_private(file)
    if content is None:
        return {}
    try:
        return {key.key_id: key for key in msgspec.json.decode(content, type=list[ApiKey])}
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise KeysRefused(f"the keys {file} cannot be understood: {error}. Restore them") from error


def ensure_first_key(folder: Path) -> Path | None:
    """Makes a key with all roles if there was never one; the file that holds it. None: there are keys.

    Raises KeysRefused, PrivateFileRefused.
    """
    admin = admin_file(folder)
    if keys_file(folder).exists():
        read_keys(folder)
        return None
    if admin.exists():
        raise KeysRefused(
            f"{keys_file(folder)} is gone, and {admin} says that there was one. Restore it; to begin with a new key, "
            f"remove {admin} too"
        )
    write_private(admin, f"{add_key(folder, 'admin', Role)}\n".encode())
    return admin


class KeyRing:
    """Knows keys by their text; sees at once when the file has changed. May be used from many threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._stamp: tuple[int, ...] = ()
        self._keys: dict[str, ApiKey] = {}

    def find(self, text: str) -> ApiKey | None:
        """The key of a text; None if there is none. Raises KeysRefused, PrivateFileRefused: the file cannot be used."""
        key_id, _, secret = text.removeprefix(PREFIX).partition("_")
        found = self._known().get(key_id)
        is_same = hmac.compare_digest(_hash(secret), found.sha256 if found else _NOBODY)
        return found if is_same and secret else None

    def _known(self) -> dict[str, ApiKey]:
        with self._lock:
            stamp = _stamp(keys_file(self._folder))
            if stamp != self._stamp or not stamp:
                self._keys = read_keys(self._folder)
                self._stamp = stamp
            return self._keys


def _stamp(file: Path) -> tuple[int, ...]:
    try:
        found = file.stat()
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def _hash(secret: str) -> str:
    return sha256(secret.encode(errors="replace")).hexdigest()


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """One changes the file at a time."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        opened = os.open(folder / "keys.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise KeysRefused(f"keys cannot be kept in {folder}: {error.strerror}") from error
    with os.fdopen(opened) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
