"""Avro's variable-length integers, as bytes."""

from typing import Final

SHORT: Final = tuple(
    bytes((n << 1,)) for n in range(64)
)  # of what takes one byte, such as a short text's length
_LEN_1, _LEN_2, _LEN_3, _LEN_4, _LEN_7, _LEN_8 = (1 << bits for bits in (7, 14, 21, 28, 49, 56))


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
    if (
        _LEN_7 <= n < _LEN_8
    ):  # a time of these days, µs: its groups of seven bits are moved apart in three steps
        n = n & 0x0FFF_FFFF | (n & 0xFF_FFFF_F000_0000) << 4
        n = n & 0x0000_3FFF_0000_3FFF | (n & 0x0FFF_C000_0FFF_C000) << 2
        n = n & 0x007F_007F_007F_007F | (n & 0x3F80_3F80_3F80_3F80) << 1
        return (n | 0x0080_8080_8080_8080).to_bytes(8, "little")
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)
