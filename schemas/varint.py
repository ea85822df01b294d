"""Avro's variable-length integers, as bytes."""

from typing import Final

SHORT: Final = tuple(
    bytes((n << 1,)) for n in range(64)
)  # of what takes one byte, such as a short text's length
_LEN_1, _LEN_2, _LEN_3, _LEN_4 = (1 << bits for bits in (7, 14, 21, 28))


def avro_long(n: int) -> bytes:
    """A non-negative Avro long: zig-zag, seven bits a byte, lowest first."""
    n <<= 1
    if n < _LEN_1:
        return SHORT[n >> 1]
    if n < _LEN_2:
        return bytes((n & 0x7F | 0x80, n >> 7))
    if n < _LEN_3:
        return bytes((n & 0x7F | 0x80, n >> 7 & 0x7F | 0x80, n >> 14))
    if n < _LEN_4:
        return bytes((n & 0x7F | 0x80, n >> 7 & 0x7F | 0x80, n >> 14 & 0x7F | 0x80, n >> 21))
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)
