"""Which inputs caused something, noted while events and dead letters are read."""

from neural_hive.replay.fingerprints import Fingerprints

_OFFSETS_MAX = 1 << 33  # a bit each: a forged source offset must not take the memory


class Answers:
    """Which places of the input topics caused an event or a dead letter: one bit for each offset."""

    def __init__(self) -> None:
        self.causes = Fingerprints()  # the messages that caused something, for repeats and forwarded records
        self._marked: dict[tuple[str, int], bytearray] = {}

    def mark(self, topic: str, partition: int, offset: int) -> None:
        """Something was caused by the record at this place."""
        if not 0 <= offset < _OFFSETS_MAX:
            return
        bits = self._marked.setdefault((topic, partition), bytearray())
        byte = offset >> 3
        if byte >= len(bits):
            bits.extend(bytes(byte + 4096 - len(bits)))
        bits[byte] |= 1 << (offset & 7)

    def has(self, topic: str, partition: int, offset: int) -> bool:
        """Whether something was caused by the record at this place."""
        bits = self._marked.get((topic, partition), b"")
        byte = offset >> 3
        return byte < len(bits) and bool(bits[byte] & 1 << (offset & 7))

    def beyond(self, topic: str, partition: int, offset: int) -> int | None:
        """The first marked offset at or above this one: a cause that was never committed."""
        bits = self._marked.get((topic, partition), b"")
        start = max(offset, 0)
        for byte in range(start >> 3, len(bits)):
            if bits[byte]:
                for bit in range(8):
                    if bits[byte] & 1 << bit and (byte << 3) + bit >= start:
                        return (byte << 3) + bit
        return None

    def close(self) -> None:
        """Removes its files."""
        self.causes.close()
