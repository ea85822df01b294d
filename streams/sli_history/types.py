"""Which records are read while history is counted: by their first bytes, so that the others need not be decoded."""

from neural_hive.schemas.catalogue import UnknownSchema, registered
from neural_hive.schemas.codec import FRAME_BYTES, BadRecord, schema_id


class Types:
    """Tells whether an event is of one of some types."""

    def __init__(self, types: frozenset[str]) -> None:
        self._types = types
        self._known: dict[bytes, bool] = {}

    def has(self, value: bytes) -> bool:
        """Raises UnknownSchema: a newer build wrote it."""
        found = self._known.get(value[:FRAME_BYTES])
        return self._look(value) if found is None else found

    def _look(self, value: bytes) -> bool:
        try:
            number = schema_id(value)
        except BadRecord:
            return True  # decoding it will say what is wrong
        row = registered().get(number)
        if row is None:
            raise UnknownSchema(f"this build does not know schema id {number}: a newer one wrote an event")
        found = self._known[value[:FRAME_BYTES]] = row.name in self._types
        return found
