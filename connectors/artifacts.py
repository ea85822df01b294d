"""Files that tasks make, kept by what they are: a file's address is the SHA-256 of its bytes.

The same bytes are kept once. A file appears whole or not at all, and is checked whenever it is read, so that
what a task gets is what the event says.
"""

import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

URI_SCHEME: Final = "sha256:"
_HEX = re.compile(r"[0-9a-f]{64}")
_CHUNK_BYTES: Final = 1024 * 1024


class ArtifactError(Exception):
    """An artifact that cannot be kept or given; the text says why and what to do."""


class Stored(msgspec.Struct, frozen=True):
    """One kept file: its address and what it weighs."""

    uri: str
    sha256: str
    size_bytes: int


class ArtifactStore:
    """Content-addressed files in a folder; safe for many writers, also of several processes."""

    def __init__(self, folder: Path, size_bytes_max: int = 1024 * 1024 * 1024) -> None:
        self._folder = folder
        self._size_bytes_max = size_bytes_max
        folder.mkdir(parents=True, exist_ok=True)

    def put(self, file: Path) -> Stored:
        """Keeps a copy of a file.

        Raises ArtifactError: it is no regular file, is larger than the limit, or cannot be written.
        """
        try:
            # O_NOFOLLOW: a task must not make the worker keep what only the worker may read.
            handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            raise ArtifactError(
                f"{file.name} cannot be kept: {error.strerror} (links are refused)"
            ) from error
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise ArtifactError(f"{file.name} cannot be kept: it is no regular file")
        with os.fdopen(handle, "rb") as source:
            return self._copy_in(source, file.name)

    def _copy_in(self, source: BinaryIO, name: str) -> Stored:
        digest, size_bytes = hashlib.sha256(), 0
        with tempfile.NamedTemporaryFile(dir=self._folder, prefix="incoming-", delete=False) as copy:
            try:
                for chunk in _chunks(source):
                    size_bytes += len(chunk)
                    if size_bytes > self._size_bytes_max:
                        raise ArtifactError(f"{name} is larger than {self._size_bytes_max} bytes, the limit")
                    digest.update(chunk)
                    copy.write(chunk)
                copy.flush()
                os.fsync(copy.fileno())
                target = self._path(digest.hexdigest())
                target.parent.mkdir(exist_ok=True)
                Path(copy.name).replace(target)
            except BaseException:
                Path(copy.name).unlink(missing_ok=True)
                raise
        return Stored(URI_SCHEME + digest.hexdigest(), digest.hexdigest(), size_bytes)

    def fetch(self, sha256: str, target: Path) -> None:
        """Copies a kept file to `target`, and checks it on the way.

        Raises ArtifactError: it is not here, or its bytes are no longer what its address says.
        """
        digest = hashlib.sha256()
        try:
            with self._path(sha256).open("rb") as source, target.open("xb") as copy:
                for chunk in _chunks(source):
                    digest.update(chunk)
                    copy.write(chunk)
        except FileNotFoundError as error:
            raise ArtifactError(
                f"artifact {sha256} is not in {self._folder}: do all workers share this folder?"
            ) from error
        if digest.hexdigest() != sha256:
            target.unlink()
            raise ArtifactError(f"artifact {sha256} was changed on disk: its bytes have another hash")

    def _path(self, sha256: str) -> Path:
        if not _HEX.fullmatch(sha256):
            raise ArtifactError(f"{sha256[:80]!r} is no SHA-256 in lower-case hex")
        return self._folder / sha256[:2] / sha256


def _chunks(source: BinaryIO) -> Iterator[bytes]:
    while chunk := source.read(_CHUNK_BYTES):
        yield chunk
