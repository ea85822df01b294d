"""Files that are written whole, and disks that are full, in words for people."""

import errno
import os
import shutil
from pathlib import Path
from typing import Final

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_TEXTS: Final = tuple(os.strerror(number) for number in _FULL)
_MB: Final = 1_000_000
LITTLE_BYTES: Final = 100 * _MB  # with less room than that people are told


def says_full(error: BaseException) -> bool:
    """Whether an error says that there was no room on a disk: by its number, or in its text if it has none."""
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    return any(text in str(error) for text in _TEXTS)


def room(path: Path) -> str:
    """How much room there is on the disk that holds a path, and where that disk is mounted."""
    there = _existing(path)
    try:
        usage = shutil.disk_usage(there)
    except OSError as error:
        return f"the disk of {path} cannot be asked: {error.strerror}"
    return (
        f"the disk of {path}, mounted at {_mount_point(there)}, has {usage.free // _MB} MB of "
        f"{usage.total // _MB} MB free"
    )


def is_short(path: Path) -> bool:
    """Whether the disk that holds a path has so little room that people should know."""
    try:
        return shutil.disk_usage(_existing(path)).free < LITTLE_BYTES
    except OSError:
        return False


def _existing(path: Path) -> Path:
    path = path.absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _mount_point(path: Path) -> Path:
    while not path.is_mount() and path != path.parent:
        path = path.parent
    return path


def write_whole(file: Path, content: bytes, lasting: bool = True) -> None:
    """Writes a file whole or not at all; `lasting`: it is on the disk when this returns, its name too."""
    draft = file.with_name(f"{file.name}.new")
    with draft.open("wb") as opened:
        opened.write(content)
        opened.flush()
        if lasting:
            os.fsync(opened.fileno())
    draft.replace(file)
    if lasting:
        folder = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
