"""Files with secrets: for their owner alone, written whole or not at all."""

import os
import stat
from pathlib import Path
from typing import Final

_OTHERS: Final = 0o077


class PrivateFileRefused(RuntimeError):
    """A file with secrets that cannot be used; the text says why, and what to do."""


def read_private(file: Path) -> bytes | None:
    """What a file holds; None if there is none. Raises PrivateFileRefused: others can read it, or nobody can."""
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
        content = file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PrivateFileRefused(f"{file} cannot be read: {error.strerror}") from error
    if mode & _OTHERS:
        raise PrivateFileRefused(
            f"{file} is open to others (mode {mode:03o}). If nobody has read it: chmod 600 {file}"
        )
    return content


def write_private(file: Path, content: bytes) -> None:
    """Replaces a file; never readable by others, not even for a moment. Raises PrivateFileRefused."""
    draft = file.with_name(f"{file.name}.new")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        draft.replace(file)
    except OSError as error:
        raise PrivateFileRefused(f"{file} cannot be written: {error.strerror}") from error
