"""What lies beside the log and belongs to it: keys, who may come in, and the files that tasks have made."""

import os
import shutil
from collections.abc import Iterator
from hashlib import file_digest
from pathlib import Path
from typing import Final

from neural_hive.replay.backup.manifest import BackupUnusable, synced
from neural_hive.replay.seal.succession import FILE as SUCCESSION

KEYS: Final = "keys"  # in the backup's folder
ARTIFACTS: Final = "artifacts"  # in the data folder and in the backup's
WEBHOOKS: Final = "webhooks"  # secrets: each file of the folder is one
KEY_FOLDERS: Final = ("auditor", "seal", "witness", WEBHOOKS)  # in the data folder
# Who may call: hashes of random keys, which tell nobody anything, and so are no secret.
CALLERS: Final = "api/keys.json"
# Who may ask in SQL: hashes of passwords, which can be guessed. Without the file everybody on the machine may ask.
SQL_USERS: Final = "clickhouse/sql-users.toml"
_KEYS: Final = frozenset((".key", ".pub"))
_PRIVATE_FOLDER: Final = 0o700
_PRIVATE_FILE: Final = 0o600
_SEPARATOR: Final = "  "  # as sha256sum writes it, so that `sha256sum -c` can check it
_SHA256_DIGITS: Final = 64


def copy_keys(data: Path, folder: Path, with_secrets: bool = True) -> tuple[str, ...]:
    """Copies all keys of a data folder, and who may come in, into the backup, for its owner's eyes only; gives their
    hashes and names. Without secrets that is only what opens nothing: the hashes of API keys.

    What lies beside them, such as the file of seals, is of a later moment than what is saved, and made anew from it.
    The API's secrets are made anew too: nothing in the log needs them.
    """
    names = [CALLERS, *(_secrets(data) if with_secrets else ())]
    there = [name for name in names if (data / name).is_file() and not (data / name).is_symlink()]
    return tuple(_copied(data / name, folder / KEYS, name) for name in there)


def are_secret(keys: tuple[str, ...]) -> bool:
    """Whether who has these files can do something with them."""
    return any(line.partition(_SEPARATOR)[2] != CALLERS for line in keys)


def _secrets(data: Path) -> Iterator[str]:
    yield SQL_USERS
    for name in KEY_FOLDERS:
        for file in sorted((data / name).rglob("*")):
            if _is_key(file, name):
                yield str(file.relative_to(data))


def _is_key(file: Path, folder: str) -> bool:
    if folder == WEBHOOKS:
        return not file.name.startswith(".")  # a draft
    return file.suffix in _KEYS or file.name == SUCCESSION


def restore_keys(folder: Path, keys: tuple[str, ...], data: Path) -> None:
    """Puts the keys of a backup into a data folder. Raises BackupUnusable: one is damaged, or another is there."""
    for name in _checked(folder, keys):
        source, target = folder / KEYS / name, data / name
        if target.exists() and target.read_bytes() != source.read_bytes():
            raise BackupUnusable(
                f"{target} is another one than the backup's: move it away, or restore elsewhere"
            )
        _copied(source, data, name)


def check_keys(folder: Path, keys: tuple[str, ...]) -> None:
    """Raises BackupUnusable: a key is gone or damaged."""
    for _ in _checked(folder, keys):
        pass


def _checked(folder: Path, keys: tuple[str, ...]) -> Iterator[str]:
    for line in keys:
        digest, _, name = line.partition(_SEPARATOR)
        file = folder / KEYS / name
        if ".." in Path(name).parts or Path(name).is_absolute() or not file.is_file():
            raise BackupUnusable(
                f"the key {name} is not in {folder / KEYS}: put it back from where you keep keys"
            )
        if _sha256(file) != digest:
            raise BackupUnusable(f"the key {file} is damaged: its SHA-256 is not the manifest's")
        yield name


def _copied(source: Path, root: Path, name: str) -> str:
    target = root / name
    target.parent.mkdir(parents=True, exist_ok=True, mode=_PRIVATE_FOLDER)
    for folder in (target.parent, root if root.name == KEYS else target.parent):
        folder.chmod(_PRIVATE_FOLDER)
    draft = target.with_name(f".{target.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE_FILE), "wb") as copy:
        copy.write(source.read_bytes())
        copy.flush()
        os.fsync(copy.fileno())
    draft.replace(target)
    synced(target.parent)
    return f"{_sha256(target)}{_SEPARATOR}{name}"


def copy_artifacts(source: Path, target: Path) -> int:
    """Copies the files that are not there yet, each named by its SHA-256; gives how many there are then.

    Raises BackupUnusable: one is not what its name says.
    """
    count = 0
    for file in sorted(source.glob("[0-9a-f][0-9a-f]/*")):
        if len(file.name) != _SHA256_DIGITS:
            continue
        count += 1
        place = target / file.parent.name / file.name
        if place.exists():
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        draft = place.with_suffix(".new")
        shutil.copyfile(file, draft)
        if _sha256(draft) != file.name:
            draft.unlink()
            raise BackupUnusable(
                f"the artifact {file} was changed on disk: its bytes have another hash. Remove it"
            )
        with draft.open("rb") as copy:
            os.fsync(copy.fileno())
        draft.replace(place)
        synced(place.parent)
    return count


def check_artifacts(folder: Path, count: int) -> None:
    """Raises BackupUnusable: artifacts are gone or damaged."""
    files = [f for f in (folder / ARTIFACTS).glob("[0-9a-f][0-9a-f]/*") if len(f.name) == _SHA256_DIGITS]
    if len(files) < count:
        raise BackupUnusable(f"{folder / ARTIFACTS} has {len(files)} files, the manifest says {count}")
    for file in files:
        if _sha256(file) != file.name:
            raise BackupUnusable(f"the artifact {file} is damaged: its SHA-256 is not its name")


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return file_digest(opened, "sha256").hexdigest()
