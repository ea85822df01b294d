"""What steps leave behind, each in a file of its own: whole or not there, and as it was written."""

from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec

from neural_hive.connectors.disk import write_whole
from neural_hive.replay.steps.step import Done, Step

_HASH_BYTES: Final = 32


class DamagedResult(RuntimeError):
    """A file is not as it was written; the text says what to do."""


class Results:
    """The results in a folder."""

    def __init__(self, folder: Path, lasting: bool) -> None:
        """`lasting`: what is kept is on the disk when `keep` returns."""
        self.folder, self._lasting = folder, lasting

    def keep(self, done: Done) -> None:
        """Keeps what a step left behind."""
        body = msgspec.msgpack.encode(done)
        write_whole(self._file(done.step), sha256(body).digest() + body, self._lasting)

    def of(self, steps: Iterable[Step]) -> list[Done]:
        """What these steps left behind, in their order. Raises DamagedResult."""
        return [self.result(step) for step in steps]

    def result(self, step: Step) -> Done:
        """What a step left behind. Raises DamagedResult."""
        file = self._file(step)
        content = file.read_bytes()
        digest, body = content[:_HASH_BYTES], content[_HASH_BYTES:]
        if sha256(body).digest() != digest:
            raise DamagedResult(f"{file} is damaged: remove {self.folder}, and verify anew")
        return msgspec.msgpack.decode(body, type=Done)

    def has(self, step: Step) -> bool:
        """Whether a step has left its result here."""
        return self._file(step).is_file()

    def drop(self, step: Step) -> None:
        """The step is to be done again."""
        self._file(step).unlink(missing_ok=True)

    def _file(self, step: Step) -> Path:
        return self.folder / f"{step.file}.done"
