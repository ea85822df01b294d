"""The way on after the log lost or changed committed events: only when a person says so, and never without a trace.

The person's word waits as a file in the folder of each partition; the partition acts on it when it finds its log
broken, keeps the old state aside, and records the word as its first event.
"""

from pathlib import Path

import msgspec

from neural_hive.schemas.personal import NOBODY, is_ciphertext

FILE = "accepted-log.json"


class Acceptance(msgspec.Struct, frozen=True):
    """A person's word that the log as it is shall count."""

    reason: str
    requested_by: str  # encrypted


def accept(folder: Path, acceptance: Acceptance) -> None:
    """Leaves the word for one partition."""
    (folder / FILE).write_bytes(msgspec.json.encode(acceptance))


def accepted_for(folder: Path) -> Acceptance | None:
    """The word that waits for a partition. Whose it is, in the clear, does not get into the log."""
    file = folder / FILE
    if not file.exists():
        return None
    word = msgspec.json.decode(file.read_bytes(), type=Acceptance)
    is_hidden = is_ciphertext(word.requested_by, "requested_by")
    return word if is_hidden else msgspec.structs.replace(word, requested_by=NOBODY)


def left_at(folder: Path) -> float | None:
    """When a word was left for a partition, s; None: none waits."""
    try:
        return (folder / FILE).stat().st_mtime
    except FileNotFoundError:
        return None


def forget_accepted(folder: Path) -> None:
    """The word was recorded, or the log is whole: it does not count for the next damage."""
    (folder / FILE).unlink(missing_ok=True)


def set_aside(store: Path) -> Path:
    """Keeps a state that the log no longer explains: it may be the only copy."""
    number = 1
    while (kept := store.with_name(f"{store.name}.before-{number}")).exists():
        number += 1
    store.rename(kept)
    return kept
