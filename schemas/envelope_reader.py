"""Reads the envelopes of events by hand, as `EventEncoder` writes them: checked and read in one pass.

The first five fields are the same for all events of one type and writer, and are compared as bytes; the others are
texts and numbers. It takes half the time of check and decoder together. Whatever is not as usual is left to these
two, which say what is wrong with it; and what is read here they would have read as the same.
"""

from typing import Any, Final

from neural_hive.schemas.envelope import Envelope
from neural_hive.schemas.strict import VALUES_MAX, NotADatum, compiled, varint, walk

_LEAD_FIELDS: Final = 5
_LEAD_NAMES: Final = Envelope.__struct_fields__[:_LEAD_FIELDS]
_TEXT, _BYTES, _LONG, _INT = range(4)
_KINDS: Final = {"string": _TEXT, "bytes": _BYTES, "long": _LONG, "int": _INT}
_INTS: Final = 1 << 31


class EnvelopeReader:
    """Reads the envelopes of one schema's events."""

    def __init__(self, schema: dict[str, Any], frame_bytes: int) -> None:
        """`schema` is that of the envelope, whose fields are those of `Envelope` in their order."""
        fields = schema["fields"]
        self._lead_program = compiled({**schema, "fields": fields[:_LEAD_FIELDS]})
        self._kinds = tuple(_KINDS[_plain(field["type"])] for field in fields[_LEAD_FIELDS:])
        self._frame_bytes = frame_bytes
        self._lead: tuple[bytes, tuple[Any, ...]] = (b"", ())

    def learn(self, value: bytes, envelope: Envelope) -> None:
        """Remembers how an event begins that was read otherwise."""
        end, _ = walk(self._lead_program, value, self._frame_bytes, VALUES_MAX)
        self._lead = value[:end], tuple(getattr(envelope, name) for name in _LEAD_NAMES)

    def read(self, value: bytes) -> tuple[Envelope, int] | None:
        """The envelope, and where the payload begins; None: it is to be read otherwise."""
        raw, lead = self._lead
        if not raw or not value.startswith(raw):
            return None
        try:
            return self._rest(value, len(raw), list(lead))
        except (IndexError, NotADatum, UnicodeDecodeError):
            return None

    def _rest(self, value: bytes, at: int, found: list[Any]) -> tuple[Envelope, int] | None:
        for kind in self._kinds:
            n = value[at]
            at += 1
            if n > 0x7F:
                n, at = varint(value, at - 1)
            if n & 1:
                return None  # a negative number, or a negative length
            n >>= 1
            if kind >= _LONG:
                if kind == _INT and n >= _INTS:
                    return None
                found.append(n)
            else:
                start, at = at, at + n
                found.append(value[start:at].decode() if kind == _TEXT else value[start:at])
        return Envelope(*found), at


def _plain(kind: Any) -> Any:
    return kind["type"] if isinstance(kind, dict) else kind
