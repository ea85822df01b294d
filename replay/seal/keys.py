"""Keys of sealers and witnesses in files: the private one for its owner alone, the public one beside it."""

import os
import secrets
import stat
import threading
from pathlib import Path
from typing import Final

from neural_hive.replay.seal.note import BadKey, PrivateKey, PublicKey

_OTHERS: Final = 0o077
_LOOK_S: Final = 0.5


class KeyRefused(RuntimeError):
    """A key file that cannot be used; the text names it, and says what to do."""


def private_file(folder: Path, who: str) -> Path:
    """Where the private key of `seal` or `witness` is kept."""
    return folder / f"{who}.key"


def public_file(folder: Path, who: str) -> Path:
    """Where the public key is, which whoever checks must have."""
    return folder / f"{who}.pub"


def held_key(folder: Path, who: str, kind: int, name: str = "") -> PrivateKey:
    """The private key of a folder; a new one, if there was never one. `name`: of a new one. Raises KeyRefused."""
    private, public = private_file(folder, who), public_file(folder, who)
    try:
        if private.exists():
            key = _read_private(private)
        elif public.exists():
            raise KeyRefused(
                f"the private key {private} is gone, and {public} says that there was one. Restore it from a backup; "
                "to begin with a new key, which nobody trusts yet, move the public one away too"
            )
        else:
            key = PrivateKey.make(name or f"neural-hive.invalid/{secrets.token_hex(8)}", kind)
            _write_private(private, key)
    except OSError as error:
        raise KeyRefused(f"the key {private} cannot be used: {error.strerror}") from error
    if key.kind != kind:
        raise KeyRefused(f"the key {private} is of another kind: it is not one of a {who}")
    _keep_public(public, key.public)
    return key


def public_key(text_or_file: str) -> PublicKey:
    """A public key by its text, or by the file that holds it. Raises KeyRefused."""
    text = text_or_file
    if Path(text_or_file).is_file():
        text = Path(text_or_file).read_text(errors="replace")
    elif "+" not in text_or_file:
        raise KeyRefused(
            f"there is no file {text_or_file}, and it is no public key: one is written `name+id+key`"
        )
    try:
        return PublicKey.parse(text)
    except BadKey as error:
        raise KeyRefused(f"{text_or_file:.200}: {error}") from error


def sealer_key(named: str, folder: Path, stopping: threading.Event) -> PublicKey | None:
    """The sealer's public key: the one that is named, or the one in its folder, once it is there.

    None: told to stop before that. Raises KeyRefused.
    """
    file = public_file(folder, "seal")
    while not named and not file.is_file():
        if stopping.wait(_LOOK_S):
            return None
    return public_key(named or str(file))


def _read_private(file: Path) -> PrivateKey:
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & _OTHERS:
        raise KeyRefused(
            f"the private key {file} can be read by others (mode {mode:03o}). If nobody has: chmod 600 {file}"
        )
    try:
        return PrivateKey.parse(file.read_text(errors="replace"))
    except BadKey as error:
        raise KeyRefused(
            f"the private key {file} cannot be read: {error}. Restore it from a backup"
        ) from error


def _write_private(file: Path, key: PrivateKey) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f"{file.name}.new")
    draft.unlink(missing_ok=True)
    # Never readable by others, not even for a moment.
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        opened.write(f"{key.text}\n")
        opened.flush()
        os.fsync(opened.fileno())
    draft.replace(file)


def _keep_public(file: Path, key: PublicKey) -> None:
    try:
        if not file.exists():
            file.write_text(f"{key.text}\n")
        elif file.read_text(errors="replace").strip() != key.text:
            raise KeyRefused(
                f"{file} is not the public key of {key.name}: one of the two was changed. Restore them"
            )
    except OSError as error:
        raise KeyRefused(f"the public key {file} cannot be used: {error.strerror}") from error
