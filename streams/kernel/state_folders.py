"""The states that a partition has had: one folder for each version of the code that folds.

The one before the current is kept, for who goes back to the build before; a damaged copy goes with its version. What
was set aside on a person's word is evidence (see acceptance.py), and is never removed here.
"""

import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

from neural_hive.streams.kernel.rocks import DAMAGED_SUFFIX
from neural_hive.streams.kernel.versions import HASH_DIGITS

KEPT: Final = 2  # versions, the current one among them
_VERSION: Final = re.compile(f"[0-9a-f]{{{HASH_DIGITS}}}")
log = structlog.get_logger()


def remove_older(folder: Path, current: str) -> list[str]:
    """Removes all but the current version and those that were used last; gives their names.

    `folder` is the partition's, and this process holds it. What cannot be removed is told, and left.
    """
    if not folder.is_dir():
        return []  # the state is elsewhere
    versions = [
        f for f in folder.iterdir() if _VERSION.fullmatch(f.name) and f.is_dir() and f.name != current
    ]
    newest = sorted(versions, key=_used_at, reverse=True)[: KEPT - 1]
    kept = {current, *(version.name for version in newest)}
    removed = []
    for old in sorted(folder.iterdir()):
        version = old.name.removesuffix(DAMAGED_SUFFIX)
        if version in kept or not (_VERSION.fullmatch(version) and old.is_dir()):
            continue
        try:
            shutil.rmtree(old)
            removed.append(old.name)
        except OSError as error:
            log.warning("an older state cannot be removed", folder=str(old), why=str(error))
    return removed


def state_bytes(folder: Path) -> int:
    """How much the files of one state take. RocksDB removes some while one looks."""
    total = 0
    with suppress(FileNotFoundError):
        for file in folder.iterdir():
            with suppress(FileNotFoundError):
                total += file.stat().st_size
    return total


def _used_at(version: Path) -> float:
    """When something was written there last, s."""
    return max((file.stat().st_mtime for file in version.iterdir()), default=0.0)
