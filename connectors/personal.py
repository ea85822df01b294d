"""Personal data between the clear and the log: encrypted before it is published, and read again by who has the keys.

AES-SIV (RFC 5297): the same text of the same person for the same field is the same ciphertext, so that a repeated
message has the same bytes; and what was altered, or is said to be of another person or field, is not decrypted.
"""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from neural_hive.connectors.key_folder import KeyFolder
from neural_hive.connectors.subject_keys import Erased, SubjectKey, SubjectKeys, UnknownSubject
from neural_hive.schemas.codec import BadRecord
from neural_hive.schemas.personal import (
    BLOCK_BYTES,
    CIPHERTEXT,
    NOBODY,
    TEXT_BYTES_MAX,
    base64_of,
    bytes_of,
    is_ciphertext,
    marked,
)

ERASED: Final = "erased"
_PURPOSE: Final = b"neural_hive personal v1"
_SHORT_DIGITS: Final = 8
T = TypeVar("T")


class Unencryptable(BadRecord):
    """Personal data that cannot be encrypted; the text says why, and does not repeat it."""


class PersonalSettings(Protocol):
    """What is taken from the settings."""

    @property
    def subject_keys_folder(self) -> Path:
        """Where the keys of persons are."""
        ...


class Shown(StrEnum):
    """How ciphertexts are shown."""

    SHORT = "short"  # enc:0123abcd…, or that it is erased
    CLEAR = "clear"  # as it was written, if the key is there


class Personal:
    """Encrypts and decrypts with the keys of a store, of which none is kept."""

    def __init__(self, keys: SubjectKeys) -> None:
        self.keys = keys

    @classmethod
    def of(cls, settings: PersonalSettings) -> "Personal":
        """With the keys that the settings name."""
        return cls(KeyFolder(settings.subject_keys_folder))

    def hidden(self, record: str, payload: dict[str, Any]) -> dict[str, Any]:
        """A payload with its marked fields encrypted; what is encrypted already stays.

        Raises Unencryptable, BadName, SubjectKeysUnusable.
        """
        changed: dict[str, Any] = {}
        for one in marked(record):
            text = payload.get(one.field)
            if not text or text == NOBODY or is_ciphertext(text, one.field):
                continue
            subject = payload.get(one.subject)
            if not subject or subject == NOBODY:
                raise Unencryptable(
                    f"{one.field} of {record} is about a person: say in {one.subject} about whom"
                )
            changed[one.field] = self.hide(text, one.field, subject)
        return {**payload, **changed} if changed else payload

    def hide(self, text: str, field: str, subject: str = "") -> str:
        """The ciphertext of a text about a person, by default of the person's own name, for a field.

        `subject`: the person's name, or a ciphertext of it. Raises Unencryptable, BadName, SubjectKeysUnusable.
        """
        padded = _padded(text, field)
        key = self._key(subject or text, field)
        sealed = AESSIV(key.key).encrypt(padded, _bound(key.subject_id, field))
        return f"enc:v1:{key.subject_id}:{field}:{base64_of(sealed)}"

    def _key(self, subject: str, field: str) -> SubjectKey:
        known = CIPHERTEXT.fullmatch(subject)
        if known is None:
            return self.keys.made(subject)
        try:
            return SubjectKey(known[1], self.keys.key_of(known[1]))
        except LookupError as error:
            raise Unencryptable(f"{field} is about a person of whom there is no key: {error}") from error

    def revealed(self, ciphertext: str) -> str:
        """The text. Raises Erased; UnknownSubject: the key is not here; Unencryptable: it is not what was encrypted."""
        found = CIPHERTEXT.fullmatch(ciphertext)
        sealed = bytes_of(found[3]) if found else None
        if found is None or sealed is None:
            raise Unencryptable("it has not the form of a ciphertext")
        subject_id, field = found[1], found[2]
        key = self.keys.key_of(subject_id)
        try:
            padded = AESSIV(key).decrypt(sealed, _bound(subject_id, field))
        except (InvalidTag, ValueError):
            raise Unencryptable(f"the ciphertext of {field} is not what was encrypted") from None
        return padded.rstrip(b"\0").decode()

    def shown(self, text: str, how: Shown) -> str:
        """A text as people read it: each ciphertext in it in the clear, shortened, or said to be erased."""
        return CIPHERTEXT.sub(lambda found: self._shown(found[0], found[1], how), text)

    def shown_in(self, value: T, how: Shown) -> T:
        """Structs, maps and lists with all their texts as people read them."""
        return _each_text(value, lambda text: self.shown(text, how) if "enc:v1:" in text else text)  # type: ignore[no-any-return]

    def _shown(self, ciphertext: str, subject_id: str, how: Shown) -> str:
        try:
            if how is Shown.CLEAR:
                return self.revealed(ciphertext)
            self.keys.key_of(subject_id)
        except Erased:
            return ERASED
        except (UnknownSubject, Unencryptable):
            pass
        return f"enc:{subject_id[:_SHORT_DIGITS]}…"


def _bound(subject_id: str, field: str) -> list[bytes]:
    """What a ciphertext is bound to, beside its key."""
    return [_PURPOSE, subject_id.encode(), field.encode()]


def _padded(text: str, field: str) -> bytes:
    """Filled up with zero bytes. Raises Unencryptable."""
    try:
        data = text.encode()
    except (AttributeError, UnicodeEncodeError):
        raise Unencryptable(f"{field} is personal data and must be a text in UTF-8") from None
    if len(data) > TEXT_BYTES_MAX or b"\0" in data:
        raise Unencryptable(f"{field} is personal data: at most {TEXT_BYTES_MAX:,} bytes, and no zero byte")
    return data + b"\0" * (-len(data) % BLOCK_BYTES)


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    """The value with all texts changed, those in structs, maps (keys too), lists and tuples included."""
    match value:
        case str():
            return change(value) if type(value) is str else value  # a symbol of an enum stays
        case dict():
            return {_each_text(name, change): _each_text(item, change) for name, item in value.items()}
        case list():
            return [_each_text(item, change) for item in value]
        case tuple():
            items = [_each_text(item, change) for item in value]
            return tuple(items) if type(value) is tuple else type(value)(*items)
        case msgspec.Struct():
            fields = {name: _each_text(getattr(value, name), change) for name in value.__struct_fields__}
            return msgspec.structs.replace(value, **fields)
    return value
