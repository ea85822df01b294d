"""Sealing anew, under a new key, a log whose damage a person has accepted.

The first checkpoint of the new key names the last one of the old key, with the reason, and both keys sign it.
"""

import base64
from pathlib import Path
from typing import Final

import msgspec

from neural_hive.connectors.disk import write_whole
from neural_hive.replay.seal.checkpoint import Checkpoint
from neural_hive.replay.seal.keys import held_key, private_file, public_file
from neural_hive.replay.seal.ledger import SealFile
from neural_hive.replay.seal.note import LOG, Note, PrivateKey

FILE: Final = "follows.json"
_REASON_MAX: Final = 500


class NoSuccession(RuntimeError):
    """It cannot be begun anew; the text says why."""


class Follows(msgspec.Struct, frozen=True):
    """What the first checkpoint says of the one that it follows on."""

    lines: tuple[str, ...]
    before: str  # name of the folder with the old keys


NOTHING: Final = Follows((), "")


def begin_anew(folder: Path, file: Path, reason: str) -> Path:
    """Sets keys, state and file of seals aside, and gives where they are now. Raises NoSuccession, KeyRefused."""
    words = " ".join(reason.split())
    if not words or len(words) > _REASON_MAX:
        raise NoSuccession(f"say why, in at most {_REASON_MAX} characters: it stands in the first checkpoint")
    last = SealFile(file).last()
    if last is None:
        raise NoSuccession(f"{file} has no checkpoint: there is nothing to follow on")
    held_key(folder, "seal", LOG)  # refuses what is not whole
    checkpoint = Checkpoint.parse(Note.parse(last.note).text)
    root = base64.b64encode(checkpoint.root).decode()
    number = 1 + sum(1 for _ in folder.glob("before-*"))
    aside = folder / f"before-{number}"
    aside.mkdir()
    lines = (f"follows {checkpoint.origin} {checkpoint.size} {root}", f"reason {words}")
    write_whole(folder / FILE, msgspec.json.encode(Follows(lines, aside.name)))
    file.replace(file.with_name(f"{file.name}.{aside.name}"))
    for old in (folder / "state.json", public_file(folder, "seal"), private_file(folder, "seal")):
        if old.exists():
            old.replace(aside / old.name)
    return aside


def follows(folder: Path) -> Follows:
    """What the first checkpoint must say; nothing, if the log was never sealed under another key."""
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=Follows)
    except FileNotFoundError:
        return NOTHING
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise NoSuccession(f"{folder / FILE} cannot be read: {error}. Restore it from a backup") from None


def old_key(folder: Path, found: Follows) -> PrivateKey | None:
    """The key before this one, which signs the first checkpoint too. Raises KeyRefused."""
    return held_key(folder / found.before, "seal", LOG) if found.before else None
