"""Content codings of HTTP bodies, piece by piece: gzip, deflate, lz4 (frames) and zstd, as ClickHouse has them.

ClickHouse's own block compression (`compress=1`, `decompress=1`) is not here: clients that ask for it are told.
"""

import zlib
from collections.abc import Iterator
from typing import Any, Protocol

import cramjam
import lz4.frame  # type: ignore[import-untyped]
from backports import zstd

CODINGS = ("lz4", "zstd", "gzip", "deflate")
_PIECE_BYTES = 1 << 20


class Encoder(Protocol):
    def feed(self, data: bytes) -> bytes: ...
    def end(self) -> bytes: ...


class _Zlib:
    def __init__(self, window_bits: int) -> None:
        self._object = zlib.compressobj(3, zlib.DEFLATED, window_bits)

    def feed(self, data: bytes) -> bytes:
        return self._object.compress(data)

    def end(self) -> bytes:
        return self._object.flush()


class _Cramjam:
    def __init__(self, coding: str) -> None:
        self._object = cramjam.lz4.Compressor() if coding == "lz4" else cramjam.zstd.Compressor(1)

    def feed(self, data: bytes) -> bytes:
        self._object.compress(data)
        return bytes(self._object.flush())

    def end(self) -> bytes:
        return bytes(self._object.finish())


def encoder(coding: str) -> Encoder:
    if coding == "gzip":
        return _Zlib(31)
    if coding == "deflate":
        return _Zlib(15)
    return _Cramjam(coding)


def choose(accepted: str) -> str | None:
    """The first of our codings that an Accept-Encoding header names with a weight above 0."""
    offered = {}
    for item in accepted.lower().split(","):
        name, _, weight = item.partition(";")
        offered[name.strip()] = weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return next((coding for coding in CODINGS if offered.get(coding)), None)


class Decoder:
    """Takes compressed pieces and gives plain ones of at most 1 MiB, so that a small body cannot fill the memory.

    Raises ValueError for data that is damaged or ends too early.
    """

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._object = self._start()
        self._touched = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        if not data:
            return
        self._touched = True
        if self._coding in ("gzip", "deflate"):
            yield from self._inflate(data)
        else:
            yield from self._frames(data)

    def end(self) -> None:
        if self._touched and not self._object.eof:
            raise ValueError(f"the {self._coding} body ends too early")

    def _start(self) -> Any:
        if self._coding == "gzip":
            return zlib.decompressobj(31)
        if self._coding == "deflate":
            return zlib.decompressobj(15)
        if self._coding == "lz4":
            return lz4.frame.LZ4FrameDecompressor()
        return zstd.ZstdDecompressor()

    def _inflate(self, data: bytes) -> Iterator[bytes]:
        full = False
        while data or full:
            if self._object.eof:
                self._object = self._start()
            try:
                piece = self._object.decompress(data, _PIECE_BYTES)
            except zlib.error as error:
                raise ValueError(f"the {self._coding} body is damaged: {error}") from None
            if piece:
                yield piece
            full = len(piece) == _PIECE_BYTES and not self._object.eof
            data = self._object.unused_data if self._object.eof else self._object.unconsumed_tail

    def _frames(self, data: bytes) -> Iterator[bytes]:
        while True:
            if self._object.eof:
                if not data:
                    return
                self._object = self._start()
            try:
                piece = self._object.decompress(data, _PIECE_BYTES)
            except (RuntimeError, zstd.ZstdError) as error:
                raise ValueError(f"the {self._coding} body is damaged: {error}") from None
            if piece:
                yield piece
            if self._object.eof:
                data = self._object.unused_data or b""
            elif self._object.needs_input:
                return
            else:
                data = b""
