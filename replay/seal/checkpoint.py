"""Checkpoints as C2SP has them (c2sp.org/tlog-checkpoint): how large a log's tree is, and its root."""

import base64
import binascii
import re
from typing import Final, Self

import msgspec

from neural_hive.replay.seal.merkle import HASH_BYTES, SIZE_MAX
from neural_hive.replay.seal.note import BadNote, Note, PrivateKey, PublicKey, signed_note

_SIZE: Final = re.compile("0|[1-9][0-9]{0,18}")


class Checkpoint(msgspec.Struct, frozen=True):
    """What the text of a checkpoint says."""

    origin: str  # which log
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises BadNote."""
        origin, *lines = text.removesuffix("\n").split("\n")
        if not text.endswith("\n") or len(lines) < 2 or not origin:
            raise BadNote("a checkpoint has an origin, a size and a root, each in a line of its own")
        size, root, *extensions = lines
        if not _SIZE.fullmatch(size) or int(size) >= SIZE_MAX:
            raise BadNote(f"{size:.40} is not the size of a tree")
        if "" in extensions:
            raise BadNote("a checkpoint with an empty line")
        found = cls(origin, int(size), _root(root), tuple(extensions))
        if found.text != text:
            raise BadNote("a checkpoint that is written in another way than it should")
        return found

    @property
    def text(self) -> str:
        """What is signed."""
        lines = (self.origin, str(self.size), base64.b64encode(self.root).decode(), *self.extensions)
        return "".join(f"{line}\n" for line in lines)

    def signed(self, key: PrivateKey) -> Note:
        """The note of a log that says so."""
        return signed_note(self.text, key)


def opened(content: str, key: PublicKey) -> tuple[Note, Checkpoint]:
    """A signed checkpoint of the log whose key it is. Raises BadNote: it is not well formed, or not the log's."""
    note = Note.parse(content)
    note.check_signed(key)
    checkpoint = Checkpoint.parse(note.text)
    if checkpoint.origin != key.name:
        raise BadNote(f"a checkpoint of {checkpoint.origin:.80}, signed by {key.name}")
    return note, checkpoint


def _root(text: str) -> bytes:
    try:
        root = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        root = b""
    if len(root) != HASH_BYTES:
        raise BadNote(f"{text:.60} is not a root of {HASH_BYTES} bytes in base64")
    return root
