"""The source that a task works on: a copy of a folder, or an archive that is unpacked, in the attempt's own folder."""

import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Final

from neural_hive.connectors.executors.task import Task, Unfit

UNPACKED_BYTES_MAX: Final = 1024 * 1024 * 1024
UNPACKED_FILES_MAX: Final = 100_000


def source_folder(task: Task) -> Path:
    """The task's `source`, to be changed at will. Raises Unfit: it is not there, or is neither folder nor archive."""
    given, folder = Path(task.needed("source")), Path("source").absolute()
    if given.is_dir():
        shutil.copytree(given, folder, symlinks=True, ignore=shutil.ignore_patterns(".git"))
        return folder
    unpack(given, folder)
    inner = list(folder.iterdir())
    # An archive of a release holds one folder with everything in it.
    return inner[0] if len(inner) == 1 and inner[0].is_dir() and not inner[0].is_symlink() else folder


def unpack(archive: Path, folder: Path) -> list[Path]:
    """Unpacks a tar or zip archive; the files' paths, relative to the folder. Raises Unfit."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if zipfile.is_zipfile(archive):
            return _unzip(archive, folder)
        with tarfile.open(archive) as tar:
            return _untar(tar, folder)
    except FileNotFoundError as error:
        raise Unfit(
            f"there is no {archive}: give an artifact of a task before it, or a local path"
        ) from error
    except (tarfile.TarError, zipfile.BadZipFile, OSError) as error:
        raise Unfit(f"{archive.name} cannot be unpacked as tar or zip: {error}") from error


def _untar(tar: tarfile.TarFile, folder: Path) -> list[Path]:
    paths: list[Path] = []
    size_bytes = 0
    for member in tar:
        size_bytes += member.size
        _check(len(paths), size_bytes)
        tar.extract(member, folder, filter="data")  # refuses what would be written elsewhere
        if not member.isdir():
            paths.append(Path(member.name))
    return paths


def _unzip(archive: Path, folder: Path) -> list[Path]:
    with zipfile.ZipFile(archive) as content:
        members = [member for member in content.infolist() if not member.is_dir()]
        _check(len(members), sum(member.file_size for member in members))
        return [Path(content.extract(member, folder)).relative_to(folder) for member in members]


def _check(files: int, size_bytes: int) -> None:
    if files > UNPACKED_FILES_MAX or size_bytes > UNPACKED_BYTES_MAX:
        raise Unfit(
            f"the archive holds more than {UNPACKED_FILES_MAX:,} files or {UNPACKED_BYTES_MAX:,} bytes, the limits"
        )
