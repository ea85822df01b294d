"""The file of SQL users: who may ask, with the scrypt hash of each password, and what each may use.

    [users.alice]
    password = "scrypt:16384:8:1:<salt>:<hash>"
    role = "reader"
    max_execution_s = 10

The file is its owner's alone (mode 600). While it is there, nobody asks without a password.
"""

import base64
import hashlib
import os
import re
import secrets
import tomllib
from pathlib import Path
from typing import Final, Literal

import msgspec

NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
OWN_USERS: Final = frozenset({"ingest", "api"})
PASSWORD_LETTERS_MIN: Final = 8
USERS_MAX: Final = 1000
_N, _R, _P, _SALT_BYTES = 1 << 14, 8, 1, 16
_HASH: Final = re.compile(
    r"scrypt:(\d{1,7}):(\d{1,2}):(\d{1,2}):([A-Za-z0-9_-]{8,64}):([A-Za-z0-9_-]{40,100})"
)
_MEMORY_BYTES_MAX: Final = 128 << 20


class BadUsers(ValueError):
    """The file of SQL users cannot be used; the text says what to do."""


class SqlUser(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One user: the hash of the password, a role, and limits that differ from the role's."""

    password: str
    role: Literal["reader", "analyst"] = "reader"
    max_execution_s: int | None = None
    max_memory_mb: int | None = None
    max_result_mb: int | None = None
    max_result_rows: int | None = None
    queries_at_once: int | None = None

    def __post_init__(self) -> None:
        if not _HASH.fullmatch(self.password):
            raise ValueError("password must be what `neural-hive sql-user` writes, never the password itself")
        for name in (
            "max_execution_s",
            "max_memory_mb",
            "max_result_mb",
            "max_result_rows",
            "queries_at_once",
        ):
            value = getattr(self, name)
            if value is not None and not 0 < value <= 1_000_000_000:
                raise ValueError(f"{name} must be from 1 to 1000000000")


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    users: dict[str, SqlUser] = {}


def hash_password(password: str) -> str:
    """What the file keeps of a password. Raises BadUsers for one that is too short."""
    if len(password) < PASSWORD_LETTERS_MIN:
        raise BadUsers(f"a password has {PASSWORD_LETTERS_MIN} letters at least")
    if "\n" in password or "\r" in password or "\0" in password:
        raise BadUsers("a password is one line")
    salt = secrets.token_bytes(_SALT_BYTES)
    return f"scrypt:{_N}:{_R}:{_P}:{_text(salt)}:{_text(_scrypt(password, salt, _N, _R, _P))}"


def is_password(password: str, hashed: str) -> bool:
    """Whether the hash is this password's. Takes about 50 ms and 16 MiB, in constant time."""
    found = _HASH.fullmatch(hashed)
    if found is None:
        return False
    n, r, p = (int(found[i]) for i in (1, 2, 3))
    try:
        made = _scrypt(password, _bytes(found[4]), n, r, p)
    except ValueError:  # parameters that scrypt does not have, or that would take too much memory
        return False
    return secrets.compare_digest(made, _bytes(found[5]))


def read_users(file: Path) -> dict[str, SqlUser]:
    """The users of a file. Raises BadUsers for one that others may read, or that is damaged."""
    try:
        mode = file.stat().st_mode
        if mode & 0o077:
            raise BadUsers(f"others may read or write {file}: chmod 600 {file}")
        found = msgspec.convert(tomllib.loads(file.read_text()), _File).users
    except OSError as error:
        raise BadUsers(f"cannot read {file}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise BadUsers(f"{file} is not valid: {' '.join(str(error).split())}") from None
    for name in found:
        _check_name(name, file)
    if len(found) > USERS_MAX:
        raise BadUsers(f"{file} has more than {USERS_MAX} users")
    return found


def write_users(file: Path, users: dict[str, SqlUser]) -> None:
    """Writes the file as a whole or not at all, readable by the owner only. Raises BadUsers."""
    for name in users:
        _check_name(name, file)
    draft = file.with_name(f"{file.name}.{os.getpid()}.draft")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(draft, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
        with open(descriptor, "w") as out:  # noqa: PTH123 (a descriptor, not a path)
            out.write(_toml(users))
            out.flush()
            os.fsync(out.fileno())
        draft.replace(file)
    except OSError as error:
        raise BadUsers(f"cannot write {file}: {error.strerror}") from None
    finally:
        draft.unlink(missing_ok=True)


def _check_name(name: str, file: Path) -> None:
    if not NAME.fullmatch(name):
        raise BadUsers(f"{name!r} is no user's name: a letter, then letters, digits, _ . and -, 64 at most")
    if name in OWN_USERS:
        raise BadUsers(f"{name} is the system's own user: choose another name than those in {file}")


def _toml(users: dict[str, SqlUser]) -> str:
    lines = ["# Written by `neural-hive sql-user`. While this file is there, nobody asks without a password."]
    for name in sorted(users):
        lines += ["", f'[users."{name}"]']
        for key, value in msgspec.to_builtins(users[name]).items():
            if value is not None:
                lines.append(f"{key} = {value}" if isinstance(value, int) else f'{key} = "{value}"')
    return "\n".join(lines) + "\n"


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(
        password.encode("utf-8", "surrogateescape"),
        salt=salt,
        n=n,
        r=r,
        p=p,
        maxmem=_MEMORY_BYTES_MAX,
        dklen=32,
    )


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
