"""Signed notes as C2SP has them (c2sp.org/signed-note, c2sp.org/tlog-cosignature): text, and lines that sign it.

A key has a name and a kind: of a log, or of a witness, whose signature carries the time at which it was made.
"""

import base64
import binascii
import re
from hashlib import sha256
from typing import Final, Self

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

LOG, WITNESS = 1, 4  # kinds of keys: Ed25519 over the text, and over the text behind a time
NOTE_BYTES_MAX: Final = 64 * 1024
SIGNATURES_MAX: Final = 100
_KEY_BYTES: Final = 32
_ID_BYTES: Final = 4
_SIGNATURE_BYTES: Final = {LOG: 64, WITNESS: 72}
_PRIVATE: Final = "PRIVATE+KEY+"
_NAME: Final = re.compile(r"[^\s+\x00-\x1f\x7f]{1,255}")
_LINE: Final = re.compile(r"— ([^ ]+) ([A-Za-z0-9+/=]+)")
_BAD_TEXT: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")


class BadNote(ValueError):
    """A note that is not well formed, or not signed by who should have; the text says why."""


class BadKey(ValueError):
    """A key that cannot be used; the text says why, and what to do."""


class PublicKey(msgspec.Struct, frozen=True):
    """What verifies signatures."""

    name: str
    kind: int
    key: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads `name+id+key`. Raises BadKey."""
        name, number, data = _key_parts(text, "a public key")
        found = cls(name, data[0], data[1:])
        if found.id.hex() != number:
            raise BadKey(
                f"the public key of {name} does not fit its id {number}: it was copied badly, or changed"
            )
        return found

    @property
    def id(self) -> bytes:
        return sha256(self.name.encode() + b"\n" + bytes((self.kind,)) + self.key).digest()[:_ID_BYTES]

    @property
    def text(self) -> str:
        """As others know it: `name+id+key`."""
        return f"{self.name}+{self.id.hex()}+{_encoded(bytes((self.kind,)) + self.key)}"


class PrivateKey(msgspec.Struct, frozen=True):
    """What signs. Its text is a secret; `repr` does not show it."""

    name: str
    kind: int
    seed: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads `PRIVATE+KEY+name+id+key`. Raises BadKey, which does not show the key."""
        if not text.startswith(_PRIVATE):
            raise BadKey(f"a private key begins with {_PRIVATE}")
        name, number, data = _key_parts(text.removeprefix(_PRIVATE), "a private key")
        found = cls(name, data[0], data[1:])
        if found.public.id.hex() != number:
            raise BadKey(f"the private key of {name} does not fit its id {number}: it is damaged")
        return found

    @classmethod
    def make(cls, name: str, kind: int) -> Self:
        """A new one. Raises BadKey: the name cannot be one."""
        if not _NAME.fullmatch(name):
            raise BadKey(f"{name!r} cannot be the name of a key: no spaces, no +")
        return cls(name, kind, Ed25519PrivateKey.generate().private_bytes_raw())

    def __repr__(self) -> str:
        return f"PrivateKey({self.public.text})"

    @property
    def public(self) -> PublicKey:
        return PublicKey(self.name, self.kind, self._signer.public_key().public_bytes_raw())

    @property
    def text(self) -> str:
        """As its file holds it."""
        return f"{_PRIVATE}{self.name}+{self.public.id.hex()}+{_encoded(bytes((self.kind,)) + self.seed)}"

    @property
    def _signer(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)

    def sign(self, text: str, at_s: int = 0) -> str:
        """The line that signs a text; a witness says at which time, in seconds since 1970 UTC."""
        stamp = at_s.to_bytes(8, "big") if self.kind == WITNESS else b""
        signature = self._signer.sign(_signed(self.kind, text, stamp))
        return f"— {self.name} {_encoded(self.public.id + stamp + signature)}\n"


class Signature(msgspec.Struct, frozen=True):
    """One line that signs a note; whose it is must be looked at."""

    name: str
    key_id: bytes
    body: bytes

    @property
    def line(self) -> str:
        return f"— {self.name} {_encoded(self.key_id + self.body)}\n"


class Note(msgspec.Struct, frozen=True):
    """A text, which ends with a newline, and what signs it."""

    text: str
    signatures: tuple[Signature, ...]

    @classmethod
    def parse(cls, content: str) -> Self:
        """Raises BadNote: it is not well formed."""
        if len(content.encode()) > NOTE_BYTES_MAX:
            raise BadNote(f"a note of more than {NOTE_BYTES_MAX} bytes")
        if _BAD_TEXT.search(content):
            raise BadNote("a note with control characters")
        text, blank, tail = content.rpartition("\n\n")
        if not blank or not text or not tail.endswith("\n"):
            raise BadNote("a note has a text, a blank line and signature lines, and ends with a newline")
        lines = tail[:-1].split("\n")
        if len(lines) > SIGNATURES_MAX:
            raise BadNote(f"a note with {len(lines)} signatures")
        return cls(text + "\n", tuple(_signature(line) for line in lines))

    @property
    def content(self) -> str:
        """The note as it is written."""
        return f"{self.text}\n{''.join(signature.line for signature in self.signatures)}"

    def signed_at(self, key: PublicKey) -> int | None:
        """When the holder of a key has signed it, in seconds since 1970 UTC (0 for a log's key); None if not at all.

        Raises BadNote: a signature under the key's name and id is not the key's.
        """
        found = None
        for signature in self.signatures:
            if (signature.name, signature.key_id) == (key.name, key.id):
                found = _checked(self.text, signature, key)
        return found

    def check_signed(self, key: PublicKey) -> None:
        """Raises BadNote unless the holder of the key has signed it."""
        if self.signed_at(key) is None:
            names = ", ".join(signature.name for signature in self.signatures)
            raise BadNote(f"it is not signed by {key.name} (key {key.id.hex()}), but by {names or 'nobody'}")

    def with_signatures(self, lines: str) -> Self:
        """The note with further signature lines. Raises BadNote."""
        return type(self).parse(self.content + lines)


def signed_note(text: str, key: PrivateKey, at_s: int = 0) -> Note:
    """A text that the holder of a key has signed."""
    return Note.parse(f"{text}\n{key.sign(text, at_s)}")


def _checked(text: str, signature: Signature, key: PublicKey) -> int:
    if len(signature.body) != _SIGNATURE_BYTES[key.kind]:
        raise BadNote(f"the signature of {key.name} has {len(signature.body)} bytes")
    stamp, signed = signature.body[:-64], signature.body[-64:]
    try:
        Ed25519PublicKey.from_public_bytes(key.key).verify(signed, _signed(key.kind, text, stamp))
    except InvalidSignature:
        raise BadNote(f"the signature of {key.name} is not over this text") from None
    return int.from_bytes(stamp, "big")


def _signed(kind: int, text: str, stamp: bytes) -> bytes:
    if kind == LOG:
        return text.encode()
    return f"cosignature/v1\ntime {int.from_bytes(stamp, 'big')}\n{text}".encode()


def _signature(line: str) -> Signature:
    found = _LINE.fullmatch(line)
    if not found or not _NAME.fullmatch(found[1]):
        raise BadNote(f"{line:.80} is no signature line")
    data = _decoded(found[2])
    if data is None or len(data) <= _ID_BYTES:
        raise BadNote(f"the signature of {found[1]:.80} is not base64")
    return Signature(found[1], data[:_ID_BYTES], data[_ID_BYTES:])


def _key_parts(text: str, what: str) -> tuple[str, str, bytes]:
    name, _, rest = text.strip().partition("+")
    number, _, encoded = rest.partition("+")
    data = _decoded(encoded)
    if not _NAME.fullmatch(name) or not re.fullmatch("[0-9a-f]{8}", number) or data is None:
        raise BadKey(f"it is not {what}: one line `name+id+key` is wanted")
    if len(data) != 1 + _KEY_BYTES or data[0] not in _SIGNATURE_BYTES:
        raise BadKey(f"{name} is not {what} of Ed25519 for a log or a witness")
    return name, number, data


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decoded(text: str) -> bytes | None:
    """Only what encodes to the same text again: or one signature could be written in many ways."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if _encoded(data) == text else None
