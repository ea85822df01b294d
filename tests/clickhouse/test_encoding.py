"""Content codings, in pieces, damaged and oversized."""

import gzip
import zlib

import lz4.frame  # type: ignore[import-untyped]
import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from neural_hive.connectors.clickhouse_encoding import CODINGS, Decoder, choose, encoder

REFERENCE = {
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
    "lz4": lz4.frame.decompress,
    "zstd": zstd.decompress,
}


@pytest.mark.parametrize("coding", CODINGS)
@given(pieces=st.lists(st.binary(max_size=300), min_size=1, max_size=5), cut=st.integers(1, 50))
def test_round_trip_in_pieces(coding: str, pieces: list[bytes], cut: int) -> None:
    pack = encoder(coding)
    packed = b"".join(pack.feed(piece) for piece in pieces) + pack.end()
    assert REFERENCE[coding](packed) == b"".join(pieces)
    decoder = Decoder(coding)
    plain = b"".join(
        part for at in range(0, len(packed), cut) for part in decoder.feed(packed[at : at + cut])
    )
    decoder.end()
    assert plain == b"".join(pieces)


@pytest.mark.parametrize("coding", CODINGS)
def test_a_small_body_cannot_fill_the_memory(coding: str) -> None:
    pack = encoder(coding)
    bomb = pack.feed(bytes(20 << 20)) + pack.end()
    sizes = [len(piece) for piece in Decoder(coding).feed(bomb)]
    assert sum(sizes) == 20 << 20
    assert max(sizes) <= 1 << 20


@pytest.mark.parametrize("coding", CODINGS)
def test_a_body_cut_short_is_refused(coding: str) -> None:
    pack = encoder(coding)
    packed = pack.feed(b"abc" * 1000) + pack.end()
    decoder = Decoder(coding)
    with pytest.raises(ValueError, match="too early"):
        list(decoder.feed(packed[:-3]))
        decoder.end()


@pytest.mark.parametrize("coding", CODINGS)
def test_damage_is_refused(coding: str) -> None:
    with pytest.raises(ValueError, match="damaged"):
        list(Decoder(coding).feed(b"\xff\x00nonsense" * 20))


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        ("gzip", "gzip"),
        ("br, gzip;q=0.5", "gzip"),
        ("lz4,zstd", "lz4"),
        ("gzip;q=0", None),
        ("", None),
        ("*", None),
    ],
)
def test_choice(accepted: str, expected: str | None) -> None:
    assert choose(accepted) == expected
