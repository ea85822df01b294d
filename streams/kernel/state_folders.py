"""The states that a partition has had: one folder for each version of the code that folds.

The one before the current is kept, for who goes back to the build before. What was set aside beside them is evidence
(see acceptance.py), and is never removed here.
"""

import re
import shutil
from pathlib import Path
from typing import Final

import structlog

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
    removed = []
    for old in sorted(versions, key=_used_at, reverse=True)[KEPT - 1 :]:
        try:
            shutil.rmtree(old)
            removed.append(old.name)
        except OSError as error:
            log.warning("an older state cannot be removed", folder=str(old), why=str(error))
    return removed


def _used_at(version: Path) -> float:
    """When something was written there last, s."""
    return max((file.stat().st_mtime for file in version.iterdir()), default=0.0)
