"""Canonical bytes: every value has one form, each part says its length, and the whole begins with what it is."""

from typing import Final

_INT_BYTES: Final = 8
_LENGTH_BYTES: Final = 4
_NONE, _SOME = b"\0", b"\1"


class NotCanonical(ValueError):
    """Bytes that are not the canonical form of anything; the text says why."""


def number(value: int) -> bytes:
    """A signed integer of 64 bits."""
    return value.to_bytes(_INT_BYTES, "big", signed=True)


def blob(value: bytes) -> bytes:
    """Bytes, behind their length."""
    return len(value).to_bytes(_LENGTH_BYTES, "big") + value


def optional(value: bytes | None) -> bytes:
    """Bytes that may be null, which is not the same as empty."""
    return _NONE if value is None else _SOME + blob(value)


class Unpacker:
    """Takes canonical bytes apart from the front. Raises NotCanonical."""

    def __init__(self, data: bytes, prefix: bytes) -> None:
        if not data.startswith(prefix):
            raise NotCanonical(
                f"it does not begin with {prefix.decode()}: another kind of bytes, or a newer version"
            )
        self._data, self._at = data, len(prefix)

    def _take(self, size: int) -> bytes:
        taken = self._data[self._at : self._at + size]
        if len(taken) != size:
            raise NotCanonical(f"it ends at byte {len(self._data)}, in the middle of a value")
        self._at += size
        return taken

    def number(self) -> int:
        """See number()."""
        return int.from_bytes(self._take(_INT_BYTES), "big", signed=True)

    def blob(self) -> bytes:
        """See blob()."""
        return self._take(int.from_bytes(self._take(_LENGTH_BYTES), "big"))

    def text(self) -> str:
        """A blob that is text in UTF-8."""
        try:
            return self.blob().decode()
        except UnicodeDecodeError as error:
            raise NotCanonical(f"a text is not UTF-8: {error}") from error

    def optional(self) -> bytes | None:
        """See optional()."""
        mark = self._take(1)
        if mark == _NONE:
            return None
        if mark != _SOME:
            raise NotCanonical(f"{mark.hex()} says neither that a value follows nor that it is null")
        return self.blob()

    def end(self) -> None:
        """Says that nothing may follow."""
        if self._at != len(self._data):
            raise NotCanonical(f"{len(self._data) - self._at} bytes follow its end")
